"""Refusals of the VideoRoom: Janus's codes, and its words where clients and their tests compare them."""

from enum import IntEnum
from typing import Any

from appliance.core.plugin import PluginError


class Code(IntEnum):
    """``error_code`` of a refused request."""

    INVALID_REQUEST = 423
    JOIN_FIRST = 424
    ALREADY_JOINED = 425
    NO_SUCH_ROOM = 426
    ROOM_EXISTS = 427
    NO_SUCH_FEED = 428
    MISSING_ELEMENT = 429
    INVALID_ELEMENT = 430
    INVALID_SDP_TYPE = 431
    PUBLISHERS_FULL = 432
    UNAUTHORIZED = 433
    ALREADY_PUBLISHED = 434
    NOT_PUBLISHED = 435
    ID_EXISTS = 436
    INVALID_SDP = 437
    INVALID_FEED = 438
    UNKNOWN = 499


class RefusedError(PluginError):
    """A request is refused, and has changed nothing."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(int(code), reason)


def as_event(refusal: PluginError) -> dict[str, Any]:
    """How the client of an asynchronous request is told."""
    return {"videoroom": "event", "error_code": refusal.code, "error": refusal.reason}
