"""The curves of one track for a page that plots them: bounded, and thinner the longer the call."""

from collections.abc import Sequence

from msgspec import Struct

MAX_POINTS = 7_200
"""Two hours of one a second; then two neighbours become one."""


class Point(Struct, frozen=True):
    """One statistics interval. Loss is a share of 0 to 1; what was not measured is ``None``."""

    timestamp_us: int
    loss_in: float | None
    """Of what the client sent."""
    loss_out: float | None
    """Of what we sent, as the client reports."""
    jitter_in_ms: float | None
    jitter_out_ms: float | None
    rtt_ms: float | None
    bitrate_in_bps: int | None
    bitrate_out_bps: int | None
    nacks_in: float | None = None
    """Repeats that the client asked for, a second."""
    nacks_out: float | None = None
    """That we asked for."""
    plis_in: float | None = None
    """Key frames that the client asked for (PLI and FIR), a second."""
    plis_out: float | None = None


class Series:
    """Points of equal weight; when :attr:`limit` of them are there, each holds twice as many intervals as before."""

    def __init__(self, limit: int = MAX_POINTS) -> None:
        self.limit = limit
        self.points: list[Point] = []
        self._stride = 1
        self._pending: list[Point] = []

    @property
    def wanted(self) -> bool:
        """False where nobody plots, so that a thousand live calls cost no memory for it."""
        return self.limit > 0

    def add(self, point: Point) -> None:
        """Take the next interval."""
        if self._stride == 1:
            self.points.append(point)
        else:
            self._pending.append(point)
            if len(self._pending) < self._stride:
                return
            self.points.append(merge(self._pending))
            self._pending.clear()
        if len(self.points) >= self.limit:
            self.points = [merge(self.points[at : at + 2]) for at in range(0, len(self.points), 2)]
            self._stride *= 2

    def all(self) -> list[Point]:
        """Every point, the unfinished one too."""
        return [*self.points, merge(self._pending)] if self._pending else list(self.points)


def merge(points: Sequence[Point]) -> Point:
    """One point for several: the last one's time, means, and the most loss and requests: no peak is averaged away."""
    return Point(
        points[-1].timestamp_us,
        _most([p.loss_in for p in points]),
        _most([p.loss_out for p in points]),
        _mean([p.jitter_in_ms for p in points]),
        _mean([p.jitter_out_ms for p in points]),
        _mean([p.rtt_ms for p in points]),
        _whole([p.bitrate_in_bps for p in points]),
        _whole([p.bitrate_out_bps for p in points]),
        _most([p.nacks_in for p in points]),
        _most([p.nacks_out for p in points]),
        _most([p.plis_in for p in points]),
        _most([p.plis_out for p in points]),
    )


def _most(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _whole(values: Sequence[int | None]) -> int | None:
    mean = _mean(values)
    return None if mean is None else round(mean)
