"""Transport-wide congestion control of one PeerConnection: what came and when, and what we sent under which number.

One sequence of numbers runs through all streams of a direction. Both halves are met by every packet: they only store
there, and do their reckoning when feedback is due or comes.
"""

from collections.abc import Iterator
from typing import Protocol

from appliance.core.clock import Clock, Timer
from appliance.media.bandwidth import Acknowledged, BandwidthEstimate
from appliance.wire import rtcp, twcc
from appliance.wire.twcc import TICKS_PER_SECOND, TIME_WRAP, TwccFeedback

FEEDBACK_SECONDS = 0.1
SLOW_FEEDBACK_SECONDS = 0.25
"""Where few packets come: as long as libwebrtc waits at most."""
_FEW = 10
"""Packets since the last feedback that are not worth the shorter interval."""
MAX_ARRIVALS = 1024
"""Packets that are kept for a feedback; with one more it is sent at once."""
_MAX_RECEIVED = 400
"""Packets that one message tells of, so that it fits a datagram."""
_MAX_HOLE = 500
"""Numbers in a row that did not come, after which a message of its own begins: the peer started anew."""
_MAX_PAUSE = 4.0
"""Seconds between two packets of one message; a delta holds 8."""
_KEPT = 2048
"""Packets sent of which we remember when; a power of two."""


class FeedbackPath(Protocol):
    """Where feedback goes: what :class:`Arrivals` needs of the path."""

    rtcp_ssrc: int

    @property
    def media_ssrc(self) -> int:
        """One of the streams that the feedback is about."""

    def send_rtcp(self, packets: list[rtcp.Packet]) -> bool:
        """Encrypt and send."""


class Arrivals:
    """What has come of one peer; sends feedback about it."""

    __slots__ = ("_before", "_clock", "_last", "_now", "_number", "_path", "_since", "_timer", "feedbacks_sent")

    def __init__(self, path: "FeedbackPath", clock: Clock) -> None:
        self.feedbacks_sent = 0
        self._path = path
        self._clock = clock
        self._now: dict[int, float] = {}
        self._before: dict[int, float] = {}
        """What the last feedback told, since a packet that comes late makes the next one speak of it again."""
        self._last = -1
        """The highest number told of."""
        self._number = 0
        self._since = 0.0
        self._timer: Timer | None = None

    def record(self, number: int, now: float) -> None:
        """A packet came."""
        arrivals = self._now
        if not arrivals:
            self._since = now
            if self._timer is None:
                self._timer = self._clock.call_later(FEEDBACK_SECONDS, self._due)
        arrivals[number] = now
        if len(arrivals) >= MAX_ARRIVALS:
            self._send()

    def _due(self) -> None:
        self._timer = None
        waited = self._clock.monotonic() - self._since
        if len(self._now) < _FEW and waited < SLOW_FEEDBACK_SECONDS - 0.01:
            self._timer = self._clock.call_later(SLOW_FEEDBACK_SECONDS - waited, self._due)
        elif self._now:
            self._send()

    def _send(self) -> None:
        packets: list[rtcp.Packet] = []
        for feedback in self._feedbacks():
            control = feedback.build()
            ssrc, about = self._path.rtcp_ssrc, self._path.media_ssrc
            packets.append(rtcp.TransportFeedback(sender_ssrc=ssrc, media_ssrc=about, control=control))
        self._before, self._now = self._now, {}
        for packet in packets:
            if self._path.send_rtcp([packet]):
                self.feedbacks_sent += 1

    def _feedbacks(self) -> Iterator[TwccFeedback]:
        # Unwrapped around what was told last, so that numbers that come late are before it.
        anchor = self._last if self._last >= 0 else next(iter(self._now))
        found = {anchor + _signed(number - anchor): time for number, time in self._now.items()}
        told = {anchor + _signed(number - anchor): time for number, time in self._before.items()}
        numbers = sorted(found)
        start = 0
        expected = anchor + 1 if self._last >= 0 else numbers[0]
        for index in range(1, len(numbers) + 1):
            if (
                index < len(numbers)
                and index - start < _MAX_RECEIVED
                and numbers[index] - numbers[index - 1] <= _MAX_HOLE
                and abs(found[numbers[index]] - found[numbers[start]]) < _MAX_PAUSE
            ):
                continue
            first, last = numbers[start], numbers[index - 1]
            if expected < first <= expected + _MAX_HOLE:
                first = expected
            about = found[numbers[start]]
            ticks: list[int | None] = []
            for number in range(first, last + 1):
                time = found.get(number, told.get(number))
                is_near = time is not None and abs(time - about) < _MAX_PAUSE
                ticks.append(int(time * TICKS_PER_SECOND) if time is not None and is_near else None)
            yield TwccFeedback(first & 0xFFFF, self._number, tuple(ticks))
            self._number = (self._number + 1) & 0xFF
            start, expected = index, last + 1
        self._last = max(numbers[-1], anchor) & 0xFFFF

    def close(self) -> None:
        """Tell nothing any more."""
        self._now.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def let_go(self) -> None:
        """Know nobody any more: nothing happens after :meth:`close`."""
        del self._path


