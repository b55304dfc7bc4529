"""A call explained: timeline, verdict and evidence as one value, for the console, the command line and a file."""

from collections.abc import Iterable

from msgspec import Struct

from appliance.core.events import DtlsDetail, Event
from appliance.diagnosis.candidates import Candidate
from appliance.diagnosis.describe import describe_event
from appliance.diagnosis.facts import Hole, Refusal, State
from appliance.diagnosis.phases import Phase, phases
from appliance.diagnosis.series import MAX_POINTS
from appliance.diagnosis.timeline import Timeline
from appliance.diagnosis.tracks import Track
from appliance.diagnosis.verdict import Verdict, judge

__all__ = ["Explanation", "describe_event", "explain"]


class Pair(Struct, kw_only=True):
    """A candidate pair. Counters are ``None`` where the server tells none (Janus)."""

    local: str
    """``address:port``"""
    remote: str
    local_type: str | None = None
    remote_type: str | None = None
    protocol: str = "udp"
    selected: bool = False
    nominated: bool | None = None
    requests_sent: int | None = None
    responses_received: int | None = None
    requests_received: int | None = None
    responses_sent: int | None = None
    bad_integrity: int | None = None
    rtt_ms: float | None = None


class Columns(Struct, kw_only=True):
    """A track's curves, one list a figure, all of one length; what was not measured is ``None``. Loss is 0 to 1."""

    timestamp_us: list[int]
    loss_in: list[float | None]
    loss_out: list[float | None]
    jitter_in_ms: list[float | None]
    jitter_out_ms: list[float | None]
    rtt_ms: list[float | None]
    bitrate_in_bps: list[int | None]
    bitrate_out_bps: list[int | None]
    nacks_in: list[float | None]
    """Repeats a second that the client asked for, ``nacks_out`` that the server did; ``plis_`` so of key frames."""
    nacks_out: list[float | None]
    plis_in: list[float | None]
    plis_out: list[float | None]


class TrackSummary(Struct, kw_only=True):
    """One medium over the whole call. ``in`` is from the client, ``out`` to it."""

    mid: str
    kind: str
    """audio, video or data."""
    layer: int
    """Of simulcast; 0 where there is none."""
    codec: str | None
    expected_in: bool
    """The client had agreed to send it (by the latest descriptions)."""
    expected_out: bool
    packets_in: int
    packets_out: int
    loss_in: float | None
    """Share of the whole call, 0 to 1; ``None``: not measured."""
    loss_out: float | None
    worst_loss_in: float | None
    """Of the worst seconds that counted as loss; ``None``: there were none."""
    worst_loss_out: float | None
    jitter_ms: float | None
    """The latest."""
    rtt_ms: float | None
    """The latest; ``None``: no report came."""
    bitrate_in_bps: int | None
    """The latest that was not nothing."""
    bitrate_out_bps: int | None
    stopped_us: int | None
    """Since when nothing came any more."""
    series: Columns


class MediaLineSummary(Struct, kw_only=True):
    """An m-line as read."""

    mid: str
    kind: str
    direction: str
    codecs: list[str]
    setup: str | None
    fingerprints: list[str]
    rejected: bool


class DescriptionSummary(Struct, kw_only=True):
    """An offer or an answer."""

    owner: str
    """remote: the client wrote it; local: the server."""
    type: str
    timestamp_us: int
    event_id: int
    sdp: str
    media: list[MediaLineSummary]


class Candidates(Struct, kw_only=True):
    """Addresses that were offered, as told by either side."""

    local: list[Candidate]
    remote: list[Candidate]
    end_of_candidates_us: int | None = None


class Evidence(Struct, kw_only=True):
    """An event that the verdict rests on."""

    id: int
    timestamp_us: int
    type: int
    subtype: int
    text: str


class Explanation(Struct, kw_only=True):
    """Everything that the events of one PeerConnection tell."""

    correlation_id: str | None
    server: str
    session_id: int | None
    handle_id: int | None
    opaque_id: str | None
    plugin: str | None
    client_address: str | None
    transport: str | None
    started_us: int | None
    up_us: int | None
    ended_us: int | None
    hangup_reason: str | None
    verdict: Verdict
    evidence: list[Evidence]
    phases: list[Phase]
    selected_pair: str | None
    selected_pairs: list[State]
    pairs: list[Pair]
    candidates: Candidates
    ice_restarts: int
    dtls: DtlsDetail | None
    descriptions: list[DescriptionSummary]
    tracks: list[TrackSummary]
    media_states: list[State]
    slow_links: dict[str, int]
    """How many, ``from_client`` and ``to_client``."""
    faults: dict[str, int]
    errors: list[Refusal]
    gaps: list[Hole]
    event_count: int


def explain(
    events: Iterable[Event], *, now_us: int | None = None, final: bool | None = None, points: int = MAX_POINTS
) -> Explanation:
    """Explain one call from its events (with those of its session and transport, where they are known).

    Events of several PeerConnections are to be split first, see :class:`appliance.diagnosis.calls.Calls`; the first
    handle's is explained. ``final``: nothing more will come; by default when the events say that it ended.
    """
    timeline = Timeline(points=points)
    known: dict[int, Event] = {}
    for item in events:
        before = timeline.count
        timeline.add(item)
        if timeline.count > before:
            known[item.id or timeline.count] = item
    over = timeline.ended_us is not None if final is None else final
    return describe(timeline, judge(timeline, now_us=now_us, final=over), known)


