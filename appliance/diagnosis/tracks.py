"""One medium of a PeerConnection over time: whether it flows, what is lost each way, and the curves for the page.

Counters are cumulative and may fall (``lost`` after a late packet, ``lost-by-remote`` at any time), so everything here
works on differences between two statistics events and never on totals.
"""

from collections import deque

from msgspec import Struct

from appliance.core.events import MediaStats
from appliance.diagnosis import thresholds as limit
from appliance.diagnosis.clocks import SenderClock
from appliance.diagnosis.pictures import KeyframeWait
from appliance.diagnosis.series import Point, Series
from appliance.diagnosis.silence import Silence

MAX_EVIDENCE = 12


class Sample(Struct, frozen=True):
    """Loss of one interval."""

    timestamp_us: int
    event_id: int
    lost: int
    expected: int
    bad: bool
    seconds: float


class LossMeter:
    """Loss of one direction over the last :data:`~thresholds.LOSS_WINDOW` samples, and how bad it ever was."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.active = False
        """Loss is above the threshold now; with hysteresis: it ends below half of it."""
        self.bad_seconds = 0.0
        """How long it was, in all."""
        self.worst = 0.0
        """The highest share of a window that was active."""
        self.evidence: list[int] = []
        """The statistics events of the worst window."""
        self.lost = 0
        self.expected = 0
        self._window: deque[Sample] = deque(maxlen=limit.LOSS_WINDOW)
        self._window_lost = 0
        self._window_expected = 0

    @property
    def share(self) -> float | None:
        """Of the whole call; ``None`` when nothing was measured."""
        return self.lost / self.expected if self.expected else None

    def add(self, timestamp_us: int, event_id: int, lost: int, expected: int, seconds: float) -> None:
        """Take one interval: of ``expected`` packets ``lost`` did not come. Below 0: so many of before came late."""
        if lost < 0:
            # What came late was never lost; but counters also fall for no reason, and owe us nothing.
            lost = -min(-lost, self._window_lost)
        self.lost += lost
        self.expected += expected
        window = self._window
        if len(window) == limit.LOSS_WINDOW:
            self._window_lost -= window[0].lost
            self._window_expected -= window[0].expected
        bad = lost > 0 and lost > self.threshold * expected
        window.append(Sample(timestamp_us, event_id, lost, expected, bad, seconds))
        self._window_lost += lost
        self._window_expected += expected
        if self._window_lost <= 0:
            self.active = False
            return
        self._judge(seconds)

    def _judge(self, seconds: float) -> None:
        share = self._window_lost / max(1, self._window_expected)
        bad = [sample for sample in self._window if sample.bad]
        # Reports may come each second or each five (RFC 3550 section 6.2): two bad ones that far apart say as much.
        lasting = len(bad) >= limit.LOSS_BAD_SAMPLES or (
            len(bad) >= 2 and bad[-1].timestamp_us - bad[0].timestamp_us >= 3_000_000
        )
        enough = self._window_expected >= limit.LOSS_MIN_PACKETS and self._window_lost >= limit.LOSS_MIN_LOST
        if lasting and enough and share > self.threshold:
            # When it opens, the seconds that opened it were bad already.
            self.bad_seconds += seconds if self.active else sum(sample.seconds for sample in bad)
            self.active = True
            if share > self.worst:
                self.worst = share
                self.evidence = [sample.event_id for sample in self._window][-MAX_EVIDENCE:]
        elif self.active:
            if share < self.threshold / 2:
                self.active = False
            elif self._window[-1].bad:
                self.bad_seconds += seconds


class Resumption(Struct):
    """A medium came again after a silence; whether packets were lost meanwhile the next statistics tell."""

    silent_from_us: int
    silent_to_us: int
    missing: float
    """Packets that the silence would have held at the rate before it."""
    samples_left: int = 2


class Track:
    """One medium (of a simulcast one: one layer)."""

    def __init__(self, mid: str, kind: str, layer: int, points: int) -> None:
        self.mid = mid
        self.kind = kind
        self.layer = layer
        self.codec: str | None = None
        self.last: MediaStats | None = None
        self.last_us = 0
        self.last_id = 0
        self.first_stats_id: int | None = None
        self.packets_received = 0
        self.packets_sent = 0
        self.received_us: int | None = None
        """When a packet of the client's was last known to come; ``None``: never."""
        self.first_received_us: int | None = None
        self.first_received_id = 0
        self.stopped_us: int | None = None
        """Since when none came, after some had; ``None`` while they come."""
        self.stopped_id = 0
        self.first_sent_us: int | None = None
        self.first_sent_id = 0
        self.rate = 0.0
        """Packets a second from the client, while they came."""
        self.reported = False
        """The client has reported on what it receives; before that, its loss is unknown and not nought."""
        threshold = limit.LOSS_VIDEO if kind == "video" else limit.LOSS_AUDIO
        self.uplink = LossMeter(threshold)
        self.downlink = LossMeter(threshold)
        self.repairs = LossMeter(limit.NACK_SHARE)
        """What was asked for again, of what came, while hardly anything of it stayed away."""
        self.rtt_ms: float | None = None
        self.best_rtt_ms: float | None = None
        self.lossy_rtt_ms = 0.0
        """The longest while packets were being lost."""
        self.jitter_ms: float | None = None
        self.jitter_window: deque[tuple[int, bool]] = deque(maxlen=limit.JITTER_WINDOW)
        self.jitter_active = False
        self.worst_jitter_ms = 0.0
        self.jitter_evidence: list[int] = []
        self.keyframes: deque[tuple[int, int, int]] = deque(maxlen=16)
        """Time, event, cumulative PLI and FIR of the client."""
        self.keyframe_rate = 0.0
        """Requests of the client's a second, in the last window; 0 before it is full."""
        self.worst_keyframe_rate = 0.0
        self.keyframe_evidence: list[int] = []
        self.keyframe_wait = KeyframeWait()
        self.remb: deque[tuple[int, int, int, float | None]] = deque(maxlen=16)
        """Time, event, estimate in bit/s, round trip."""
        self.remb_fall = 0.0
        self.remb_fell_us: int | None = None
        self.remb_evidence: list[int] = []
        self.interruptions: list[tuple[int, int, int]] = []
        """From, to, event that proves it: packets were sent and did not come."""
        self.clock = SenderClock()
        self.silence = Silence()
        self.series = Series(points)
        self._resumption: Resumption | None = None

    def state(self, timestamp_us: int, event_id: int, *, receiving: bool, seconds: int) -> None:
        """Janus's word on whether packets come."""
        if receiving:
            self._flows(timestamp_us, event_id)
        elif self.received_us is not None and self.stopped_us is None:
            self.stopped_us = max(self.received_us, timestamp_us - 1_000_000 * max(1, seconds))
            self.stopped_id = event_id

    def _flows(self, timestamp_us: int, event_id: int) -> None:
        if self.first_received_us is None:
            self.first_received_us, self.first_received_id = timestamp_us, event_id
        if self.stopped_us is not None:
            silence = (timestamp_us - self.stopped_us) / 1e6
            if silence >= limit.LOST_NETWORK_S:
                self._resumption = Resumption(self.stopped_us, timestamp_us, silence * self.rate)
            self.stopped_us = None
        self.received_us = timestamp_us

    def stats(self, timestamp_us: int, event_id: int, now: MediaStats) -> bool:
        """Take statistics; true when they hold a sign of life of the client."""
        before, self.last = self.last, now
        seconds = (timestamp_us - self.last_us) / 1e6
        self.last_us, self.last_id = timestamp_us, event_id
        if self.first_stats_id is None:
            self.first_stats_id = event_id
        self.codec = now.codec or self.codec
        received = _rise(before.packets_received if before else None, now.packets_received)
        sent = _rise(before.packets_sent if before else None, now.packets_sent)
        self.packets_received = now.packets_received or self.packets_received
        self.packets_sent = now.packets_sent or self.packets_sent
        if self.kind == "data":
            # DTLS records; Janus counts its own close_notify (1.1.2), or both directions (1.4.1), as received.
            return False
        alive = self._reports(before, now)
        if received:
            alive = True
            self._flows(timestamp_us, event_id)
            if before is not None and seconds > 0:
                rate = received / seconds
                self.rate = rate if not self.rate else 0.7 * self.rate + 0.3 * rate
        elif received == 0 and before is not None and self.received_us is not None and self.stopped_us is None:
            self.stopped_us, self.stopped_id = self.received_us, event_id
        self.keyframe_wait.add(timestamp_us, event_id, before, now, received or 0)
        if sent and self.first_sent_us is None:
            self.first_sent_us, self.first_sent_id = timestamp_us, event_id
        if before is not None and seconds > 0:
            self._interval(timestamp_us, event_id, before, now, received or 0, sent or 0, seconds)
        else:
            self.jitter_ms = _jitter_of(now)
        return alive

    def _reports(self, before: MediaStats | None, now: MediaStats) -> bool:
        """Whether a receiver report came between the two."""
        if now.has_reports is False:
            return False
        figures = (now.rtt, now.rtt_values, now.jitter_remote, now.lost_by_remote, now.nacks_received, now.remb_bitrate)
        if now.has_reports or any(figures):
            self.reported = True
        if before is None:
            return False
        return figures != (
            before.rtt,
            before.rtt_values,
            before.jitter_remote,
            before.lost_by_remote,
            before.nacks_received,
            before.remb_bitrate,
        )

    def _interval(
        self,
        timestamp_us: int,
        event_id: int,
        before: MediaStats,
        now: MediaStats,
        received: int,
        sent: int,
        seconds: float,
    ) -> None:
        lost_in = lost_out = None
        if now.lost is not None and before.lost is not None:
            rise = now.lost - before.lost
            lost = max(0, rise)
            if received + lost:
                lost_in = lost / (received + lost)
                if not self._interrupted(lost, event_id):
                    self.uplink.add(timestamp_us, event_id, rise, received + lost, seconds)
        if now.lost_by_remote is not None and before.lost_by_remote is not None and self.reported and sent:
            rise = now.lost_by_remote - before.lost_by_remote
            # More than was sent: the plugin had paused and the client counts the numbers it skipped.
            if rise <= sent:
                lost_out = max(0, rise) / sent
                self.downlink.add(timestamp_us, event_id, rise, sent, seconds)
        self._rtt(now)
        self._repairs(timestamp_us, event_id, before, now, received, seconds)
        self._jitter(event_id, now, received)
        if self.codec == "opus" and now.bytes_received is not None and before.bytes_received is not None:
            self.silence.add(event_id, received, now.bytes_received - before.bytes_received, seconds)
        if now.plis_received is not None or now.firs_received is not None:
            self._keyframes(timestamp_us, event_id, (now.plis_received or 0) + (now.firs_received or 0))
        estimate = now.remb_bitrate or now.send_estimate
        if estimate:
            self._bandwidth(timestamp_us, event_id, estimate)
        if self.series.wanted:
            self.series.add(
                Point(
                    timestamp_us,
                    lost_in,
                    lost_out,
                    self.jitter_ms if received else None,
                    _ms(now.jitter_remote_us, now.jitter_remote) if self.reported else None,
                    self.rtt_ms,
                    _rate(before.bytes_received, now.bytes_received, seconds),
                    _rate(before.bytes_sent, now.bytes_sent, seconds),
                    _a_second(before.nacks_received, now.nacks_received, seconds),
                    _a_second(before.nacks_sent, now.nacks_sent, seconds),
                    _a_second(
                        _asked(before.plis_received, before.firs_received),
                        _asked(now.plis_received, now.firs_received),
                        seconds,
                    ),
                    _a_second(
                        _asked(before.plis_sent, before.firs_sent), _asked(now.plis_sent, now.firs_sent), seconds
                    ),
                )
            )

    def _interrupted(self, lost: int, event_id: int) -> bool:
        """Whether this loss is that of a black-out, told once for all instead of as a bad sample."""
        gone = self._resumption
        if gone is None:
            return False
        if gone.missing and lost >= limit.INTERRUPTION_LOSS * gone.missing:
            if len(self.interruptions) < MAX_EVIDENCE:
                self.interruptions.append((gone.silent_from_us, gone.silent_to_us, event_id))
            self._resumption = None
            return True
        gone.samples_left -= 1
        if gone.samples_left <= 0:
            self._resumption = None
        return False

    def _rtt(self, now: MediaStats) -> None:
        rtt = _ms(now.rtt_us, now.rtt)
        if rtt:
            self.rtt_ms = rtt
            self.best_rtt_ms = rtt if self.best_rtt_ms is None else min(rtt, self.best_rtt_ms)
            if self.uplink.active or self.downlink.active:
                self.lossy_rtt_ms = max(rtt, self.lossy_rtt_ms)

    def _repairs(
        self, timestamp_us: int, event_id: int, before: MediaStats, now: MediaStats, received: int, seconds: float
    ) -> None:
        if now.nacks_sent is None or now.in_media_link_quality is None:
            return
        asked = _rise(before.nacks_sent, now.nacks_sent) or 0
        repaired = asked if now.in_media_link_quality >= limit.REPAIRED_QUALITY else 0
        if received:
            self.repairs.add(timestamp_us, event_id, repaired, received, seconds)

    def _jitter(self, event_id: int, now: MediaStats, received: int) -> None:
        self.jitter_ms = jitter = _jitter_of(now)
        if jitter is None or not received or self.kind != "audio":
            return
        bad = jitter > limit.JITTER_MS
        self.jitter_window.append((event_id, bad))
        if not bad and not self.jitter_active:
            return
        self.jitter_active = sum(bad for _, bad in self.jitter_window) >= limit.JITTER_BAD_SAMPLES
        if self.jitter_active and jitter > self.worst_jitter_ms:
            self.worst_jitter_ms = jitter
            self.jitter_evidence = [item for item, bad in self.jitter_window if bad]

    def _keyframes(self, timestamp_us: int, event_id: int, requests: int) -> None:
        self.keyframes.append((timestamp_us, event_id, requests))
        while len(self.keyframes) > 2 and timestamp_us - self.keyframes[1][0] >= limit.KEYFRAME_WINDOW_S * 1e6:
            self.keyframes.popleft()
        since_us, first_id, then = self.keyframes[0]
        span = (timestamp_us - since_us) / 1e6
        if span < limit.KEYFRAME_WINDOW_S:
            return
        self.keyframe_rate = (requests - then) / span
        if self.keyframe_rate > max(limit.KEYFRAME_REQUESTS_PER_S, self.worst_keyframe_rate):
            self.worst_keyframe_rate = self.keyframe_rate
            self.keyframe_evidence = [first_id, event_id]

    def _bandwidth(self, timestamp_us: int, event_id: int, estimate: int) -> None:
        self.remb.append((timestamp_us, event_id, estimate, self.rtt_ms))
        while timestamp_us - self.remb[0][0] > limit.REMB_WINDOW_S * 1e6:
            self.remb.popleft()
        _, top_id, top, rtt = max(self.remb, key=lambda entry: entry[2])
        slower = rtt is not None and self.rtt_ms is not None and self.rtt_ms >= rtt + limit.RTT_RISE_MS
        fall = 1 - estimate / top
        if slower and fall > limit.REMB_FALL:
            self.remb_fell_us = timestamp_us
        if slower and fall > max(limit.REMB_FALL, self.remb_fall):
            self.remb_fall = fall
            self.remb_evidence = [top_id, event_id]


def _rise(before: int | None, now: int | None) -> int | None:
    """The difference of two counters; a counter that fell has begun again. ``None``: not measured."""
    if now is None:
        return None
    return max(0, now if before is None or now < before else now - before)


def _rate(before: int | None, now: int | None, seconds: float) -> int | None:
    """Bit/s between two byte counts; ``None`` where they do not tell."""
    if before is None or now is None or now < before:
        return None
    return round((now - before) * 8 / seconds)


def _a_second(before: int | None, now: int | None, seconds: float) -> float | None:
    return None if before is None or now is None or now < before else round((now - before) / seconds, 2)


def _asked(plis: int | None, firs: int | None) -> int | None:
    return None if plis is None and firs is None else (plis or 0) + (firs or 0)


def _jitter_of(now: MediaStats) -> float | None:
    """Milliseconds; where nothing came, Janus says 0."""
    return _ms(now.jitter_local_us, now.jitter_local) if now.packets_received else None


def _ms(exact_us: int | None, floored: float | None) -> float | None:
    """Milliseconds from our exact figure, else from Janus's whole ones."""
    return exact_us / 1000 if exact_us is not None else floored
