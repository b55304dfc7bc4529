"""The estimate, on a way of our own making: a bottleneck with a queue."""

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.media.bandwidth import MIN_BPS, START_BPS, Acknowledged, BandwidthEstimate

MAX_BPS = 10_000_000


class Way:
    """Packets of 1,000 bytes in bursts of 4 over a bottleneck; feedback each 100 ms."""

    def __init__(self, capacity_bps: float, *, queue_seconds: float = 0.3) -> None:
        self.estimate = BandwidthEstimate(MAX_BPS)
        self.capacity_bps = capacity_bps
        self.now = 100.0
        self.queue_seconds = queue_seconds
        self.free = 0.0
        self.count = 0

    def run(self, seconds: float, bps: float, *, lose_every: int = 0) -> None:
        pause = 8 * 4000 / bps
        end, next_feedback = self.now + seconds, self.now + 0.1
        came: list[Acknowledged] = []
        lost = 0
        while self.now < end:
            for _ in range(4):
                self.count += 1
                begins = max(self.now, self.free)
                if begins - self.now > self.queue_seconds or (lose_every and self.count % lose_every == 0):
                    lost += 1
                    continue
                self.free = begins + 8 * 1000 / self.capacity_bps
                # The receiver's clock is another one.
                came.append(Acknowledged(self.now, self.free + 5000.02, 1000))
            self.now += pause
            if self.now >= next_feedback:
                next_feedback += 0.1
                self.estimate.feedback(came, lost, self.now)
                came, lost = [], 0


def test_a_free_way_lets_it_rise_to_a_multiple_of_what_arrives() -> None:
    way = Way(50e6)
    assert way.estimate.bps == START_BPS
    assert not way.estimate.has_feedback
    way.run(60, 1e6)
    assert 0.9e6 < way.estimate.arriving_bps < 1.1e6
    assert 3e6 < way.estimate.bps < 4.5e6


def test_a_growing_queue_lowers_it_below_what_the_way_carries() -> None:
    way = Way(50e6)
    way.run(40, 1e6)
    assert way.estimate.bps > 2e6
    way.capacity_bps = 600e3
    way.run(3, 1e6)
    assert way.estimate.bps < 600e3
    assert way.estimate.bps > 250e3


def test_it_recovers() -> None:
    way = Way(50e6)
    way.run(20, 1e6)
    way.capacity_bps = 600e3
    way.run(3, 1e6)
    low = way.estimate.bps
    way.capacity_bps = 50e6
    way.run(20, 1e6)
    assert way.estimate.bps > 2 * low


def test_loss_lowers_it_and_a_little_does_not() -> None:
    clean, little, much = Way(50e6), Way(50e6), Way(50e6)
    for way in (clean, little, much):
        way.run(10, 1e6)
    before = much.estimate.bps
    clean.run(5, 1e6)
    little.run(5, 1e6, lose_every=100)
    much.run(5, 1e6, lose_every=5)
    assert clean.estimate.bps > before
    assert little.estimate.bps > 0.9 * before
    assert much.estimate.bps < 0.75 * before
    assert 0.15 < much.estimate.loss < 0.25
    falling = much.estimate.bps
    much.run(20, 1e6)
    assert much.estimate.bps > 2 * falling


def test_a_source_that_sends_less_takes_nothing_away() -> None:
    way = Way(50e6)
    way.run(30, 2e6)
    before = way.estimate.bps
    way.run(10, 200e3)
    assert way.estimate.bps >= before


def test_a_pause_is_no_delay() -> None:
    way = Way(50e6)
    way.run(10, 1e6)
    before = way.estimate.bps
    way.now += 30
    way.run(2, 1e6)
    assert way.estimate.bps >= before


packets = st.tuples(st.floats(0, 1e6), st.floats(-1e6, 1e6), st.integers(1, 1500))
feedbacks = st.lists(st.tuples(st.lists(packets, max_size=40), st.integers(0, 2000), st.floats(0, 10)), max_size=30)


@given(feedbacks, st.integers(MIN_BPS, 5_000_000))
@settings(max_examples=60)
def test_whatever_is_told_it_stays_within_its_bounds(
    told: list[tuple[list[tuple[float, float, int]], int, float]], maximum: int
) -> None:
    estimate = BandwidthEstimate(maximum)
    now = 0.0
    for came, lost, pause in told:
        now += pause
        before, acknowledged = estimate.bps, [Acknowledged(*packet) for packet in came]
        estimate.feedback(acknowledged, lost, now)
        assert MIN_BPS <= estimate.bps <= maximum
        assert 0 <= estimate.loss <= 1
        assert estimate.bps <= before * 1.09 + 1000
