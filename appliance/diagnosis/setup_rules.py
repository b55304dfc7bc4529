"""Signs of a PeerConnection that never came up: signalling, candidates, ICE, DTLS.

Each function holds one row: a :class:`~appliance.diagnosis.case.Finding` where it applies, else ``None``. Numbers in
the docstrings are those of the field's own failures, see ``docs/verdicts.md`` for the words that go with them.
"""

from appliance.diagnosis import thresholds as limit
from appliance.diagnosis.candidates import is_private, is_public, same_network
from appliance.diagnosis.case import Case, Finding
from appliance.diagnosis.descriptions import fingerprints_match
from appliance.diagnosis.timeline import Mark

CERTIFICATE_ALERTS = {42, 43, 44, 45, 46, 48}
"""bad_certificate to certificate_unknown, and unknown_ca (RFC 8446 section 6): the peer dislikes our certificate."""


def sdp_invalid(case: Case) -> Finding | None:
    """A description was refused (464, 465) and none was accepted after it."""
    bad = [refusal for refusal in case.t.refusals if refusal.code in {464, 465}]
    if not bad or case.t.up is not None:
        return None
    if any(description.event_id > bad[-1].event_id for description in case.t.descriptions):
        return None
    return Finding([bad[-1].event_id], "certain", error=bad[-1].code, reason=bad[-1].reason)


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


def no_answer(case: Case) -> Finding | None:
    """Our offer is out, and the application has not answered it."""
    last = case.t.local
    if case.t.up is not None or last is None or last.type != "offer":
        return None
    if case.t.remote is not None and case.t.remote.event_id > last.event_id:
        return None
    waited = case.since(last.timestamp_us)
    return Finding([last.event_id], "certain", seconds=round(waited, 1)) if waited >= limit.ANSWER_WAIT_S else None


def no_local_answer(case: Case) -> Finding | None:
    """The client's offer is in, and the plugin has not answered it."""
    last = case.t.remote
    if case.t.up is not None or last is None or last.type != "offer" or case.t.local is not None:
        return None
    waited = case.since(last.timestamp_us)
    return Finding([last.event_id], "likely", seconds=round(waited, 1)) if waited >= limit.ANSWER_WAIT_S else None


def gathering_failed(case: Case) -> Finding | None:
    """The server says so, or it gathered and found no candidate of its own."""
    hangup = case.t.end("hangup")
    if hangup is not None and hangup.reason in {"Gathering error", "ICE gathering error"}:
        return Finding([case.t.gathering, hangup.event_id], "certain")
    if case.t.gathering is None or case.t.first_local_candidate is not None or not case.settling:
        return None
    if case.t.ice_connected is not None or case.since(case.t.gathering) < limit.GATHERING_WAIT_S:
        return None
    return Finding([case.t.gathering], "likely")


def no_remote_candidates(case: Case) -> Finding | None:
    """The client named no address at all, even where it said that it had no more."""
    if not case.ice_stuck or case.t.remote_candidates or any(pair.requests_received for pair in case.pairs):
        return None
    completed = case.t.end_of_candidates
    if completed is None and case.since(case.t.answered) < limit.CANDIDATE_WAIT_S:
        return None
    sure = "certain" if completed is not None or case.since(case.t.answered) >= limit.ANSWER_WAIT_S else "likely"
    return Finding(
        [case.t.remote.event_id if case.t.remote else None, case.t.answered, completed, *case.ending],
        sure,
        seconds=round(case.since(case.t.answered), 1),
        completed=completed is not None,
    )


def _given_up(case: Case) -> bool:
    """ICE has failed, or has had the time in which it succeeds where it can."""
    return case.ice_failed is not None or case.since(case.t.connecting or case.t.answered) >= limit.ICE_WAIT_S


def _sent(case: Case) -> int:
    return sum(pair.requests_sent for pair in case.pairs)


def _heard(case: Case) -> int:
    return sum(pair.requests_received + pair.responses_received for pair in case.pairs)


def _ice_evidence(case: Case) -> list[Mark | int | None]:
    return [*case.t.candidate_ids, case.t.last_counters, case.ice_failed, *case.ending]


def mdns_only(case: Case) -> Finding | None:
    """Nothing but names that only the client's own network resolves, and no packet showed another address."""
    remote = [candidate for candidate in case.t.remote_candidates if candidate.is_udp]
    if not case.ice_stuck or not remote or not all(candidate.is_mdns for candidate in remote) or not _given_up(case):
        return None
    if any(pair.requests_received for pair in case.pairs):
        return None
    return Finding(_ice_evidence(case), "likely" if case.pairs else "possible", candidates=len(remote))


