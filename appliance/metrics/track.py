"""One medium of a PeerConnection: its newest statistics, and what has happened since those before.

Every count that comes is cumulative over the PeerConnection and may start again (a new PeerConnection, a restarted
server); what is told here only rises. Loss is counted at its highest mark, because it may fall again (RFC 3550 section
6.4.1: late and duplicate packets).
"""

from appliance.core.events import MediaStats
from appliance.metrics.scores import audio_mos, link_quality

ZERO = MediaStats(
    media="", packets_received=0, packets_sent=0, bytes_received=0, bytes_sent=0, nacks_received=0, nacks_sent=0,
    plis_received=0, plis_sent=0, firs_received=0, firs_sent=0, rembs_received=0, rembs_sent=0,
    twccs_received=0, twccs_sent=0, keyframes_received=0, keyframes_sent=0,
    retransmissions_received=0, retransmissions_sent=0, reordered=0,
    duplicates=0,
)  # fmt: skip
LONGEST_S = 60.0
"""A round trip or jitter beyond is a fault of somebody's arithmetic."""
KINDS = frozenset(("audio", "video", "data"))


def kind_of(media: str) -> str:
    """``video-sim1`` is video."""
    kind = media.partition("-")[0]
    return kind if kind in KINDS else "other"


def mid_of(stats: MediaStats) -> str:
    """The m-line's mid, with the simulcast layer where there is one; the medium's name where no mid is known."""
    mid = stats.mid if stats.mid is not None else stats.media
    _, dash, layer = stats.media.partition("-")
    return f"{mid}.{layer}" if dash else mid


def seconds(microseconds: float | None, milliseconds: float | None) -> float | None:
    """The finer of the two that is there, in seconds; ``None`` beyond what can be."""
    value = microseconds / 1e6 if microseconds is not None else None
    if value is None and milliseconds is not None:
        value = milliseconds / 1e3
    return value if value is not None and 0 <= value <= LONGEST_S else None


def _restarted(last: MediaStats, new: MediaStats) -> bool:
    return (
        (new.packets_received or 0) < (last.packets_received or 0)
        or (new.packets_sent or 0) < (last.packets_sent or 0)
        or (new.bytes_received or 0) < (last.bytes_received or 0)
        or (new.bytes_sent or 0) < (last.bytes_sent or 0)
    )


def _signed(lost: int) -> int:
    """Some servers write a negative count as unsigned, of 32 bits."""
    return lost - (1 << 32) if lost >= 1 << 31 else lost


