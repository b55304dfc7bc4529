"""How far the other side's handshake came, by its records: what a failed one is told apart by."""

from appliance.wire.dtls import HANDSHAKE_NAMES

_HANDSHAKE = 22
_HEADERS = 25
"""Bytes of a record's header and a handshake message's (RFC 6347 sections 4.1 and 4.2.2)."""


class PeerHandshake:
    """Of one peer; told of each record with :meth:`take`."""

    __slots__ = ("first_fragment_seen", "hellos", "last")

    def __init__(self) -> None:
        self.first_fragment_seen: bool | None = None
        """False: later fragments of its ClientHello came, and the first did not. The path drops large datagrams."""
        self.hellos = 0
        """ClientHellos, whole or their first fragments."""
        self.last: str | None = None
        """The last handshake message by name; ``finished`` for what is encrypted."""

    def take(self, record: bytes) -> None:
        """A record, whole."""
        if record[0] != _HANDSHAKE:
            return
        if record[3:5] != b"\0\0":
            self.last = "finished"
        elif len(record) >= _HEADERS:
            self.last = HANDSHAKE_NAMES.get(record[13], "other")
            if self.last == "client_hello":
                is_first = record[19:22] == b"\0\0\0"
                self.hellos += is_first
                self.first_fragment_seen = bool(self.first_fragment_seen) or is_first