def nat_1_1_missing(case: Case) -> Finding | None:
    """We offer private addresses alone, to a client that is out on the Internet."""
    local = [candidate.address for candidate in case.t.local_candidates if candidate.is_udp]
    remote = [candidate.address for candidate in case.t.remote_candidates if candidate.is_udp]
    if not case.ice_stuck or not local or not all(is_private(address) for address in local) or not _given_up(case):
        return None
    if not any(is_public(address) for address in remote) or _heard(case):
        return None
    if any(same_network(one, other) for one in local for other in remote if is_private(other)):
        return None
    return Finding(_ice_evidence(case), "likely" if _sent(case) else "possible", local=local[0])


def udp_blocked_or_firewall(case: Case) -> Finding | None:
    """We asked on every pair, nobody answered, and nobody asked us."""
    if not case.ice_stuck or not _given_up(case) or not _sent(case) or _heard(case):
        return None
    if any(pair.bad_integrity for pair in case.pairs):
        return None
    sure = "certain" if case.ice_failed is not None else "likely"
    return Finding(_ice_evidence(case), sure, pairs=len(case.pairs), sent=_sent(case))


def one_way_network(case: Case) -> Finding | None:
    """The client's requests come and we answer them, but it does not take any pair: our answers do not arrive."""
    if not case.ice_stuck or any(pair.nominated or pair.responses_received for pair in case.pairs):
        return None
    received = sum(pair.requests_received for pair in case.pairs)
    answered = sum(pair.responses_sent for pair in case.pairs)
    if not received or not answered or case.since(case.t.first_request) < limit.ICE_WAIT_S:
        return None
    sure = "certain" if case.ice_failed is not None and _sent(case) else "likely"
    return Finding([case.t.first_request, *_ice_evidence(case)], sure, received=received, answered=answered)


def ice_credentials_mismatch(case: Case) -> Finding | None:
    """STUN came, but with another session's user name or password."""
    bad = sum(pair.bad_integrity for pair in case.pairs)
    if not case.ice_stuck or not bad or not _given_up(case):
        return None
    if sum(pair.responses_sent for pair in case.pairs) or any(pair.responses_received for pair in case.pairs):
        return None
    return Finding(_ice_evidence(case), "certain", refused=bad)


def turn_unreachable(case: Case) -> Finding | None:
    """The client has relayed addresses alone, and ICE failed on all of them."""
    remote = [candidate for candidate in case.t.remote_candidates if candidate.is_udp]
    if not case.ice_stuck or case.ice_failed is None or not remote:
        return None
    if not all(candidate.type == "relay" for candidate in remote):
        return None
    return Finding(_ice_evidence(case), "likely", relays=len(remote))


def ice_failed_unknown(case: Case) -> Finding | None:
    """ICE failed, and the events do not say why."""
    if case.t.ice_connected is not None or case.ice_failed is None:
        return None
    waited = (case.ice_failed.timestamp_us - case.t.connecting.timestamp_us) / 1e6 if case.t.connecting else 0.0
    return Finding(
        _ice_evidence(case),
        "certain",
        seconds=round(max(0.0, waited), 1),
        local=len(case.t.local_candidates),
        remote=len(case.t.remote_candidates),
    )


# --- DTLS ----------------------------------------------------------------------------------------------------


def _dtls_began(case: Case) -> Mark | None:
    return case.t.dtls_trying or case.t.ice_connected


def _dtls_evidence(case: Case) -> list[Mark | int | None]:
    selected = case.t.selected[-1].event_id if case.t.selected else None
    return [selected, case.t.dtls_trying, case.t.dtls_mark, case.dtls_over, *case.ending]


def fingerprint_mismatch(case: Case) -> Finding | None:
    """The certificate that came is not the one that the SDP announced."""
    detail = case.t.dtls
    if detail is not None and detail.fingerprint_expected and detail.fingerprint_received:
        expected, received = detail.fingerprint_expected, detail.fingerprint_received
        if fingerprints_match(expected, received) is not False or case.t.up is not None:
            return None
        return Finding(_dtls_evidence(case), "certain", expected=expected, received=received)
    # Janus gives no reason, but it checks the certificate at the end of a handshake and nowhere else says failed.
    hangup = case.t.end("hangup")
    if detail is None and case.t.dtls_failed is not None and case.t.up is None:
        if hangup is not None and hangup.reason != "DTLS alert":
            return None
        return Finding(_dtls_evidence(case), "likely", expected="as in the SDP", received="another one")
    return None


