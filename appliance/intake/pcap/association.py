"""What one PeerConnection puts on the wire, gathered as it passes: pairs and their STUN, the handshake, the streams.

Who of the two ends is the client is often known only later, so everything is kept by end: 0 and 1.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from appliance.intake.pcap.handshake import Handshake
from appliance.intake.pcap.stream import Stream
from appliance.wire import rtcp

if TYPE_CHECKING:
    from appliance.intake.pcap.keys import KeyLog, Opener

MAX_STREAMS = 64
MAX_FLOWS = 200
MAX_UFRAGS = 32
MAX_SNAPSHOTS = 5_000
MAX_REPORTS = 20_000
MAX_SUSPECTS = 8
BELIEVE_AFTER = 8
"""RTP packets in order, before a conversation without STUN or DTLS is a call's."""
TICK_US = 1_000_000
COPY_US = 10_000
"""Within which the same bytes once more are a mirror port's copy, where nothing in them says so."""
MAX_SEEN = 16
"""Packets of one kind that are on their way at once."""
MAX_SEEN_IN_CALL = 64
COUNTERS_US = 5_000_000
"""Between looks at the STUN counters, once ICE is through."""


class Seen:
    """What passed lately."""

    __slots__ = ("_limit", "_times")

    def __init__(self, limit: int = MAX_SEEN) -> None:
        self._limit = limit
        self._times: dict[int, int] = {}

    def again(self, timestamp_us: int, data: bytes, end: int = 0, *, within_us: int = COPY_US) -> bool:
        """Whether these very bytes passed before, from that end."""
        mark = hash((end, data))
        before = self._times.pop(mark, None)
        self._times[mark] = timestamp_us
        if len(self._times) > self._limit:
            del self._times[next(iter(self._times))]
        return before is not None and timestamp_us - before <= within_us


class Way:
    """One direction of a 5-tuple."""

    __slots__ = (
        "association", "bad", "end", "flow", "other", "packets", "requests", "responses", "seen", "source",
        "streams", "suspects",
    )  # fmt: skip

    def __init__(self, flow: "Flow", source: tuple[str, int]) -> None:
        self.flow = flow
        self.source = source
        self.other: Way = self
        self.association: Association | None = None
        self.end = 0
        """Which end of the association sends here."""
        self.streams: dict[int, Stream] = {}
        self.seen = Seen()
        """Its STUN."""
        self.packets = 0
        self.requests = 0
        self.responses = 0
        self.bad = 0
        """Error responses to STUN with 401, or 400."""
        self.suspects: dict[int, tuple[int, int]] = {}
        """By SSRC: number and how often in order, before it is believed to be RTP."""

    def believe(self, ssrc: int, sequence: int) -> bool:
        """Whether this looks like RTP by now, without STUN or DTLS before it."""
        number, times = self.suspects.get(ssrc, (sequence, 0))
        step = (sequence - number) & 0xFFFF
        times = times + 1 if step == 1 else times if step == 0 else 0
        if len(self.suspects) < MAX_SUSPECTS or ssrc in self.suspects:
            self.suspects[ssrc] = (sequence, times)
        return times >= BELIEVE_AFTER


class Flow:
    """Both directions of a 5-tuple."""

    __slots__ = ("is_tcp", "nominated_us", "nominating", "ways")

    def __init__(self, one: tuple[str, int], other: tuple[str, int], *, is_tcp: bool = False) -> None:
        self.is_tcp = is_tcp
        self.ways = (Way(self, one), Way(self, other))
        self.ways[0].other, self.ways[1].other = self.ways[1], self.ways[0]
        self.ways[1].end = 1
        self.nominating: set[bytes] = set()
        """Transactions with USE-CANDIDATE that wait for their answer."""
        self.nominated_us: int | None = None

    def of(self, end: int) -> Way:
        """The direction that this end sends in."""
        return self.ways[0] if self.ways[0].end == end else self.ways[1]


class Counts(NamedTuple):
    """A pair's STUN at a moment, by end."""

    flow: Flow
    requests: tuple[int, int]
    responses: tuple[int, int]
    bad: int
    nominated: bool


