"""All series that the event stream makes, and the ones that one server's statistics touch, found once."""

from collections.abc import Iterator

from appliance.core.queue import WORD_OF
from appliance.metrics import names as n
from appliance.metrics.family import Family, Source
from appliance.metrics.labels import SERVER
from appliance.metrics.series import Bounds, Cell, Histogram, HistogramTable, Table
from appliance.metrics.track import Track

FAMILIES = tuple(family for family in n.FAMILIES if family.source is Source.EVENTS)


class MediaCells:
    """The series that one server's statistics of one kind of medium touch."""

    __slots__ = (
        "bytes_in", "bytes_out", "duplicated", "fir_in", "fir_out", "jitter_in", "jitter_out", "keyframes_in",
        "keyframes_out", "loss_in", "loss_out",
        "lost_in", "lost_out", "mos_in", "mos_out", "nack_in", "nack_out", "packets_in", "packets_out", "pli_in",
        "pli_out",
        "remb_in", "remb_out", "reordered", "round_trip", "rtx_in", "rtx_out", "twcc_in",
        "twcc_out",
    )  # fmt: skip

    def __init__(self, ledger: "Ledger", server: str, kind: str) -> None:
        cell = ledger.cell
        self.packets_in = cell(n.RTP_PACKETS, server, "in", kind)
        self.packets_out = cell(n.RTP_PACKETS, server, "out", kind)
        self.bytes_in = cell(n.RTP_BYTES, server, "in", kind)
        self.bytes_out = cell(n.RTP_BYTES, server, "out", kind)
        if kind == "data":
            return
        self.lost_in = cell(n.RTP_LOST, server, "in", kind, "local")
        self.lost_out = cell(n.RTP_LOST, server, "out", kind, "remote")
        self.rtx_in = cell(n.RTP_RETRANSMITTED, server, "in", kind)
        self.rtx_out = cell(n.RTP_RETRANSMITTED, server, "out", kind)
        self.reordered = cell(n.RTP_REORDERED, server, kind)
        self.duplicated = cell(n.RTP_DUPLICATED, server, kind)
        self.nack_in = cell(n.RTCP_FEEDBACK, server, "in", "nack")
        self.nack_out = cell(n.RTCP_FEEDBACK, server, "out", "nack")
        self.pli_in = cell(n.RTCP_FEEDBACK, server, "in", "pli")
        self.pli_out = cell(n.RTCP_FEEDBACK, server, "out", "pli")
        self.fir_in = cell(n.RTCP_FEEDBACK, server, "in", "fir")
        self.fir_out = cell(n.RTCP_FEEDBACK, server, "out", "fir")
        self.remb_in = cell(n.RTCP_FEEDBACK, server, "in", "remb")
        self.remb_out = cell(n.RTCP_FEEDBACK, server, "out", "remb")
        self.twcc_in = cell(n.RTCP_FEEDBACK, server, "in", "twcc")
        self.twcc_out = cell(n.RTCP_FEEDBACK, server, "out", "twcc")
        self.keyframes_in = cell(n.KEYFRAMES, server, "in")
        self.keyframes_out = cell(n.KEYFRAMES, server, "out")
        observe = ledger.histogram
        self.loss_in = observe(n.RTP_LOSS_RATIO, server, "in", kind)
        self.loss_out = observe(n.RTP_LOSS_RATIO, server, "out", kind)
        self.jitter_in = observe(n.RTP_JITTER, server, "in", kind)
        self.jitter_out = observe(n.RTP_JITTER, server, "out", kind)
        self.round_trip = observe(n.RTP_ROUND_TRIP, server, kind)
        self.mos_in = observe(n.AUDIO_MOS, server, "in")
        self.mos_out = observe(n.AUDIO_MOS, server, "out")

    def count(self, track: Track) -> None:
        """Add what the track's last interval brought."""
        self.packets_in.value += track.packets_in
        self.packets_out.value += track.packets_out
        self.bytes_in.value += track.bytes_in
        self.bytes_out.value += track.bytes_out

    def measure(self, track: Track, exemplar: str | None, timestamp: float) -> None:
        """The same for what only audio and video have."""
        self.lost_in.value += track.lost_in
        self.lost_out.value += track.lost_out
        self.nack_in.value += track.nack_in
        self.nack_out.value += track.nack_out
        self.pli_in.value += track.pli_in
        self.pli_out.value += track.pli_out
        self.fir_in.value += track.fir_in
        self.fir_out.value += track.fir_out
        self.remb_in.value += track.remb_in
        self.remb_out.value += track.remb_out
        self.twcc_in.value += track.twcc_in
        self.twcc_out.value += track.twcc_out
        self.keyframes_in.value += track.keyframes_in
        self.keyframes_out.value += track.keyframes_out
        self.rtx_in.value += track.rtx_in
        self.rtx_out.value += track.rtx_out
        self.reordered.value += track.reordered
        self.duplicated.value += track.duplicates
        if track.loss_in is not None:
            self.loss_in.observe(track.loss_in, exemplar, timestamp)
            if track.mos_in is not None:
                self.mos_in.observe(track.mos_in, exemplar, timestamp)
        if track.jitter_in is not None:
            self.jitter_in.observe(track.jitter_in, exemplar, timestamp)
        if track.loss_out is not None:
            self.loss_out.observe(track.loss_out, exemplar, timestamp)
            if track.mos_out is not None:
                self.mos_out.observe(track.mos_out, exemplar, timestamp)
        if track.jitter_out is not None:
            self.jitter_out.observe(track.jitter_out, exemplar, timestamp)
        if track.round_trip is not None:
            self.round_trip.observe(track.round_trip, exemplar, timestamp)


