"""How much the way to a peer can carry: an estimate from its transport-wide feedback.

After Google Congestion Control (draft-ietf-rmcat-gcc-02): a controller by delay, which sees queues grow before they
overflow, and one by loss. We forward and can't send more than our sources do, so an unloaded way would never show what
it can carry: without a sign of congestion the estimate rises up to :data:`HEADROOM` times what arrives, which is enough
to try the next larger layer of a simulcast.
"""

import enum
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

MIN_BPS = 30_000
START_BPS = 300_000
HEADROOM = 4.0
"""The estimate is at most so many times what arrives."""
LOSS_HIGH = 0.10
"""More than this lowers the estimate."""
LOSS_LOW = 0.02
"""Less than this lets it rise."""

_BURST_SECONDS = 0.005
"""Packets sent within are one group: their order in time is that of our socket, not of the way."""
_WINDOW = 20
"""Groups whose delays make the trend."""
_SMOOTHING = 0.9
_GAIN = 4.0
_MAX_GROUPS = 60
_THRESHOLD_MS = 12.5
_THRESHOLD_BOUNDS_MS = (6.0, 600.0)
_UP, _DOWN = 0.0087, 0.039
"""How fast the threshold follows the trend, per millisecond (draft-ietf-rmcat-gcc-02 section 5.4)."""
_OVERUSE_SECONDS = 0.01
_BACK_OFF = 0.85
_RISE_PER_SECOND = 1.08
_RATE_SECONDS = 0.5
"""Window of the rate that arrives."""
_MAX_RATE_PACKETS = 4096
_LOSS_PACKETS = 20
"""Packets that a share of loss is taken of, at least."""
_LOSS_PAUSE_SECONDS = 0.3
"""Between two reductions: the first one's effect has to show first."""
_STALE_SECONDS = 2.0
"""Without feedback for so long, what was known of delays is of another time."""


class Usage(enum.Enum):
    """What the delays say."""

    NORMAL = "normal"
    OVERUSE = "overuse"
    UNDERUSE = "underuse"


class Acknowledged(NamedTuple):
    """A packet that came."""

    sent: float
    """Monotonic seconds, ours."""
    arrived: float
    """Seconds of the receiver's clock."""
    size: int
    """Bytes."""


class DelayTrend:
    """Whether packets come later and later: the slope of one-way delay over the last groups of packets."""

    def __init__(self) -> None:
        self.usage = Usage.NORMAL
        self._threshold = _THRESHOLD_MS
        self.restart()

    def restart(self) -> None:
        """Forget what was seen: the way may be another one."""
        self.usage = Usage.NORMAL
        self._group: tuple[float, float, float] | None = None
        """First and last sent, last arrived."""
        self._before: tuple[float, float] | None = None
        self._delay = self._smoothed = 0.0
        self._points: deque[tuple[float, float]] = deque(maxlen=_WINDOW)
        self._groups = 0
        self._trend = 0.0
        self._over_since: float | None = None
        self._adapted: float | None = None

    def packet(self, sent: float, arrived: float) -> None:
        """In the order of sending."""
        group = self._group
        if group is None:
            self._group = (sent, sent, arrived)
        elif sent - group[0] <= _BURST_SECONDS:
            self._group = (group[0], max(sent, group[1]), max(arrived, group[2]))
        else:
            self._complete(group[1], group[2])
            self._group = (sent, sent, arrived)

    def _complete(self, sent: float, arrived: float) -> None:
        if self._before is not None:
            difference = (arrived - self._before[1]) - (sent - self._before[0])
            if arrived <= self._before[1] - 1 or abs(difference) > 3:
                # The receiver's clock was set, or the way was down.
                self.restart()
            else:
                self._delayed(1000 * difference, arrived)
        self._before = (sent, arrived)

    def _delayed(self, milliseconds: float, arrived: float) -> None:
        self._groups = min(self._groups + 1, _MAX_GROUPS)
        self._delay += milliseconds
        self._smoothed = _SMOOTHING * self._smoothed + (1 - _SMOOTHING) * self._delay
        self._points.append((1000 * arrived, self._smoothed))
        if len(self._points) < _WINDOW:
            return
        trend = self._groups * _slope(self._points) * _GAIN
        if trend > self._threshold:
            if self._over_since is None:
                self._over_since = arrived
            elif arrived - self._over_since > _OVERUSE_SECONDS and trend >= self._trend:
                self.usage = Usage.OVERUSE
        else:
            self._over_since = None
            self.usage = Usage.UNDERUSE if trend < -self._threshold else Usage.NORMAL
        self._trend = trend
        self._adapt(abs(trend), arrived)

    def _adapt(self, trend: float, arrived: float) -> None:
        elapsed_ms = 0.0 if self._adapted is None else min(100.0, max(0.0, 1000 * (arrived - self._adapted)))
        self._adapted = arrived
        if trend > self._threshold + 15:
            # A sudden spike (a change of route) must not make it deaf.
            return
        speed = _DOWN if trend < self._threshold else _UP
        low, high = _THRESHOLD_BOUNDS_MS
        self._threshold = min(high, max(low, self._threshold + speed * (trend - self._threshold) * elapsed_ms))


