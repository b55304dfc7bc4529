"""Session descriptions: refused, unexpected, unanswered, or with nothing in common."""

from appliance.diagnosis import thresholds as limit
from appliance.diagnosis.case import Case, Finding
from appliance.diagnosis.rules.rule import rule

RINGING = {"janus.plugin.sip", "janus.plugin.nosip", "janus.plugin.videocall"}
"""Plugins whose answers wait for a person."""


def _answer_wait_s(case: Case) -> float:
    return limit.RING_WAIT_S if case.t.plugin in RINGING else limit.ANSWER_WAIT_S


@rule(
    phase="signalling",
    severity="fault",
    actor="application developer",
    sentence="The server refused the session description (error {error}): {reason}",
    advice="Send the browser's description unchanged, and whole; the error names what could not be used.",
    disproof="A later description of the same handle that the server accepted.",
)
def sdp_invalid(case: Case) -> Finding | None:
    """A description was refused (464, 465) and none was accepted after it."""
    bad = [refusal for refusal in case.t.refusals if refusal.code in {464, 465}]
    if not bad or case.t.up is not None:
        return None
    if any(description.event_id > bad[-1].event_id for description in case.t.descriptions):
        return None
    return Finding([bad[-1].event_id], "certain", error=bad[-1].code, reason=bad[-1].reason)


@rule(
    phase="signalling",
    severity="fault",
    actor="application developer",
    sentence="A session description came when none was due: {reason}",
    advice="Answer each offer once, on the handle it came on; after an error begin again with a new offer.",
    disproof="An offer of ours on this handle before that answer.",
)
def sdp_unexpected(case: Case) -> Finding | None:
    """An answer to no offer, or a description in a state that has no use for it (469, 471)."""
    if case.t.up is not None:
        return None
    refused = next((refusal for refusal in case.t.refusals if refusal.code in {469, 471}), None)
    if refused is not None:
        return Finding([refused.event_id], "certain", reason=refused.reason)
    first = case.t.descriptions[0] if case.t.descriptions else None
    if first is not None and first.type == "answer" and first.owner == "remote" and case.t.attached is not None:
        return Finding([first.event_id], "likely", reason="an answer came before any offer")
    return None


@rule(
    phase="signalling",
    severity="fault",
    actor="application developer",
    sentence="All audio and video was refused in the answer; the offer had: {offered}.",
    advice="Compare the codecs of offer and answer, and let the plugin or the client use one that both have.",
    disproof="An accepted audio or video line in the answer.",
)
def codec_mismatch(case: Case) -> Finding | None:
    """Every audio and video line was refused in the answer, and no codec is common to both sides."""
    if case.t.remote is None or case.t.local is None or case.t.up is not None:
        return None
    offer, answer = case.t.remote, case.t.local
    if offer.type == "answer":
        offer, answer = answer, offer
    offered = [line for line in offer.media if line.is_rtp and not line.rejected]
    lines = [answer.line(line.mid) for line in offered]
    if not offered or any(line is not None and not line.rejected for line in lines):
        return None
    if any(line.kind == "application" and not line.rejected for line in answer.media):
        return None
    codecs = ", ".join(dict.fromkeys(codec for line in offered for codec in line.codecs)) or "none"
    return Finding([offer.event_id, answer.event_id], "likely", offered=codecs)


@rule(
    phase="signalling",
    severity="fault",
    actor="application developer",
    absence=True,
    sentence="The server's offer has not been answered for {seconds} s.",
    advice="See what the client does with the offer: an error of setRemoteDescription, or an event nobody handles.",
    disproof="An answer of the client's on this handle.",
)
def no_answer(case: Case) -> Finding | None:
    """Our offer is out, and the application has not answered it."""
    last = case.t.local
    if case.t.up is not None or last is None or last.type != "offer":
        return None
    if case.t.remote is not None and case.t.remote.event_id > last.event_id:
        return None
    waited = case.since(last.timestamp_us)
    return Finding([last.event_id], "certain", seconds=round(waited, 1)) if waited >= _answer_wait_s(case) else None


@rule(
    phase="signalling",
    severity="fault",
    actor="server operator",
    absence=True,
    sentence="The client's offer has not been answered by the server for {seconds} s.",
    advice="Read the plugin's reply to that message: it may have refused the request (room, rights, codecs).",
    disproof="An answer of the server's on this handle.",
)
def no_local_answer(case: Case) -> Finding | None:
    """The client's offer is in, and the plugin has not answered it."""
    last = case.t.remote
    if case.t.up is not None or last is None or last.type != "offer" or case.t.local is not None:
        return None
    waited = case.since(last.timestamp_us)
    return Finding([last.event_id], "likely", seconds=round(waited, 1)) if waited >= _answer_wait_s(case) else None
