"""How a PeerConnection ended, or how it stands, where nothing was wrong with it."""

from appliance.diagnosis.case import Case, Finding

TRANSPORT_LAG_US = 2_000_000
"""A lost API connection is told of before the session that it takes along, within this."""


def normal_close(case: Case) -> Finding | None:
    """The client closed its PeerConnection, and said so with a DTLS alert: Janus calls that hangup a DTLS alert."""
    hangup = case.t.end("hangup")
    if case.t.up is None or hangup is None or hangup.reason != "DTLS alert":
        return None
    told = case.t.alert is not None and case.t.alert.direction == "received"
    return Finding([case.t.up, case.t.alert_mark, hangup.event_id], "certain" if told else "likely", **_length(case))


def cancelled(case: Case) -> Finding | None:
    """Ended on purpose before it was up, and before anything had failed."""
    if case.t.up is not None or not case.ended or not case.t.descriptions:
        return None
    began = case.t.descriptions[0].timestamp_us
    return Finding(case.ending, "likely", seconds=round(case.since(began), 1))


def client_gone(case: Case) -> Finding | None:
    """The API connection closed, and the call with it: nobody hung up."""
    closed, over = case.t.transport_closed, case.t.ended_us
    if case.t.up is None or closed is None or over is None or case.t.end("hangup") is not None:
        return None
    if over - closed.timestamp_us > TRANSPORT_LAG_US:
        return None
    return Finding([closed, *case.ending], "possible", **_length(case))


def ended_by_admin(case: Case) -> Finding | None:
    """Somebody at the server ended it."""
    return _ended(case, {"Admin API"})


def ended_by_plugin(case: Case) -> Finding | None:
    """The plugin ended it: kicked, unpublished, the other party hung up."""
    return _ended(case, {"Close PC"})


def server_shutdown(case: Case) -> Finding | None:
    """The server stopped while the call was on."""
    stop = case.t.end("shutdown")
    if case.t.up is None or stop is None or case.t.ends[0] is not stop:
        return None
    return Finding([stop.event_id], "certain", **_length(case))


def ended_by_app(case: Case) -> Finding | None:
    """The application hung up, detached or destroyed its session."""
    # A session or handle that is taken away takes its PeerConnection along, without a hangup.
    taken = case.t.end("destroyed") is not None or case.t.end("detached") is not None
    spoken = case.t.end("hangup") is not None or case.t.end("timeout") is not None
    if taken and not spoken and case.t.up is not None:
        return Finding([case.t.up, *case.ending], "likely", **_length(case))
    return _ended(case, {"Janus API", "Detach"})


def _ended(case: Case, reasons: set[str]) -> Finding | None:
    hangup = case.t.end("hangup")
    if case.t.up is None or hangup is None or hangup.reason not in reasons:
        return None
    return Finding([case.t.up, hangup.event_id], "certain", **_length(case))


def _length(case: Case) -> dict[str, float]:
    return {"seconds": round(case.since(case.t.up), 1)}


def ended_unknown(case: Case) -> Finding | None:
    """It ended with a reason that says nothing."""
    if case.t.up is None or not case.ended:
        return None
    return Finding(case.ending, "possible", reason=case.t.hangup_reason or "none given", **_length(case))


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
    return Finding([case.t.up, *stats], sure, note=note, **_length(case))


def in_progress(case: Case) -> Finding | None:
    """Being set up; nothing is late yet."""
    if not case.t.descriptions or case.ended:
        return None
    began = case.t.descriptions[0]
    return Finding([began.event_id], "certain", seconds=round(case.since(began.timestamp_us), 1))


def no_peer_connection(case: Case) -> Finding | None:
    """A handle that was used without media: to ask, to control, or never at all."""
    if case.t.descriptions or case.t.gathering is not None or case.t.up is not None or case.t.holes:
        return None
    return Finding([case.t.attached, *case.ending], "certain")


def evidence_incomplete(case: Case) -> Finding | None:
    """What is left when nothing else holds: too little was seen."""
    return Finding([hole.event_id for hole in case.t.holes], "possible", dropped=case.t.dropped)