class BandwidthEstimate:
    """Bits per second that the way to one peer carries; moved by feedback alone. No clock, no I/O."""

    def __init__(self, max_bps: int) -> None:
        self.max_bps = max_bps
        """Never exceeded."""
        self.bps = min(START_BPS, max_bps)
        self.arriving_bps = 0
        """What has come of late; 0 before half a second of feedback."""
        self.loss = 0.0
        """Share of the packets of the last interval that did not come, 0..1."""
        self.has_feedback = False
        """Before that, :attr:`bps` is a guess."""
        self.trend = DelayTrend()
        self._arrivals: deque[tuple[float, int]] = deque(maxlen=_MAX_RATE_PACKETS)
        self._arrived_bytes = 0
        self._received = self._lost = 0
        self._last: float | None = None
        self._lowered = float("-inf")

    def feedback(self, acknowledged: Sequence[Acknowledged], lost: int, now: float) -> None:
        """Packets that came, and how many did not, of which that was not known before."""
        elapsed = 0.0 if self._last is None else now - self._last
        if elapsed > _STALE_SECONDS:
            self.trend.restart()
            self._arrivals.clear()
            self._arrived_bytes = 0
            elapsed = 0.0
        self._last = now
        self.has_feedback = self.has_feedback or bool(acknowledged)
        for packet in sorted(acknowledged):
            self.trend.packet(packet.sent, packet.arrived)
        self._measure(acknowledged)
        self._received += len(acknowledged)
        self._lost += lost
        lossy = self._take_stock_of_loss()
        estimate = float(self.bps)
        may_lower = now - self._lowered >= _LOSS_PAUSE_SECONDS
        if self.trend.usage is Usage.OVERUSE:
            if may_lower and self.arriving_bps:
                estimate = min(estimate, _BACK_OFF * self.arriving_bps)
                self._lowered = now
            self.trend.usage = Usage.NORMAL
        elif lossy:
            if may_lower:
                # Half of what does arrive is beyond doubt, however many a source that heeds nothing sends in vain.
                estimate = max(estimate * (1 - 0.5 * self.loss), min(estimate, 0.5 * self.arriving_bps))
                self._lowered = now
        elif acknowledged and self.loss < LOSS_LOW and self.trend.usage is Usage.NORMAL:
            # Bounded by what arrives, but what was reached is not taken away because a source sends less.
            ceiling = max(estimate, HEADROOM * self.arriving_bps)
            estimate = min(ceiling, estimate * _RISE_PER_SECOND ** min(elapsed, 1.0) + 1000 * min(elapsed, 1.0))
        self.bps = int(min(self.max_bps, max(MIN_BPS, estimate)))

    def _take_stock_of_loss(self) -> bool:
        """Whether an interval has just ended that lost too much."""
        total = self._received + self._lost
        if total < _LOSS_PACKETS:
            return False
        self.loss = self._lost / total
        self._received = self._lost = 0
        return self.loss > LOSS_HIGH

    def _measure(self, acknowledged: Sequence[Acknowledged]) -> None:
        arrivals = self._arrivals
        for packet in sorted(acknowledged, key=_arrived):
            if len(arrivals) == _MAX_RATE_PACKETS:
                self._arrived_bytes -= arrivals.popleft()[1]
            arrivals.append((packet.arrived, packet.size))
            self._arrived_bytes += packet.size
        if not arrivals:
            return
        newest = arrivals[-1][0]
        while newest - arrivals[0][0] > _RATE_SECONDS:
            self._arrived_bytes -= arrivals.popleft()[1]
        span = newest - arrivals[0][0]
        if span > _RATE_SECONDS / 2:
            # The first packet only marks where the span begins.
            self.arriving_bps = int(8 * (self._arrived_bytes - arrivals[0][1]) / span)


def _arrived(packet: Acknowledged) -> float:
    return packet.arrived


def _slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the line of least squares; 0 where all are at one time."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    below = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / below if below else 0.0