class Association:
    """One ICE session and what came through it."""

    def __init__(self, timestamp_us: int) -> None:
        self.first_us = self.last_us = timestamp_us
        self.next_us = timestamp_us + TICK_US
        self.flows: list[Flow] = []
        self.ends: dict[str, int] = {}
        """ICE user name fragment: whose."""
        self.controlling: int | None = None
        self.stun_us: int | None = None
        self.selected: list[tuple[int, Flow]] = []
        self.handshake = Handshake()
        self.seen = Seen(MAX_SEEN_IN_CALL)
        """Its DTLS and RTCP, on whatever pair."""
        self.media_us: int | None = None
        self.streams: dict[tuple[int, int], Stream] = {}
        self.snapshots: list[tuple[int, list[Counts]]] = []
        self.reports: list[tuple[int, int, rtcp.Packet]] = []
        self.srtcp = [0, 0]
        self.openers: tuple[Opener, Opener] | None = None
        """Of each end, where its keys are known."""
        self.sought_keys = False
        self.left_out = 0
        """Streams, pairs and reports beyond the limits."""

    def adopt(self, flow: Flow) -> None:
        """A pair of this association's."""
        if len(self.flows) < MAX_FLOWS:
            self.flows.append(flow)
        else:
            self.left_out += 1
        for way in flow.ways:
            way.association = self

    def name(self, ufrag: str, end: int) -> None:
        """This end calls itself so; a restart gives it another name."""
        if len(self.ends) < MAX_UFRAGS:
            self.ends.setdefault(ufrag, end)

    def stream(self, way: Way, ssrc: int, payload_type: int, sequence: int, header: bytes, at_us: int) -> Stream | None:
        """The stream of that SSRC, on whichever pair it began."""
        found = self.streams.get((way.end, ssrc))
        if found is None:
            if len(self.streams) >= MAX_STREAMS:
                self.left_out += 1
                return None
            found = self.streams[way.end, ssrc] = Stream(ssrc, payload_type, sequence, header, at_us)
            if self.media_us is None:
                self.media_us = at_us
        way.streams[ssrc] = found
        return found

    def absorb(self, other: "Association", way: Way, ssrc: int) -> bool:
        """Take over what ``other`` has gathered, on whose ``way`` a stream of this one goes on: it is the same call."""
        end = next((end for end, known in self.streams if known == ssrc), None)
        if end is None or other.streams or other.handshake.first_us is not None:
            return False
        turned = way.end != end
        for flow in other.flows:
            for each in flow.ways:
                each.end = 1 - each.end if turned else each.end
            self.adopt(flow)
        for ufrag, whose in other.ends.items():
            self.name(ufrag, 1 - whose if turned else whose)
        self.selected += other.selected
        self.left_out += other.left_out
        return True

    def tick(self, timestamp_us: int) -> None:
        """A second has passed since the last samples."""
        self.sample(self.next_us)
        if timestamp_us - self.next_us > 2 * TICK_US:
            # Nothing at all came for a while: that it came again is the next second's news.
            self.sample(timestamp_us - 1)
            self.next_us = timestamp_us + TICK_US
        else:
            self.next_us += TICK_US

    def sample(self, timestamp_us: int) -> None:
        """Note how everything stands."""
        for stream in self.streams.values():
            stream.sample(timestamp_us)
        pause = COUNTERS_US if self.handshake.done_us is not None else TICK_US
        if not self.snapshots or timestamp_us - self.snapshots[-1][0] >= pause:
            self.count(timestamp_us)

    def count(self, timestamp_us: int) -> None:
        """Note the STUN counters."""
        if len(self.snapshots) >= MAX_SNAPSHOTS:
            self.left_out += 1
            return
        self.snapshots.append((timestamp_us, list(self._counts())))

    def _counts(self) -> Iterator[Counts]:
        for flow in self.flows:
            zero, one = flow.of(0), flow.of(1)
            if zero.requests or one.requests:
                yield Counts(
                    flow,
                    (zero.requests, one.requests),
                    (zero.responses, one.responses),
                    zero.bad + one.bad,
                    flow.nominated_us is not None,
                )

    def open_rtcp(self, end: int, packet: bytes, keys: "KeyLog") -> bytes | None:
        """An SRTCP packet in clear; ``None`` without its keys."""
        hands = self.handshake
        if not self.sought_keys and hands.profile is not None:
            client = 0 if hands.sides[0].is_client else 1
            randoms = [side.random for side in hands.sides]
            self.sought_keys = True
            if randoms[0] and randoms[1]:
                found = keys.openers(
                    randoms[client] or b"", randoms[1 - client] or b"", hands.cipher or "", hands.profile
                )
                self.openers = found if found is None or client == 0 else (found[1], found[0])
        return None if self.openers is None else self.openers[end].rtcp(packet)

    def report(self, timestamp_us: int, end: int, packet: rtcp.Packet) -> None:
        """An RTCP packet in clear."""
        if len(self.reports) < MAX_REPORTS:
            self.reports.append((timestamp_us, end, packet))
        else:
            self.left_out += 1
