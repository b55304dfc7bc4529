"""What a rule looks at: a timeline at a moment, and the questions that several rules ask of it."""

from collections.abc import Iterable
from functools import cached_property

from appliance.core.events import PairStats
from appliance.diagnosis.facts import End, Mark
from appliance.diagnosis.thresholds import LOST_NETWORK_S
from appliance.diagnosis.timeline import Timeline
from appliance.diagnosis.tracks import Track
from appliance.diagnosis.words import CONFIDENCES, Detail

MAX_EVIDENCE = 40


class Finding:
    """That a rule holds: the events that show it, how sure it is, and figures for its sentence."""

    __slots__ = ("confidence", "detail", "evidence")

    def __init__(self, evidence: Iterable[Mark | int | None], confidence: str, **detail: Detail) -> None:
        assert confidence in CONFIDENCES, confidence
        ids = {item.event_id if isinstance(item, Mark) else item for item in evidence if item is not None}
        self.evidence = tuple(sorted(ids))[:MAX_EVIDENCE]
        self.confidence = confidence
        self.detail = detail


class Case:
    """A timeline at ``now_us``; ``final``: the call is over, or there will be no more events."""

    def __init__(self, timeline: Timeline, now_us: int | None = None, *, final: bool = True) -> None:
        self.t = timeline
        self.final = final
        ended_us = timeline.ended_us
        latest_us = timeline.last_us if now_us is None else max(now_us, timeline.last_us)
        if timeline.untold is not None:
            ended_us = timeline.heard_us
        self.until_us = latest_us if ended_us is None else ended_us
        """Up to when the call was watched: its end (where no event told that, the last event), else now."""

    def since(self, mark: Mark | int | None) -> float:
        """Seconds from then until the end or now; 0 where it never was."""
        if mark is None:
            return 0.0
        return max(0.0, (self.until_us - (mark.timestamp_us if isinstance(mark, Mark) else mark)) / 1e6)

    @cached_property
    def ended(self) -> bool:
        """Whether an event of the server said that it is over."""
        return bool(self.t.ends) and self.t.untold is None

    @cached_property
    def settling(self) -> bool:
        """Both descriptions are there, and it is not up yet (or never was)."""
        return self.t.up is None and self.t.remote is not None and self.t.local is not None

    @cached_property
    def ice_failed(self) -> Mark | None:
        """The event that says that ICE failed before it ever was connected."""
        hangup = self.t.end("hangup")
        if self.t.ice_failed is not None:
            return self.t.ice_failed
        if hangup is not None and hangup.reason == "ICE failed" and self.t.ice_connected is None:
            return _mark(hangup)
        return None

    @cached_property
    def ice_stuck(self) -> bool:
        """ICE has had its time and is not connected."""
        return self.t.ice_connected is None and (self.ice_failed is not None or self.settling)

    @cached_property
    def pairs(self) -> list[PairStats]:
        """The UDP pairs with their counters; empty for servers that tell none."""
        return [pair for pair in self.t.pairs.values() if pair.remote.transport == "udp"]

    @cached_property
    def dtls_stuck(self) -> bool:
        """ICE is connected and DTLS is not."""
        return self.t.ice_connected is not None and self.t.dtls_connected is None and self.t.up is None

    @cached_property
    def dtls_over(self) -> Mark | None:
        """The event that says that DTLS failed: its state, or the hangup."""
        hangup = self.t.end("hangup")
        by_hangup = hangup is not None and (hangup.reason or "").startswith("DTLS")
        return self.t.dtls_failed or (_mark(hangup) if hangup is not None and by_hangup else None)

    @cached_property
    def expected(self) -> dict[str, float]:
        """By mid: seconds for which the client was up and owed us audio or video."""
        up = self.t.up
        if up is None:
            return {}
        if not any(description.media for description in self.t.descriptions):
            # We came late, or were not shown the SDP: what has flowed is what there is.
            return {track.mid: self.since(up) for track in self.t.rtp_tracks() if track.received_us is not None}
        return {mid: self.since(max(since, up.timestamp_us)) for mid, since in self.t.expected_since.items()}

    @cached_property
    def owed(self) -> dict[str, float]:
        """By mid: seconds for which we were up and owed the client audio or video."""
        up = self.t.up
        return {} if up is None else {m: self.since(max(s, up.timestamp_us)) for m, s in self.t.owed_since.items()}

    def heard(self, mid: str) -> bool:
        """Whether any layer of that mid ever came."""
        return any(track.received_us is not None for track in self.t.of_mid(mid))

    def told(self, mid: str) -> bool:
        """Whether we have sent anything on that mid."""
        return any(track.packets_sent > 0 for track in self.t.of_mid(mid))

    def measured(self, mid: str) -> bool:
        """Whether there are statistics of it: without, silence is ignorance."""
        return any(track.last is not None for track in self.t.of_mid(mid))

    def stopped(self, mid: str) -> tuple[float, Track] | None:
        """Seconds since the last layer of that mid stopped, of the time in which it was owed (not of a hold before);
        ``None`` while one flows or none ever did.
        """
        tracks = [track for track in self.t.of_mid(mid) if track.received_us is not None]
        if not tracks or any(track.stopped_us is None for track in tracks):
            return None
        last = max(tracks, key=lambda track: track.stopped_us or 0)
        return self.since(max(last.stopped_us or 0, self.t.expected_since.get(mid, 0))), last

    @cached_property
    def all_stopped(self) -> list[tuple[float, Track]]:
        """The media that came and ceased, when every one that was to come has ceased; else empty."""
        flowing = [mid for mid in self.expected if self.heard(mid)]
        stops = [stop for mid in flowing if (stop := self.stopped(mid)) is not None]
        return stops if len(stops) == len(flowing) else []

    @cached_property
    def silence(self) -> float:
        """Seconds at the end without any sign of the client on the media path, while one would have shown."""
        if self.t.peer_us is None:
            return 0.0
        return max(0.0, (min(self.t.observed_us, self.until_us) - self.t.peer_us) / 1e6)

    @cached_property
    def unanswered(self) -> int | None:
        """Probes of ours on the pair in use that got no answer since it is up; ``None``: not told."""
        gone = [
            (pair.requests_sent - before[0]) - (pair.responses_received - before[1])
            for key, pair in self.t.pairs.items()
            if pair.selected and (before := self.t.probes_before.get(key, (0, 0)))
        ]
        last, up = self.t.last_counters, self.t.up
        if not gone or last is None or up is None or (last.timestamp_us - up.timestamp_us) < LOST_NETWORK_S * 1e6:
            return None
        return min(gone)

    @cached_property
    def left_by_itself(self) -> bool:
        """The application ended it through signalling, so the client was there and able to."""
        hangup = self.t.end("hangup")
        if hangup is not None:
            return hangup.reason in {"Janus API", "Detach", "Close PC", "DTLS alert"}
        return self.t.end("timeout") is None and self.t.transport_closed is None and self.ended

    @cached_property
    def ending(self) -> list[Mark]:
        """The events that ended it."""
        return [_mark(end) for end in self.t.ends if end.timestamp_us <= self.until_us + 1_000_000]


def _mark(end: End) -> Mark:
    return Mark(end.timestamp_us, end.event_id)
