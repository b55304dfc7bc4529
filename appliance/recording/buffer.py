"""What is kept of one handle, in memory and bounded.

Without being asked, what sets the call up (STUN, DTLS, the first messages), and the last seconds (a ring) where these
are configured; once asked, everything up to a size. The former is kept beside the ring, since no capture can be read
without it.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from appliance.core.clock import Clock
from appliance.core.recording import Address
from appliance.recording.config import RecordingConfig
from appliance.recording.parts import Datagram, Parts, Plain, Said

SETUP_BYTES = 131_072
"""Of STUN and DTLS, kept for good."""
OVERHEAD = 160
"""Bytes that an entry costs beside its data, roughly."""
MAX_MESSAGES = 2_000
MAX_KEYS = 32
MAX_ADDRESSES = 100
"""Of one call that are told apart; a peer can make up any number."""
MAX_DEPTH = 16
SECRETS = frozenset({
    "apisecret", "admin_secret", "token", "secret", "pin", "password", "admin_key", "room_secret", "new_secret",
    "new_pin", "adminpwd", "rtmp_token", "private_id", "srtp_crypto",
})  # fmt: skip
"""Elements of requests whose values are never kept."""
_RTP_HEADER = 12


class Budget(Protocol):
    """The bytes of all calls together."""

    def grow(self, size: int) -> bool:
        """Take room; false when there is none."""

    def shrink(self, size: int) -> None:
        """Give it back."""


class Buffer:
    """Implements :class:`appliance.core.recording.CallRecord`."""

    def __init__(self, config: RecordingConfig, clock: Clock, budget: Budget, *, asked: bool) -> None:
        self.asked = asked
        """Everything is kept, not only the last seconds."""
        self.lost: dict[str, int] = {}
        self._config = config
        self._clock = clock
        self._budget = budget
        self._setup: list[Datagram] = []
        self._setup_bytes = 0
        self._ring: deque[Datagram | Plain] = deque()
        self._bytes = 0
        self._messages: deque[Said] = deque(maxlen=MAX_MESSAGES)
        self._keys: list[str] = []
        self._addresses: dict[Address, Address] = {}
        """Each once, however many datagrams go there: most of a short datagram's memory would be its addresses."""

    @property
    def media(self) -> bool:
        """RTP and RTCP are kept too, and not STUN, DTLS and messages alone."""
        return self.asked or self._config.buffer_seconds > 0

    def wire(self, data: bytes, incoming: bool, local: Address, remote: Address) -> None:
        """Keep a datagram."""
        known = self._addresses
        if len(known) < MAX_ADDRESSES:
            local, remote = known.setdefault(local, local), known.setdefault(remote, remote)
        entry = Datagram(self._clock.wall_us(), incoming, local, remote, data)
        is_setup = bool(data) and not 127 < data[0] < 192
        size = len(data) + OVERHEAD
        if is_setup and self._has_room(size):
            self._setup.append(entry)
        elif self.media:
            self._keep(entry, size)
        elif is_setup:
            self._lose("setup")

    def _has_room(self, size: int) -> bool:
        """Take it of what is for the setting up."""
        if self._setup_bytes + size > (SETUP_BYTES if self.media else self._config.setup_bytes):
            return False
        if not self._budget.grow(size):
            return False
        self._setup_bytes += size
        return True

    def plain(self, data: bytes, incoming: bool) -> None:
        """Keep the header of an RTP packet, or RTCP."""
        kept = data if self._config.payloads else data[: _header_bytes(data)]
        self._keep(Plain(self._clock.wall_us(), incoming, len(data), kept), len(kept) + OVERHEAD)

    def message(self, message: Mapping[str, Any], *, incoming: bool) -> None:
        """Keep a message; the oldest make room, but those that set the call up."""
        said = Said(self._clock.wall_us(), incoming, without_secrets(message))
        if len(self._messages) == MAX_MESSAGES or not (self.media or self._has_room(_weight(said.message) + OVERHEAD)):
            self._lose("messages")
            if not self.media:
                return
        self._messages.append(said)

    def secret(self, line: str) -> None:
        """Keep a key, where that is configured."""
        if self._config.keys and len(self._keys) < MAX_KEYS:
            self._keys.append(line)

    def _keep(self, entry: Datagram | Plain, size: int) -> None:
        limit = self._config.max_bytes if self.asked else self._config.buffer_bytes
        if self.asked and self._bytes + size > limit:
            self._lose("full")
            return
        if not self.asked:
            oldest = entry.timestamp_us - round(self._config.buffer_seconds * 1e6)
            while self._ring and (self._ring[0].timestamp_us < oldest or self._bytes + size > limit):
                self._drop_oldest()
        if not self._budget.grow(size):
            self._lose("total")
            return
        self._ring.append(entry)
        self._bytes += size

    def _drop_oldest(self) -> None:
        size = len(self._ring.popleft().data) + OVERHEAD
        self._bytes -= size
        self._budget.shrink(size)
        self._lose("aged")

    def _lose(self, why: str) -> None:
        self.lost[why] = self.lost.get(why, 0) + 1

    def snapshot(self) -> Parts:
        """All that is kept now."""
        wire = [entry for entry in self._ring if isinstance(entry, Datagram)]
        return Parts(
            wire=sorted([*self._setup, *wire], key=_moment),
            plain=[entry for entry in self._ring if isinstance(entry, Plain)],
            messages=list(self._messages),
            keys=list(self._keys),
            lost=dict(self.lost),
        )

    def clear(self) -> None:
        """Give all room back."""
        self._budget.shrink(self._bytes + self._setup_bytes)
        self._bytes = self._setup_bytes = 0
        self._ring.clear()
        self._setup.clear()
        self._messages.clear()
        self._keys.clear()
        self._addresses.clear()


def _moment(entry: Datagram) -> int:
    return entry.timestamp_us


def _header_bytes(data: bytes) -> int:
    """Of RTP (RFC 3550 section 5.1, with its extension); all of RTCP."""
    if len(data) < _RTP_HEADER or 191 < data[1] < 224:
        return len(data)
    size = _RTP_HEADER + 4 * (data[0] & 0x0F)
    if data[0] & 0x10 and len(data) >= size + 4:
        size += 4 + 4 * int.from_bytes(data[size + 2 : size + 4], "big")
    return size


def _weight(value: Any) -> int:
    """Bytes of a message, roughly."""
    if isinstance(value, Mapping):
        return sum(OVERHEAD + len(key) + _weight(inner) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return sum(_weight(inner) for inner in value)
    return len(value) if isinstance(value, str) else 8


def without_secrets(value: Any, depth: int = 0) -> Any:
    """The same JSON, with what nobody else may know replaced."""
    if depth >= MAX_DEPTH:
        return None
    if isinstance(value, Mapping):
        return {
            str(key): "********" if key in SECRETS and inner else without_secrets(inner, depth + 1)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_secrets(inner, depth + 1) for inner in value]
    return value


Write = Callable[[Callable[[], None]], None]
"""Runs a function where it may wait for a disk."""