class Server:
    """The series of one server that most events touch (or of all servers beyond the bound together)."""

    def __init__(self, ledger: "Ledger", label: str) -> None:
        self._ledger = ledger
        self.label = label
        self._media: dict[str, MediaCells] = {}
        self.types = {number: ledger.cell(n.EVENTS, label, word) for number, word in WORD_OF.items()}
        self.last_event = ledger.cell(n.LAST_EVENT, label)

    def media(self, kind: str) -> MediaCells:
        """Those of one kind of medium."""
        found = self._media.get(kind)
        if found is None:
            found = self._media[kind] = MediaCells(self._ledger, self.label, kind)
        return found


class Ledger:
    """Every family that events feed."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._tables = {family.name: Table(family, bounds) for family in FAMILIES if not family.buckets}
        self._histograms = {family.name: HistogramTable(family, bounds) for family in FAMILIES if family.buckets}
        self.servers: dict[str, Server] = {}

    def table(self, family: Family) -> Table:
        """The series of a counter or gauge."""
        return self._tables[family.name]

    def cell(self, family: Family, *values: str) -> Cell:
        """One series of a counter or gauge."""
        return self._tables[family.name].cell(*values)

    def histogram(self, family: Family, *values: str) -> Histogram:
        """One series of a histogram."""
        return self._histograms[family.name].cell(*values)

    def server(self, emitter: str) -> Server:
        """The server of that name; with its first event, all that can be known of it begins at 0."""
        label = self._bounds.admit(SERVER, emitter)
        found = self.servers.get(label)
        if found is None:
            for family in FAMILIES:
                if family.zeroed:
                    self._held(family).zero(label)
            found = self.servers[label] = Server(self, label)
        return found

    def forget(self, label: str) -> None:
        """Every series of a server."""
        self.servers.pop(label, None)
        for family in FAMILIES:
            self._held(family).forget(label)

    def _held(self, family: Family) -> Table | HistogramTable:
        return self._histograms[family.name] if family.buckets else self._tables[family.name]

    def __len__(self) -> int:
        return sum(len(self._held(family)) for family in FAMILIES)

    def lines(self, openmetrics: bool) -> Iterator[str]:
        """Every family that has series."""
        for family in FAMILIES:
            yield from self._held(family).lines(openmetrics)
