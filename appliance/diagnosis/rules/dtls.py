"""The handshake: refused by a side, by the way, or for no reason that is told."""

from appliance.diagnosis import thresholds as limit
from appliance.diagnosis.case import Case, Finding
from appliance.diagnosis.descriptions import fingerprints_match
from appliance.diagnosis.facts import Mark
from appliance.diagnosis.rules.rule import rule

CERTIFICATE_ALERTS = {42, 43, 44, 45, 46, 48}
"""bad_certificate to certificate_unknown, and unknown_ca (RFC 8446 section 6): the peer dislikes our certificate."""


def _dtls_began(case: Case) -> Mark | None:
    return case.t.dtls_trying or case.t.ice_connected


def _dtls_evidence(case: Case) -> list[Mark | int | None]:
    selected = case.t.selected[-1].event_id if case.t.selected else None
    return [selected, case.t.dtls_trying, case.t.dtls_mark, case.dtls_over, *case.ending]


def _records(case: Case) -> int | None:
    """DTLS records of the client's; ``None`` where the server does not count."""
    return None if case.t.dtls is None else sum(case.t.dtls.records_received.values())


@rule(
    phase="dtls",
    severity="fault",
    actor="application developer",
    sentence="The client's certificate is not the one its description announced, so the call was refused.",
    advice="Look for a description that belongs to another PeerConnection (cached, cloned, mixed up in"
    " signalling); if there is none, somebody may be in between.",
    disproof="Equal fingerprints in the SDP and of the certificate in the handshake.",
)
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
        if hangup is not None and hangup.reason not in {"DTLS alert", None}:
            return None
        # Before 0.4.1 it named no reason at all, not even for flights that it sent in vain.
        is_named = hangup is None or hangup.reason is not None
        if not is_named and case.t.retransmissions >= limit.DTLS_RETRANSMISSIONS:
            return None
        sure = "likely" if is_named else "possible"
        return Finding(_dtls_evidence(case), sure, expected="as in the SDP", received="another one")
    return None


@rule(
    phase="dtls",
    severity="fault",
    actor="application developer",
    sentence="Both sides are {setup} in the DTLS handshake, so it cannot take place.",
    advice="Leave a=setup as the browser wrote it; an answer to actpass is active or passive, never a copy.",
    disproof="A finished handshake.",
)
def dtls_role_conflict(case: Case) -> Finding | None:
    """Both sides want to begin the handshake, or both wait for the other (RFC 8842 section 5)."""
    if not case.dtls_stuck:
        return None
    if case.t.dtls is not None and case.t.dtls.role == "client" and case.t.dtls.hellos_received:
        return Finding(_dtls_evidence(case), "certain", setup="active")
    if case.t.remote is None or case.t.local is None:
        return None
    if case.since(_dtls_began(case)) < limit.DTLS_WAIT_S and case.dtls_over is None:
        return None
    is_answered = "answer" in {case.t.remote.type, case.t.local.type}
    for line in case.t.remote.media:
        ours = case.t.local.line(line.mid)
        if ours is None or line.setup is None or line.setup != ours.setup:
            continue
        # An answer of actpass is one that was copied from the offer: each waits for the other's choice.
        if line.setup != "actpass" or is_answered:
            ids = [case.t.remote.event_id, case.t.local.event_id, *_dtls_evidence(case)]
            return Finding(ids, "certain", setup=line.setup)
    return None


@rule(
    phase="dtls",
    severity="fault",
    actor="application developer",
    sentence="The server refused the client's DTLS handshake: {alert} ({number}).",
    advice="Compare DTLS versions, ciphers and SRTP profiles of both; a very old client may have none in common.",
    disproof="A finished handshake.",
)
def dtls_alert_sent(case: Case) -> Finding | None:
    """We refused the handshake and said so."""
    alert = case.t.alert
    if alert is None or alert.direction != "sent" or alert.level != "fatal" or case.t.up is not None:
        return None
    return Finding([case.t.alert_mark, *_dtls_evidence(case)], "certain", alert=alert.name, number=alert.code)


