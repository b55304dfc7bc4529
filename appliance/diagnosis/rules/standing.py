"""How a PeerConnection stands, where nothing is wrong with it or too little is known."""

from appliance.diagnosis import thresholds as limit
from appliance.diagnosis.case import Case, Finding
from appliance.diagnosis.rules.rule import rule


@rule(
    phase="media",
    severity="notice",
    actor="client",
    beside=True,
    sentence="All audio of the client's has been silence for {seconds} s: the call is well, but nobody can hear it.",
    advice="Nothing, if it is muted on purpose; else look at the microphone's switch, the system's mixer and the chosen"
    " device.",
    disproof="Audio packets of different sizes, or a level above silence.",
)
def silent_source(case: Case) -> Finding | None:
    """Opus comes, and nothing else than its packets of silence."""
    heard = [t for t in case.t.rtp_tracks() if t.kind == "audio" and t.received_us is not None]
    if case.t.up is None or not heard or any(t.silence.seconds < limit.SILENT_S for t in heard):
        return None
    longest = max(heard, key=lambda track: track.silence.seconds)
    ids = [item for track in heard for item in track.silence.evidence]
    return Finding(ids, "possible", seconds=round(longest.silence.seconds, 1))


@rule(
    phase="media",
    severity="good",
    actor="nobody",
    sentence="The call is up and well for {seconds} s{note}.",
    advice="Nothing.",
    disproof="Media that was agreed on and does not flow.",
)
def healthy(case: Case) -> Finding | None:
    """Up, and what was agreed flows both ways."""
    if case.t.up is None:
        return None
    tracks = case.t.rtp_tracks()
    unknown = [t for t in tracks if t.packets_sent and not t.reported]
    measured = any(track.last is not None for track in case.t.tracks.values())
    note = "; the client has not reported on what it receives, so that side is unknown" if unknown else ""
    stats = [track.last_id for track in case.t.tracks.values() if track.last is not None]
    sure = "certain" if measured and not unknown else "likely"
    return Finding([case.t.up, *stats], sure, note=note, seconds=round(case.since(case.t.up), 1))


@rule(
    phase="signalling",
    severity="good",
    actor="nobody",
    sentence="The call is being set up for {seconds} s; nothing is late yet.",
    advice="Wait.",
    disproof="A failure in one of its phases.",
)
def in_progress(case: Case) -> Finding | None:
    """Being set up; nothing is late yet."""
    if not case.t.descriptions or case.ended:
        return None
    began = case.t.descriptions[0]
    return Finding([began.event_id], "certain", seconds=round(case.since(began.timestamp_us), 1))


@rule(
    phase="signalling",
    severity="good",
    actor="nobody",
    sentence="This handle was used without media: no session description was ever exchanged on it.",
    advice="Nothing; handles that only create rooms or ask for lists look like this.",
    disproof="An offer or an answer on this handle.",
)
def no_peer_connection(case: Case) -> Finding | None:
    """A handle that was used without media: to ask, to control, or never at all."""
    if case.t.descriptions or case.t.gathering is not None or case.t.up is not None or case.t.holes:
        return None
    return Finding([case.t.attached, *case.ending], "certain")


@rule(
    phase="signalling",
    severity="notice",
    actor="server operator",
    sentence="Too little of this call was seen to judge it ({dropped} events are known to be missing).",
    advice="Look at the event queues and the link between gateway and collector.",
    disproof="The missing events.",
)
def evidence_incomplete(case: Case) -> Finding | None:
    """What is left when nothing else holds: too little was seen."""
    return Finding([hole.event_id for hole in case.t.holes], "possible", dropped=case.t.dropped)
