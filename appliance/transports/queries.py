"""``query_transport`` of the Admin API, the same for every transport."""

from typing import Any, Protocol

from appliance.core.errors import shown

INVALID_REQUEST, MISSING_ELEMENT, INVALID_ELEMENT = 411, 412, 413


class Queried(Protocol):
    """What can be changed and asked."""

    tells: bool
    """Whether transport events are published."""

    def connections(self) -> dict[str, Any]:
        """What ``connections`` answers beside the result."""


def answer_query(transport: Queried, request: dict[str, Any]) -> dict[str, Any]:
    """What ``response`` holds: Janus's ``configure`` and ``connections``."""
    match request.get("request"):
        case None:
            return _error(MISSING_ELEMENT, "Missing mandatory element (request)")
        case "configure":
            return _configure(transport, request)
        case "connections":
            return {"result": 200} | transport.connections()
        case str(name):
            return _error(INVALID_REQUEST, f"Unknown request '{shown(name)}'")
        case _:
            return _error(INVALID_ELEMENT, "Invalid element type (request should be a string)")


def _configure(transport: Queried, request: dict[str, Any]) -> dict[str, Any]:
    tells, layout = request.get("events", transport.tells), request.get("json")
    if not isinstance(tells, bool):
        return _error(INVALID_ELEMENT, "Invalid element type (events should be a boolean)")
    if layout is not None and not isinstance(layout, str):
        return _error(INVALID_ELEMENT, "Invalid element type (json should be a string)")
    transport.tells = tells
    notes = [] if layout in {None, "compact"} else [f"JSON is always compact here, not {shown(str(layout))}"]
    return {"result": 200} | ({"notes": notes} if notes else {})


def _error(code: int, text: str) -> dict[str, Any]:
    return {"error_code": code, "error": text}