def describe(t: Timeline, verdict: Verdict, known: dict[int, Event]) -> Explanation:
    """Put a timeline and its verdict into one value; ``known`` holds the events by the ids that evidence names."""
    last = t.selected[-1] if t.selected else None
    return Explanation(
        correlation_id=t.correlation_id,
        server=t.emitter,
        session_id=t.session_id,
        handle_id=t.handle_id,
        opaque_id=t.opaque_id,
        plugin=t.plugin,
        client_address=t.client_address,
        transport=t.transport,
        started_us=t.started_us,
        up_us=t.up.timestamp_us if t.up else None,
        ended_us=t.ended_us,
        hangup_reason=t.hangup_reason,
        verdict=verdict,
        evidence=[_evidence(number, known[number]) for number in verdict.evidence if number in known],
        phases=phases(t, verdict),
        selected_pair=last.text if last else None,
        selected_pairs=[State(pair.timestamp_us, pair.event_id, pair.text) for pair in t.selected],
        pairs=_pairs(t),
        candidates=Candidates(
            local=t.local_candidates,
            remote=t.remote_candidates,
            end_of_candidates_us=t.end_of_candidates.timestamp_us if t.end_of_candidates else None,
        ),
        ice_restarts=t.ice_restarts,
        dtls=t.dtls,
        descriptions=_descriptions(t),
        tracks=[_track(t, track) for track in t.tracks.values()],
        media_states=t.media_states,
        slow_links={
            "from_client": len(t.slow_links.get("downlink", [])),
            "to_client": len(t.slow_links.get("uplink", [])),
        },
        faults=t.faults,
        errors=t.refusals,
        gaps=t.holes,
        event_count=t.count,
    )


def _evidence(number: int, item: Event) -> Evidence:
    return Evidence(
        id=number, timestamp_us=item.timestamp, type=item.type, subtype=item.subtype, text=describe_event(item)
    )


def _pairs(t: Timeline) -> list[Pair]:
    found = [
        Pair(
            local=f"{pair.local.address}:{pair.local.port}",
            remote=f"{pair.remote.address}:{pair.remote.port}",
            local_type=pair.local.type,
            remote_type=pair.remote.type,
            protocol=pair.remote.transport,
            selected=pair.selected,
            nominated=pair.nominated,
            requests_sent=pair.requests_sent,
            responses_received=pair.responses_received,
            requests_received=pair.requests_received,
            responses_sent=pair.responses_sent,
            bad_integrity=pair.bad_integrity,
            rtt_ms=pair.rtt_ms,
        )
        for pair in t.pairs.values()
    ]
    if found:
        return sorted(found, key=lambda pair: not pair.selected)
    # A server without counters still says which pairs it chose.
    chosen: dict[str, Pair] = {}
    for selected in t.selected:
        local, _, remote = selected.text.partition(" <-> ")
        chosen[selected.ends] = Pair(
            local=local.partition(" ")[0],
            remote=remote.partition(" ")[0],
            local_type=selected.local_type,
            remote_type=selected.remote_type,
            selected=selected is t.selected[-1],
        )
    return list(chosen.values())


def _descriptions(t: Timeline) -> list[DescriptionSummary]:
    return [
        DescriptionSummary(
            owner=description.owner,
            type=description.type,
            timestamp_us=description.timestamp_us,
            event_id=description.event_id,
            sdp=description.sdp,
            media=[
                MediaLineSummary(
                    mid=line.mid,
                    kind=line.kind,
                    direction=line.direction,
                    codecs=line.codecs,
                    setup=line.setup,
                    fingerprints=line.fingerprints,
                    rejected=line.rejected,
                )
                for line in description.media
            ],
        )
        for description in t.descriptions
    ]


def _track(t: Timeline, track: Track) -> TrackSummary:
    points = track.series.all()
    return TrackSummary(
        mid=track.mid,
        kind=track.kind,
        layer=track.layer,
        codec=track.codec,
        expected_in=track.mid in t.expected_since,
        expected_out=track.mid in t.owed_since,
        packets_in=track.packets_received,
        packets_out=track.packets_sent,
        loss_in=track.uplink.share,
        loss_out=track.downlink.share,
        worst_loss_in=track.uplink.worst or None,
        worst_loss_out=track.downlink.worst or None,
        jitter_ms=track.jitter_ms,
        rtt_ms=track.rtt_ms,
        bitrate_in_bps=next((p.bitrate_in_bps for p in reversed(points) if p.bitrate_in_bps), None),
        bitrate_out_bps=next((p.bitrate_out_bps for p in reversed(points) if p.bitrate_out_bps), None),
        stopped_us=track.stopped_us,
        series=Columns(
            timestamp_us=[p.timestamp_us for p in points],
            loss_in=[p.loss_in for p in points],
            loss_out=[p.loss_out for p in points],
            jitter_in_ms=[p.jitter_in_ms for p in points],
            jitter_out_ms=[p.jitter_out_ms for p in points],
            rtt_ms=[p.rtt_ms for p in points],
            bitrate_in_bps=[p.bitrate_in_bps for p in points],
            bitrate_out_bps=[p.bitrate_out_bps for p in points],
            nacks_in=[p.nacks_in for p in points],
            nacks_out=[p.nacks_out for p in points],
            plis_in=[p.plis_in for p in points],
            plis_out=[p.plis_out for p in points],
        ),
    )