@rule(
    phase="dtls",
    severity="fault",
    actor="application developer",
    sentence="The client refused the server's DTLS handshake: {alert} ({number}); {hint}.",
    advice="For a certificate alert, check that the client got the server's own answer: a fingerprint that was"
    " changed or that belongs to another server does this.",
    disproof="A finished handshake, or the alert coming after it.",
)
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


@rule(
    phase="dtls",
    severity="fault",
    actor="application developer",
    sentence="DTLS succeeded, but the two sides have no SRTP protection profile in common.",
    advice="Enable one of AES-128-GCM, AES-256-GCM or AES128_CM_HMAC_SHA1_80 on both sides.",
    disproof="A negotiated SRTP profile.",
)
def srtp_no_profile(case: Case) -> Finding | None:
    """The handshake succeeded, and no SRTP protection profile is common to both."""
    if not case.t.has_rtp or case.t.up is not None:
        return None
    detail = case.t.dtls
    refused = case.t.hangup_reason == "DTLS-SRTP stack error"
    if detail is not None and detail.version is not None and detail.srtp_profile is None:
        return Finding(_dtls_evidence(case), "certain") if refused or case.t.dtls_connected is not None else None
    return Finding(_dtls_evidence(case), "possible") if refused and detail is None else None


@rule(
    phase="dtls",
    severity="fault",
    actor="network",
    sentence="The small parts of the client's DTLS messages arrive and the full-sized ones do not: something on"
    " the way drops large packets.",
    advice="Find the firewall or tunnel that drops UDP packets above about 1,200 bytes, or fragments.",
    disproof="The first fragment of the ClientHello at the server.",
)
def dtls_mtu(case: Case) -> Finding | None:
    """The first fragment of a large hello never arrives, or after a small hello nothing that is larger."""
    detail = case.t.dtls
    if not case.dtls_stuck or detail is None:
        return None
    if detail.first_fragment_seen is False:
        sure = "certain" if case.dtls_over is not None else "likely"
        return Finding(_dtls_evidence(case), sure, records=_records(case))
    # It heard our answer, else it would repeat its hello, and still answers checks. What it says next is a certificate.
    stuck = detail.role == "server" and detail.hellos_received == 1 and detail.last_received == "client_hello"
    answers = any(pair.selected and pair.requests_sent - 1 <= pair.responses_received > 1 for pair in case.pairs)
    if not stuck or not answers or detail.alert is not None or case.dtls_over is None:
        return None
    return Finding(_dtls_evidence(case), "likely", records=_records(case))


@rule(
    phase="dtls",
    severity="fault",
    actor="network",
    absence=True,
    sentence="ICE connected, but no DTLS packet of the client's came in {seconds} s.",
    advice="Suspect a middlebox that lets STUN pass and drops DTLS, or a client that had closed already.",
    disproof="Any DTLS record of the client's.",
)
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


@rule(
    phase="dtls",
    severity="fault",
    actor="network",
    sentence="The DTLS handshake failed after {seconds} s ({records} records of the client's); {hint}.",
    advice="Capture the handshake at the server: repeated flights mean loss, an alert names its reason.",
    disproof="A finished handshake.",
)
def dtls_failed_unknown(case: Case) -> Finding | None:
    """The handshake began and did not end well, and the events do not say why."""
    if case.t.up is not None or case.t.ice_connected is None or case.dtls_over is None:
        return None
    hint, detail = "the events do not say why", case.t.dtls
    repeated = detail is not None and detail.role == "server" and detail.last_received == "client_hello"
    if detail is not None and repeated and detail.hellos_received > 1:
        hint = f"it sent its hello {detail.hellos_received} times, so our answers do not reach it"
    seconds = round(case.since(_dtls_began(case)), 1)
    return Finding(_dtls_evidence(case), "certain", seconds=seconds, records=_records(case) or 0, hint=hint)