class Sent:
    """Numbers of what we send, and what the peer's feedback makes of them."""

    __slots__ = ("_arrived", "_next", "_sizes", "_times", "_total", "estimate", "feedbacks_received", "refused")

    def __init__(self, estimate: BandwidthEstimate) -> None:
        self.estimate = estimate
        self.feedbacks_received = 0
        self.refused = 0
        """Feedback that could not be read."""
        self._next = 0
        self._total = 0
        self._times: list[float] = []
        self._sizes: list[int] = []
        """Bytes; 0 once it was told to have come, negative once it was told not to have."""
        self._arrived = 0
        """Ticks of the last arrival, not wrapped."""

    def stamp(self, view: memoryview, offset: int, size: int, now: float) -> None:
        """Number a packet that is about to be sent, where its header extension has room for it."""
        if not self._times:
            # With the first packet: most peers that are connected are never sent one.
            self._times, self._sizes = [0.0] * _KEPT, [0] * _KEPT
        number = self._next
        view[offset] = number >> 8
        view[offset + 1] = number & 0xFF
        self._next = (number + 1) & 0xFFFF
        self._total += 1
        self._times[number % _KEPT] = now
        self._sizes[number % _KEPT] = size

    def feedback(self, packet: rtcp.TransportFeedback, now: float) -> None:
        """The peer tells what has come."""
        try:
            told = twcc.parse(packet.control)
        except twcc.TwccDecodeError:
            self.refused += 1
            return
        self.feedbacks_received += 1
        acknowledged: list[Acknowledged] = []
        lost = 0
        kept = min(self._total, _KEPT)
        wraps: int | None = None
        for offset, tick in enumerate(told.arrivals):
            number = (told.base + offset) & 0xFFFF
            if not 0 < ((self._next - number) & 0xFFFF) <= kept:
                continue
            slot = number % _KEPT
            size = self._sizes[slot]
            if tick is None:
                if size > 0:
                    self._sizes[slot] = -size
                    lost += 1
                continue
            if wraps is None:
                wraps = self._unwrapped(tick) - tick
            self._arrived = tick + wraps
            if size:
                self._sizes[slot] = 0
                acknowledged.append(Acknowledged(self._times[slot], self._arrived / TICKS_PER_SECOND, abs(size)))
        self.estimate.feedback(acknowledged, lost, now)

    def _unwrapped(self, tick: int) -> int:
        step = (tick - self._arrived) % TIME_WRAP
        return self._arrived + (step if step < TIME_WRAP // 2 else step - TIME_WRAP)


def _signed(difference: int) -> int:
    return ((difference + 0x8000) & 0xFFFF) - 0x8000