def dtls_role_conflict(case: Case) -> Finding | None:
    """Both sides want to begin the handshake, or both wait for the other (RFC 8842 section 5)."""
    if not case.dtls_stuck or case.t.remote is None or case.t.local is None:
        return None
    if case.since(_dtls_began(case)) < limit.DTLS_WAIT_S and case.dtls_over is None:
        return None
    for line in case.t.remote.media:
        ours = case.t.local.line(line.mid)
        if ours is not None and line.setup is not None and line.setup == ours.setup and line.setup != "actpass":
            ids = [case.t.remote.event_id, case.t.local.event_id, *_dtls_evidence(case)]
            return Finding(ids, "certain", setup=line.setup)
    return None


def dtls_alert_sent(case: Case) -> Finding | None:
    """We refused the handshake and said so."""
    alert = case.t.alert
    if alert is None or alert.direction != "sent" or alert.level != "fatal" or case.t.up is not None:
        return None
    return Finding([case.t.alert_mark, *_dtls_evidence(case)], "certain", alert=alert.name, number=alert.code)


def dtls_alert_received(case: Case) -> Finding | None:
    """The client refused the handshake and said so."""
    if case.t.up is not None:
        return None
    alert = case.t.alert
    if alert is not None and alert.direction == "received" and alert.level == "fatal":
        hint = "it did not accept our certificate" if alert.code in CERTIFICATE_ALERTS else "the alert names its reason"
        ids = [case.t.alert_mark, *_dtls_evidence(case)]
        return Finding(ids, "certain", alert=alert.name, number=alert.code, hint=hint)
    hangup = case.t.end("hangup")
    untold = alert is None and case.t.dtls is None and case.t.dtls_trying is not None and case.t.dtls_failed is None
    if untold and hangup is not None and hangup.reason == "DTLS alert":
        return Finding(_dtls_evidence(case), "possible", alert="unknown", number=0, hint="the server kept no name")
    return None


def srtp_no_profile(case: Case) -> Finding | None:
    """The handshake succeeded, and no SRTP protection profile is common to both."""
    if not case.t.has_rtp or case.t.up is not None:
        return None
    detail = case.t.dtls
    refused = case.t.hangup_reason == "DTLS-SRTP stack error"
    if detail is not None and detail.version is not None and detail.srtp_profile is None:
        return Finding(_dtls_evidence(case), "certain") if refused or case.t.dtls_connected is not None else None
    return Finding(_dtls_evidence(case), "possible") if refused and detail is None else None


def _records(case: Case) -> int | None:
    """DTLS records of the client's; ``None`` where the server does not count."""
    return None if case.t.dtls is None else sum(case.t.dtls.records_received.values())


def dtls_mtu(case: Case) -> Finding | None:
    """Later fragments of a large message arrive, the full-sized first one never does."""
    if not case.dtls_stuck or case.t.dtls is None or case.t.dtls.first_fragment_seen is not False:
        return None
    return Finding(_dtls_evidence(case), "certain" if case.dtls_over is not None else "likely", records=_records(case))


def dtls_no_response(case: Case) -> Finding | None:
    """ICE is connected, and not one DTLS record came."""
    records = _records(case)
    waited = case.since(_dtls_began(case))
    if not case.dtls_stuck or records:
        return None
    if records is None:
        # Janus is DTLS client and counts nothing but what it sent in vain; our gateway tells once it is over.
        told = case.t.hangup_reason == "DTLS timeout"
        late = waited >= 2 * limit.DTLS_WAIT_S and case.dtls_over is None
        if not told and not late and case.t.retransmissions < limit.DTLS_RETRANSMISSIONS:
            return None
        sure = "likely" if told else "possible"
    elif waited < limit.DTLS_WAIT_S:
        return None
    else:
        sure = "certain" if case.dtls_over is not None or waited >= 2 * limit.DTLS_WAIT_S else "likely"
    return Finding(_dtls_evidence(case), sure, seconds=round(waited, 1), retransmissions=case.t.retransmissions)


def dtls_failed_unknown(case: Case) -> Finding | None:
    """The handshake began and did not end well, and the events do not say why."""
    if case.t.up is not None or case.t.ice_connected is None or case.dtls_over is None:
        return None
    return Finding(
        _dtls_evidence(case), "certain", seconds=round(case.since(_dtls_began(case)), 1), records=_records(case) or 0
    )
