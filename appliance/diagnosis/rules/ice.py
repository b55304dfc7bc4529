"""Candidates and connectivity checks: which way packets go, and whose fault it is where they do not."""

from appliance.diagnosis import thresholds as limit
from appliance.diagnosis.candidates import is_private, is_public, same_network
from appliance.diagnosis.case import Case, Finding
from appliance.diagnosis.facts import Mark
from appliance.diagnosis.rules.rule import rule


@rule(
    phase="gathering",
    severity="fault",
    actor="server operator",
    absence=True,
    sentence="The server found no address of its own to offer.",
    advice="Check the interface filter, the UDP port range, and the STUN or TURN server that the server uses.",
    disproof="A local candidate in an event or in the server's description.",
)
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


@rule(
    phase="ice",
    severity="fault",
    actor="application developer",
    absence=True,
    sentence="The client never told where it can be reached: no candidate came in {seconds} s after the answer.",
    advice="Check that the application trickles its candidates on this handle, and that nothing (a policy, an"
    " extension, a relay-only setting without TURN) keeps the browser from finding any.",
    disproof="A candidate in the client's description, in a trickle, or learnt from its packets.",
)
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


@rule(
    phase="ice",
    severity="fault",
    actor="application developer",
    absence=True,
    sentence="The client gave nothing but .local names ({candidates}), which only its own network can resolve,"
    " and none of its packets arrived to show another address.",
    advice="Ask for camera or microphone first (browsers then show real addresses), or configure STUN or TURN in"
    " the client; if the server is public, also check that UDP reaches it.",
    disproof="A peer-reflexive candidate, or any STUN packet of the client's.",
)
def mdns_only(case: Case) -> Finding | None:
    """Nothing but names that only the client's own network resolves, and no packet showed another address."""
    remote = [candidate for candidate in case.t.remote_candidates if candidate.is_udp]
    if not case.ice_stuck or not remote or not all(candidate.is_mdns for candidate in remote) or not _given_up(case):
        return None
    if any(pair.requests_received for pair in case.pairs):
        return None
    return Finding(_ice_evidence(case), "likely" if case.pairs else "possible", candidates=len(remote))


@rule(
    phase="ice",
    severity="fault",
    actor="server operator",
    absence=True,
    sentence="The server offered private addresses alone ({local}, ...) to a client on the public Internet.",
    advice="Tell the server its public address (nat_1_1_mapping, or the announced addresses of the media section).",
    disproof="A STUN packet of the client's at the server, or a public local candidate.",
)
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


@rule(
    phase="ice",
    severity="fault",
    actor="network",
    absence=True,
    sentence="No UDP packet got through: {sent} STUN requests to {pairs} of the client's addresses, not one"
    " answered, and none of the client's came in.",
    advice="Open UDP to the server's media port in the firewalls between, let media go over TCP where the server can"
    " (`media.ice_tcp` of this gateway, `ice_tcp` of Janus), or offer TURN over TCP or TLS (443).",
    disproof="Any STUN request or answer from the client, or the same client connecting over UDP elsewhere.",
)
def udp_blocked_or_firewall(case: Case) -> Finding | None:
    """We asked on every pair, nobody answered, and nobody asked us."""
    if not case.ice_stuck or not _given_up(case) or not _sent(case) or _heard(case):
        return None
    if any(pair.bad_integrity for pair in case.pairs):
        return None
    sure = "certain" if case.ice_failed is not None else "likely"
    return Finding(_ice_evidence(case), sure, pairs=len(case.pairs), sent=_sent(case))


@rule(
    phase="ice",
    severity="fault",
    actor="server operator",
    absence=True,
    sentence="The client's packets arrive ({received} STUN requests), but our {answered} answers do not reach it.",
    advice="Check the way back: outgoing firewall of the server, asymmetric routing, a NAT that maps the reply to"
    " another address or port.",
    disproof="A pair that the client nominated, or an answer to a request of ours.",
)
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


@rule(
    phase="ice",
    severity="fault",
    actor="application developer",
    sentence="STUN packets came with the wrong user name or password ({refused} refused): the two sides hold"
    " descriptions of different exchanges.",
    advice="Apply the answer that belongs to the latest offer; after an ICE restart, to both sides.",
    disproof="A STUN request on these pairs that was accepted.",
)
def ice_credentials_mismatch(case: Case) -> Finding | None:
    """STUN came, but with another session's user name or password."""
    bad = sum(pair.bad_integrity for pair in case.pairs)
    if not case.ice_stuck or not bad or not _given_up(case):
        return None
    if sum(pair.responses_sent for pair in case.pairs) or any(pair.responses_received for pair in case.pairs):
        return None
    return Finding(_ice_evidence(case), "certain", refused=bad)


@rule(
    phase="ice",
    severity="fault",
    actor="network",
    sentence="The client had relayed addresses alone ({relays}), and none of them led to the server.",
    advice="Check that the TURN server may send UDP to the server's media port, and its permissions and quotas.",
    disproof="A pair with a relayed candidate that answered.",
)
def turn_unreachable(case: Case) -> Finding | None:
    """The client has relayed addresses alone, and nothing came through any of them."""
    remote = [candidate for candidate in case.t.remote_candidates if candidate.is_udp]
    if not case.ice_stuck or not remote or not _given_up(case) or _heard(case):
        return None
    if not all(candidate.type == "relay" for candidate in remote):
        return None
    return Finding(_ice_evidence(case), "likely" if case.ice_failed is not None else "possible", relays=len(remote))


@rule(
    phase="ice",
    severity="fault",
    actor="network",
    sentence="ICE failed after {seconds} s with {local} local and {remote} remote candidates; the events do not"
    " say in which direction packets were lost.",
    advice="Look at the addresses of both sides: is each reachable from the other? A capture at the server tells"
    " whether the client's STUN packets arrive.",
    disproof="A connected ICE state after the failure.",
)
def ice_failed_unknown(case: Case) -> Finding | None:
    """ICE failed, and the events do not say why."""
    if case.t.ice_connected is not None or case.ice_failed is None:
        return None
    # Where no check was ever begun, it was waited for from the description that asked for one.
    began = case.t.connecting or (case.t.descriptions[-1] if case.t.descriptions else case.ice_failed)
    waited = (case.ice_failed.timestamp_us - began.timestamp_us) / 1e6
    return Finding(
        _ice_evidence(case),
        "certain",
        seconds=round(max(0.0, waited), 1),
        local=len(case.t.local_candidates),
        remote=len(case.t.remote_candidates),
    )
