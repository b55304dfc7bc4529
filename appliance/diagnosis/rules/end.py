"""How a PeerConnection ended."""

from appliance.diagnosis.case import Case, Finding
from appliance.diagnosis.rules.rule import rule

TRANSPORT_LAG_US = 2_000_000
"""A lost API connection is told of before the session that it takes along, within this."""


@rule(
    phase="end",
    severity="fault",
    actor="client",
    sentence="The client's application stopped calling the server (no keep-alive in time), so its session and"
    " call were ended.",
    advice="Look for a suspended tab or a lost WebSocket; send keep-alives, and claim the session on reconnect."
    " This is no failure of the media.",
    disproof="A request of this session within the time-out.",
)
def session_timeout(case: Case) -> Finding | None:
    """The client's application stopped calling: no keep-alive came in time."""
    timeout = case.t.end("timeout")
    hangup = case.t.end("hangup")
    if timeout is None or (hangup is not None and hangup.timestamp_us < timeout.timestamp_us):
        return None
    return Finding([timeout.event_id, *case.ending], "certain", up=case.t.up is not None)


@rule(
    phase="end",
    severity="notice",
    actor="server operator",
    sentence="The call is gone from the server, but no event told its end: it was {state} when the last was heard of"
    " it, {seconds} s after it began.",
    advice="See why events are lost: the server's event handler, the way to the collector, and what the intakes"
    " refused.",
    disproof="An event that tells how the call ended.",
)
def end_untold(case: Case) -> Finding | None:
    """No event told its end: the server's Admin API was asked, and has it no more."""
    if case.t.untold is None or not (case.t.descriptions or case.t.gathering or case.t.up):
        return None
    began = case.t.up or (case.t.descriptions[0].timestamp_us if case.t.descriptions else case.t.gathering)
    state = "up" if case.t.up is not None else "being set up"
    return Finding([case.t.untold], "certain", state=state, seconds=round(case.since(began), 1))


@rule(
    phase="end",
    severity="good",
    actor="nobody",
    sentence="The client closed the call after {seconds} s; all was well.",
    advice="Nothing. (Janus names this hangup a DTLS alert; it is the close_notify of a client that leaves.)",
    disproof="A fatal alert.",
)
def normal_close(case: Case) -> Finding | None:
    """The client closed its PeerConnection, and said so with a DTLS alert: Janus calls that hangup a DTLS alert."""
    hangup = case.t.end("hangup")
    if case.t.up is None or hangup is None or hangup.reason != "DTLS alert":
        return None
    told = case.t.alert is not None and case.t.alert.direction == "received"
    return Finding([case.t.up, case.t.alert_mark, hangup.event_id], "certain" if told else "likely", **_length(case))


@rule(
    phase="end",
    severity="notice",
    actor="nobody",
    sentence="The client's API connection closed and took the call with it after {seconds} s: the page was closed"
    " or reloaded, or its network went; which, cannot be told from here.",
    advice="Nothing, if people just close the page. To tell them apart, let the page hang up when it is left.",
    disproof="A hangup or detach before the connection closed.",
)
def client_gone(case: Case) -> Finding | None:
    """The API connection closed, and the call with it: nobody hung up."""
    closed, over = case.t.transport_closed, case.t.ended_us
    if case.t.up is None or closed is None or over is None or case.t.end("hangup") is not None:
        return None
    if not 0 <= over - closed.timestamp_us <= TRANSPORT_LAG_US:
        return None
    return Finding([closed, *case.ending], "possible", **_length(case))


@rule(
    phase="end",
    severity="good",
    actor="nobody",
    sentence="An administrator ended the call after {seconds} s; all was well until then.",
    advice="Nothing.",
    disproof="No hang-up in the Admin API's log.",
)
def ended_by_admin(case: Case) -> Finding | None:
    """Somebody at the server ended it."""
    return _ended(case, {"Admin API"})


@rule(
    phase="end",
    severity="good",
    actor="nobody",
    sentence="The server's plugin ended the call after {seconds} s (unpublished, kicked, or the other side left);"
    " all was well until then.",
    advice="Nothing.",
    disproof="No such request at the plugin.",
)
def ended_by_plugin(case: Case) -> Finding | None:
    """The plugin ended it: kicked, unpublished, the other party hung up."""
    return _ended(case, {"Close PC"})


@rule(
    phase="end",
    severity="notice",
    actor="server operator",
    sentence="The server was stopped {seconds} s into the call.",
    advice="Drain a server before it is stopped: take no new sessions, and wait for the calls to end.",
    disproof="Events of the same server after that.",
)
def server_shutdown(case: Case) -> Finding | None:
    """The server stopped while the call was on."""
    stop, hangup = case.t.end("shutdown"), case.t.end("hangup")
    if case.t.up is not None and hangup is not None and hangup.reason == "Server shutdown":
        return Finding([hangup.event_id, stop.event_id if stop else None], "certain", **_length(case))
    if case.t.up is None or stop is None or case.t.ends[0] is not stop:
        return None
    return Finding([stop.event_id], "certain", **_length(case))


@rule(
    phase="end",
    severity="good",
    actor="nobody",
    sentence="The application ended the call after {seconds} s; all was well.",
    advice="Nothing.",
    disproof="No hang-up, detach or destroy request of the application's.",
)
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


@rule(
    phase="end",
    severity="notice",
    actor="server operator",
    sentence="The call ended after {seconds} s, and the server's reason says nothing: {reason}.",
    advice="Look into the server's log at that time; a Janus older than 0.4.1 names no reason at all.",
    disproof="A known reason.",
)
def ended_unknown(case: Case) -> Finding | None:
    """It ended with a reason that says nothing."""
    if case.t.up is None or not case.ended:
        return None
    return Finding(case.ending, "possible", reason=case.t.hangup_reason or "none given", **_length(case))


@rule(
    phase="signalling",
    severity="notice",
    actor="nobody",
    sentence="The call was given up {seconds} s into its set-up, before anything had failed.",
    advice="Nothing; if it happens often, see how long the set-up usually takes.",
    disproof="A failure before the end.",
)
def cancelled(case: Case) -> Finding | None:
    """Ended on purpose before it was up, and before anything had failed."""
    if case.t.up is not None or not case.ended or not case.t.descriptions:
        return None
    began = case.t.descriptions[0].timestamp_us
    return Finding(case.ending, "likely", seconds=round(case.since(began), 1))
