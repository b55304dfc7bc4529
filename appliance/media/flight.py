"""The flight of a DTLS handshake that went last, to be sent again before OpenSSL does it: RFC 6347 section 4.2.4.

OpenSSL waits for a second, then two, then four; and it drops what the peer sends again, where RFC 9147 section 5.8.1
has it answered at once. Neither can be changed from Python. What a flight repeats is in plain text but for the last
message: such records only need a new sequence number, and since numbers may not be used twice (section 4.1.2.6), all
records of epoch 0 take theirs here. An encrypted Finished goes as it is, which is of use when it was lost; where the
answer to it was, the peer drops it as a replay, and OpenSSL's own timer makes a new one.
"""

from appliance.wire.dtls import HANDSHAKE_HEADER_SIZE, RECORD_HEADER_SIZE, ContentType

INITIAL_UNKNOWN = 0.3
"""Seconds before a flight goes again, when no round trip is known."""
INITIAL_LEAST = 0.1
"""Seconds, however short the round trip: the peer signs meanwhile."""
MOST = 1.0
"""Seconds between two sendings of a flight at most. RFC 9147 section 5.8.2 would go on doubling up to a minute, so as
not to burden a full network; a flight is one or two datagrams, and it ends with the handshake's time-out."""
MAX_HEARD = 64
"""Fragments that are known again when they come again."""
_PLAIN = b"\0\0"
_MESSAGE = slice(RECORD_HEADER_SIZE, RECORD_HEADER_SIZE + HANDSHAKE_HEADER_SIZE)


class Flight:
    """What was written last, and when it is due again."""

    __slots__ = ("_heard", "_next_number", "_records", "_sent_at", "_wait")

    def __init__(self) -> None:
        self._records: list[bytes] = []
        self._sent_at = 0.0
        self._wait = 0.0
        self._next_number = 0
        self._heard: set[bytes] = set()

    def written(self, records: list[bytes], now: float, round_trip: float | None) -> list[bytes]:
        """Take a new flight; its records as they are to be sent. ``round_trip`` is in seconds, if known."""
        wanted = INITIAL_UNKNOWN if round_trip is None else 2 * round_trip
        self._wait = min(max(wanted, INITIAL_LEAST), MOST)
        self._records, self._sent_at = records, now
        return self.numbered(records)

    def again(self, now: float, renewed: list[bytes]) -> list[bytes]:
        """It once more, ``renewed`` by OpenSSL if that isn't empty; the next time is twice as far away."""
        self._wait = min(2 * self._wait, MOST)
        self._records, self._sent_at = renewed or self._records, now
        return self.numbered(self._records)

    def due_in(self, now: float) -> float:
        """Seconds; infinite before the first."""
        return max(0.0, self._sent_at + self._wait - now) if self._records else float("inf")

    def is_asked_for(self, records: list[bytes], now: float) -> bool:
        """Whether the peer says again what it said before: it has not heard our answer.

        Not so right after that: a network that doubles datagrams need not double ours.
        """
        heard = {
            record[_MESSAGE]
            for record in records
            if record[0] == ContentType.HANDSHAKE and record[3:5] == _PLAIN and len(record) >= _MESSAGE.stop
        }
        known = not self._heard.isdisjoint(heard)
        if len(self._heard) < MAX_HEARD:
            self._heard |= heard
        return known and bool(self._records) and now - self._sent_at >= INITIAL_LEAST / 2

    def numbered(self, records: list[bytes]) -> list[bytes]:
        """Records as they are to be sent."""
        return [self._numbered(record) if record[3:5] == _PLAIN else record for record in records]

    def done(self) -> None:
        """The handshake is over: nothing is due any more."""
        self._records = []
        self._heard = set()

    def _numbered(self, record: bytes) -> bytes:
        number, self._next_number = self._next_number, self._next_number + 1
        return record[:5] + number.to_bytes(6, "big") + record[11:]