class Track:
    """Counts and measures of one medium; ``None`` is not measured.

    ``from_zero`` says that its beginning was seen: otherwise the first statistics are only where counting starts.
    Rises (``packets_in``, ...) and measures (``loss_in``, ...) are those of the last interval.
    """

    __slots__ = (
        "_from_zero", "_lost_by_peer_high", "_mark", "_sent_at_report", "bitrate_in", "bitrate_out", "bytes_in",
        "bytes_out", "duplicates", "fir_in", "fir_out", "jitter_in", "jitter_out", "keyframes_in", "keyframes_out",
        "kind", "labels", "last",
        "last_us", "loss_in", "loss_out", "lost_by_peer", "lost_here", "lost_in", "lost_out", "mid", "mos_in",
        "mos_out", "nack_in", "nack_out", "packets_in", "packets_out", "pli_in", "pli_out", "quality_in",
        "quality_out", "remb_in", "remb_out", "reordered", "reports", "round_trip", "rtx_in", "rtx_out",
        "twcc_in", "twcc_out",
    )  # fmt: skip

    def __init__(self, mid: str, kind: str, *, from_zero: bool) -> None:
        self.mid = mid
        self.kind = kind
        self._from_zero = from_zero
        self.last: MediaStats | None = None
        self.last_us = 0
        self.packets_in = self.bytes_in = self.lost_in = self.packets_out = self.bytes_out = self.lost_out = 0
        self.nack_in = self.nack_out = self.pli_in = self.pli_out = self.fir_in = self.rtx_in = self.rtx_out = 0
        self.fir_out = self.remb_in = self.remb_out = self.reordered = self.duplicates = 0
        self.twcc_in = self.twcc_out = self.keyframes_in = self.keyframes_out = 0
        self.loss_in: float | None = None
        self.loss_out: float | None = None
        self.jitter_in: float | None = None
        self.jitter_out: float | None = None
        self.round_trip: float | None = None
        self.bitrate_in: float | None = None
        self.bitrate_out: float | None = None
        self.quality_in: float | None = None
        self.quality_out: float | None = None
        self.mos_in: float | None = None
        self.mos_out: float | None = None
        self.lost_here = 0
        """Of this PeerConnection so far."""
        self.lost_by_peer = 0
        """As reported, of this PeerConnection so far, without what was never sent."""
        self.reports = False
        """The peer has reported on this track."""
        self._lost_by_peer_high = 0
        self._sent_at_report = 0
        self._mark: object = None
        self.labels: tuple[str, str, str] | None = None
        """Text of the labels in, out, and of its info, made when first shown."""

    def take(self, new: MediaStats, timestamp_us: int, round_trip_s: float | None) -> None:
        """Take the next statistics; ``round_trip_s`` is the newest of any track of this PeerConnection."""
        last = self.last
        if last is None:
            last = ZERO if self._from_zero else self._begin_at(new)
        elif _restarted(last, new):
            last = ZERO
            self.lost_here = self.lost_by_peer = self._lost_by_peer_high = self._sent_at_report = 0
            self.reports, self._mark, self.quality_out = False, None, None
        self._count(last, new)
        self._pace(new, timestamp_us)
        if self.kind != "data":
            self._measure_in(new)
            self._measure_out(new)
            self._score(self.round_trip if self.round_trip is not None else round_trip_s)
        self.last = new
        self.last_us = timestamp_us

    def _begin_at(self, new: MediaStats) -> MediaStats:
        self.lost_here = max(0, _signed(new.lost or 0))
        self.lost_by_peer = self._lost_by_peer_high = max(0, _signed(new.lost_by_remote or 0))
        self._sent_at_report = new.packets_sent or 0
        return new

    def _count(self, last: MediaStats, new: MediaStats) -> None:
        self.packets_in = (new.packets_received or 0) - (last.packets_received or 0)
        self.packets_out = (new.packets_sent or 0) - (last.packets_sent or 0)
        self.bytes_in = (new.bytes_received or 0) - (last.bytes_received or 0)
        self.bytes_out = (new.bytes_sent or 0) - (last.bytes_sent or 0)
        if self.kind == "data":
            return
        self.nack_in = max(0, (new.nacks_received or 0) - (last.nacks_received or 0))
        self.nack_out = max(0, (new.nacks_sent or 0) - (last.nacks_sent or 0))
        self.pli_in = max(0, (new.plis_received or 0) - (last.plis_received or 0))
        self.pli_out = max(0, (new.plis_sent or 0) - (last.plis_sent or 0))
        self.fir_in = max(0, (new.firs_received or 0) - (last.firs_received or 0))
        self.fir_out = max(0, (new.firs_sent or 0) - (last.firs_sent or 0))
        self.remb_in = max(0, (new.rembs_received or 0) - (last.rembs_received or 0))
        self.remb_out = max(0, (new.rembs_sent or 0) - (last.rembs_sent or 0))
        self.twcc_in = max(0, (new.twccs_received or 0) - (last.twccs_received or 0))
        self.twcc_out = max(0, (new.twccs_sent or 0) - (last.twccs_sent or 0))
        self.keyframes_in = max(0, (new.keyframes_received or 0) - (last.keyframes_received or 0))
        self.keyframes_out = max(0, (new.keyframes_sent or 0) - (last.keyframes_sent or 0))
        self.rtx_in = max(0, (new.retransmissions_received or 0) - (last.retransmissions_received or 0))
        self.rtx_out = max(0, (new.retransmissions_sent or 0) - (last.retransmissions_sent or 0))
        self.reordered = max(0, (new.reordered or 0) - (last.reordered or 0))
        self.duplicates = max(0, (new.duplicates or 0) - (last.duplicates or 0))

    def _pace(self, new: MediaStats, timestamp_us: int) -> None:
        elapsed = (timestamp_us - self.last_us) / 1e6 if self.last_us else 0.0
        if elapsed >= 0.1:
            self.bitrate_in = self.bytes_in / elapsed
            self.bitrate_out = self.bytes_out / elapsed
        else:
            # The first, the flush right after another, or a clock that went back.
            self.bitrate_in = new.bytes_received_lastsec
            self.bitrate_out = new.bytes_sent_lastsec

    def _measure_in(self, new: MediaStats) -> None:
        self.lost_in = 0
        self.loss_in = self.jitter_in = None
        if new.lost is not None:
            lost = _signed(new.lost)
            if lost > self.lost_here:
                self.lost_in = lost - self.lost_here
                self.lost_here = lost
            if self.packets_in:
                self.loss_in = self.lost_in / (self.packets_in + self.lost_in)
        if self.packets_in:
            self.jitter_in = seconds(new.jitter_local_us, new.jitter_local)

    def _measure_out(self, new: MediaStats) -> None:
        self.lost_out = 0
        self.loss_out = self.jitter_out = self.round_trip = None
        if not self.reports:
            # Janus has 0 everywhere before the first report; ours says so.
            said = new.has_reports
            self.reports = bool(new.rtt or new.jitter_remote or new.lost_by_remote) if said is None else said
        if not self.reports or new.lost_by_remote is None:
            return
        mark = (new.rtt_values, new.rtt, new.rtt_us, new.jitter_remote, new.jitter_remote_us, new.lost_by_remote)
        if mark == self._mark and not (new.has_reports and new.rtt_values is None):
            return
        self._mark = mark
        sent = (new.packets_sent or 0) - self._sent_at_report
        self._sent_at_report = new.packets_sent or 0
        lost = _signed(new.lost_by_remote)
        rise = max(0, lost - self._lost_by_peer_high)
        self._lost_by_peer_high = max(self._lost_by_peer_high, lost)
        # A paused or switched source jumps in its sequence numbers: the peer misses what was never sent.
        self.lost_out = rise if rise <= sent else 0
        self.lost_by_peer += self.lost_out
        if sent > 0:
            self.loss_out = self.lost_out / sent
        self.jitter_out = seconds(new.jitter_remote_us, new.jitter_remote)
        self.round_trip = seconds(new.rtt_us, new.rtt) or None

    def _score(self, round_trip: float | None) -> None:
        self.quality_in = link_quality(self.kind, self.loss_in, self.jitter_in, round_trip)
        if self.loss_out is not None:
            self.quality_out = link_quality(self.kind, self.loss_out, self.jitter_out, round_trip)
        elif not self.packets_out:
            self.quality_out = None
        if self.kind == "audio":
            self.mos_in = audio_mos(self.loss_in, self.jitter_in, round_trip)
            if self.loss_out is not None:
                self.mos_out = audio_mos(self.loss_out, self.jitter_out, round_trip)
            elif not self.packets_out:
                self.mos_out = None
