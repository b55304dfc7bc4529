"""Our Binding requests that have no answer yet, and what makes an answer one (RFC 8445 section 7.2.5)."""

import secrets

from msgspec import Struct

from appliance.media.config import OUTSTANDING_PROBES
from appliance.media.pair import Pair
from appliance.media.port import Port
from appliance.wire import stun

PROBE_TIMEOUT = 5.0
"""Seconds after which an answer is of no use."""


class Check(Struct, frozen=True):
    """A Binding request of ours that has no answer yet."""

    pair: Pair
    sent_at: float
    """Monotonic."""
    controlling: bool = False
    """The role that it was sent in; a lite agent is always controlled."""
    nominates: bool = False


class Checks:
    """By transaction id, which begins with ``tag`` (4 bytes); at most :data:`OUTSTANDING_PROBES`."""

    def __init__(self, tag: bytes) -> None:
        self._tag = tag
        self._open: dict[bytes, Check] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, check: Check) -> bytes | None:
        """Its transaction id; ``None`` when too many are open."""
        if len(self._open) >= OUTSTANDING_PROBES:
            return None
        transaction = self._tag + secrets.token_bytes(8)
        self._open[transaction] = check
        return transaction

    def answered(self, port: Port, key: bytes, message: stun.StunMessage, data: bytes, pwd: str) -> Check | None:
        """The one that ``message`` answers, be it with an error; ``None`` when it answers none."""
        check = self._open.get(message.transaction_id)
        if check is None:
            return None
        # RFC 8445 section 7.2.5.2.1: an answer from elsewhere proves nothing.
        if check.pair.key != key or check.pair.port is not port:
            return None
        if not message.verify_integrity(data, pwd.encode()):
            check.pair.bad_integrity += 1
            return None
        return self._open.pop(message.transaction_id)

    def expire(self, now: float) -> None:
        """Forget those whose answer is of no use any more."""
        for transaction, check in list(self._open.items()):
            if now - check.sent_at > PROBE_TIMEOUT:
                del self._open[transaction]

    def clear(self) -> None:
        """Forget all."""
        self._open.clear()
