"""Calls that never came up: each story and, beside it, the one that misses the verdict by a little."""

from collections.abc import Callable

import pytest

from appliance.core.events import ApiError, CandidateAddress, Connection, DtlsAlert, Handle, RemoteCandidate
from tests.diagnosis.build import Call

Story = Callable[[], Call]
AV = ("audio sendrecv", "video sendrecv VP8")
MDNS = "0b1c2d3e-1111-4222-8333-444455556666.local"


def refused(code: int, reason: str = "no good") -> Call:
    return Call().after(0.1).add(ApiError(code=code, reason=reason, request="message")).after(1)


def blocked(**more: int) -> Call:
    """Probes that nobody answers, for the 30 s after which our gateway gives up."""
    call = Call().settled()
    for _ in range(30):
        call.after(1).stun(**({"sent": round(2 * call.now)} | more))
    return call.ice("failed").hangup("ICE failed")


def asked_and_answered(**more: int | bool) -> Call:
    """The client's requests come and are answered."""
    call = Call().settled()
    for second in range(1, 31):
        call.after(1).stun(sent=2 * second, received=4 * second, replied=4 * second, **more)
    return call.ice("failed").hangup("ICE failed")


def nat(local: str, remote: str, **more: int) -> Call:
    call = Call().offer().ice("gathering").local(local).answer().remote(remote).ice("connecting")
    return call.after(6).stun(**({"sent": 12} | more)).after(24).ice("failed").hangup("ICE failed")


def names_only(kind: str = MDNS, **counters: int) -> Call:
    call = Call().offer().ice("gathering").local().answer().remote(kind, "host").ice("connecting")
    return call.after(6).stun(**counters).after(1) if counters else call.after(7)


def relayed(*kinds: str) -> Call:
    call = Call().offer().ice("gathering").local().answer()
    for kind in kinds:
        call.remote(kind=kind)
    return call.ice("connecting").after(7).ice("failed").after(5).hangup("ICE failed")


def alert(direction: str, level: str = "fatal", code: int = 46, name: str = "certificate_unknown") -> Call:
    story = Call().connected().after(0.1).detail(alert=DtlsAlert(direction, level, code, name))
    return story.dtls("failed").hangup("DTLS alert")


def prints(expected: str, received: str) -> Call:
    story = Call().connected().after(0.1).detail(fingerprint_expected=expected, fingerprint_received=received)
    return story.dtls("failed").hangup("DTLS alert")


def silent_dtls(seconds: float, **detail: object) -> Call:
    return Call().connected().after(seconds).detail(**({"records_received": {}} | detail))


def small_hello(answered: int = 3, **detail: object) -> Call:
    """A hello that came, and nothing of the handshake after it, though checks are answered."""
    told = {"last_received": "client_hello", **HELLO, **detail}
    return silent_dtls(20, **told).stun(sent=3, answered=answered, selected=True).hangup("DTLS timeout")


def relay_asked(**more: int) -> Call:
    """Relayed addresses alone, with probes that say how they fare."""
    call = Call().settled()
    call.events = [item for item in call.events if not isinstance(item.event, RemoteCandidate)]
    call.remote(kind="relay")
    for _ in range(8):
        call.after(1).stun(**({"sent": round(2 * call.now)} | more))
    return call


def relayed_late() -> Call:
    """A late candidate saves what had failed."""
    call = Call().settled().after(7).ice("failed").after(1).remote("203.0.113.77").ice("connected").dtls("trying")
    return call.after(0.1).dtls("connected").add(Connection(connection="webrtcup")).media(3)


HELLO = {"records_received": {"handshake": 6}}


def ringing(plugin: str) -> Call:
    """A handle of a plugin that has somebody to call."""
    return Call().add(Handle(name="attached", plugin=f"janus.plugin.{plugin}"))


HOLDS: list[tuple[str, str, str, Story]] = [
    ("sdp_invalid", "application developer", "certain", lambda: refused(465, "Error parsing SDP")),
    ("sdp_unexpected", "application developer", "certain", lambda: refused(469)),
    ("sdp_unexpected", "application developer", "likely", lambda: Call().answer(owner="remote").after(1)),
    (
        "codec_mismatch",
        "application developer",
        "likely",
        lambda: Call().offer("audio sendrecv ISAC").answer("audio rejected").after(1),
    ),
    ("no_answer", "application developer", "certain", lambda: Call().offer(owner="local").after(12)),
    ("no_answer", "application developer", "certain", lambda: ringing("sip").offer(owner="local").after(200)),
    ("no_local_answer", "server operator", "likely", lambda: Call().offer().after(12)),
    (
        "gathering_failed",
        "server operator",
        "likely",
        lambda: Call().offer().ice("gathering").answer().remote().after(6),
    ),
    ("gathering_failed", "server operator", "certain", lambda: Call().offer().hangup("Gathering error")),
    ("no_remote_candidates", "application developer", "certain", lambda: Call().offer().local().answer().after(12)),
    (
        "no_remote_candidates",
        "application developer",
        "certain",
        lambda: Call().offer().local().answer().after(0.5).no_more().after(1),
    ),
    ("mdns_only", "application developer", "possible", names_only),
    ("mdns_only", "application developer", "likely", lambda: names_only(sent=0)),
    ("nat_1_1_missing", "server operator", "likely", lambda: nat("10.0.0.5", "203.0.115.9")),
    ("nat_1_1_missing", "server operator", "likely", lambda: nat("100.64.3.4", "203.0.115.9")),
    ("udp_blocked_or_firewall", "network", "certain", blocked),
    ("one_way_network", "server operator", "certain", asked_and_answered),
    (
        "ice_credentials_mismatch",
        "application developer",
        "certain",
        lambda: blocked(received=30, bad_integrity=30),
    ),
    ("turn_unreachable", "network", "likely", lambda: relayed("relay", "relay")),
    ("turn_unreachable", "network", "likely", lambda: relay_asked().ice("failed").hangup("ICE failed")),
    ("ice_failed_unknown", "network", "certain", lambda: relayed("relay", "host")),
    ("fingerprint_mismatch", "application developer", "certain", lambda: prints("sha-256 AA:BB", "sha-256 AA:CC")),
    (
        "fingerprint_mismatch",
        "application developer",
        "certain",
        lambda: prints("sha-384 CC:DD sha-256 AA:BB", "sha-256 AA:CC"),
    ),
    (
        "srtp_no_profile",
        "application developer",
        "certain",
        lambda: Call().connected().after(0.1).dtls("failed").detail(version="DTLSv1.2").hangup("DTLS-SRTP stack error"),
    ),
    (
        "dtls_role_conflict",
        "application developer",
        "certain",
        lambda: (
            Call().offer(setup="active").local().answer(setup="active").remote().after(0.1).ice("connected").after(6)
        ),
    ),
    (
        "dtls_role_conflict",
        "application developer",
        "certain",
        lambda: (
            Call().offer(setup="actpass").local().answer(setup="actpass").remote().after(0.1).ice("connected").after(6)
        ),
    ),
    # A Janus before 0.4.1, whose hangups have no reason.
    (
        "fingerprint_mismatch",
        "application developer",
        "possible",
        lambda: Call().connected().after(0.1).dtls("failed").add(Connection(connection="hangup")),
    ),
    ("dtls_alert_sent", "application developer", "certain", lambda: alert("sent", code=40, name="handshake_failure")),
    ("dtls_alert_received", "application developer", "certain", lambda: alert("received")),
    (
        "dtls_alert_received",
        "application developer",
        "possible",
        lambda: Call().connected().after(0.1).hangup("DTLS alert"),
    ),
    (
        "srtp_no_profile",
        "application developer",
        "certain",
        lambda: Call().connected().after(0.1).detail(version="DTLSv1.2").dtls("connected").after(1),
    ),
    (
        "srtp_no_profile",
        "application developer",
        "possible",
        lambda: Call().connected().hangup("DTLS-SRTP stack error"),
    ),
    ("dtls_mtu", "network", "likely", lambda: silent_dtls(2, **HELLO, first_fragment_seen=False)),
    ("dtls_mtu", "network", "likely", lambda: small_hello(hellos_received=1)),
    (
        "dtls_role_conflict",
        "application developer",
        "certain",
        lambda: silent_dtls(1, **HELLO, role="client", hellos_received=1),
    ),
    ("dtls_no_response", "network", "certain", lambda: silent_dtls(20).hangup("DTLS timeout")),
    ("dtls_no_response", "network", "likely", lambda: silent_dtls(6)),
    (
        "dtls_no_response",
        "network",
        "likely",
        lambda: Call().connected().after(15).dtls("trying", 4).after(5).hangup("DTLS timeout"),
    ),
    ("dtls_failed_unknown", "network", "certain", lambda: silent_dtls(20, **HELLO).hangup("DTLS timeout")),
]

MISSES: list[tuple[str, str, Story]] = [
    ("sdp_invalid", "in_progress", lambda: refused(465).offer().after(1)),
    ("sdp_invalid", "healthy", lambda: Call().up().add(ApiError(code=465, reason="")).media(3)),
    ("sdp_invalid", "no_peer_connection", lambda: refused(458)),
    ("sdp_unexpected", "in_progress", lambda: Call().offer(owner="local").answer(owner="remote").after(1)),
    (
        "codec_mismatch",
        "in_progress",
        lambda: Call().offer(*AV).answer("audio sendrecv", "video rejected").after(1),
    ),
    (
        "codec_mismatch",
        "in_progress",
        lambda: Call().offer("audio sendrecv", "application").answer("audio rejected", "application").after(1),
    ),
    ("no_answer", "in_progress", lambda: Call().offer(owner="local").after(8)),
    # It rings, here and at the other end.
    ("no_answer", "in_progress", lambda: ringing("sip").offer(owner="local").after(60)),
    ("no_local_answer", "in_progress", lambda: ringing("videocall").offer().after(60)),
    ("no_local_answer", "cancelled", lambda: ringing("sip").offer().after(40).hangup("Close PC")),
    ("no_local_answer", "in_progress", lambda: Call().offer().after(8)),
    ("gathering_failed", "in_progress", lambda: Call().offer().ice("gathering").answer().remote().after(4)),
    ("no_remote_candidates", "in_progress", lambda: Call().offer().local().answer().after(2)),
    (
        "no_remote_candidates",
        "in_progress",
        lambda: Call().offer(candidates=("1 1 udp 1 203.0.113.9 50000 typ host",)).local().answer().after(4),
    ),
    # A lite agent learns the address from what it hears.
    ("no_remote_candidates", "in_progress", lambda: Call().offer().local().answer().after(1).stun(received=1).after(4)),
    ("mdns_only", "in_progress", lambda: names_only(received=3, replied=3)),
    ("mdns_only", "udp_blocked_or_firewall", lambda: names_only(sent=12).remote().after(1)),
    # Both behind the same office router: no translation between them.
    (
        "nat_1_1_missing",
        "udp_blocked_or_firewall",
        lambda: (
            Call()
            .offer()
            .local("10.0.0.5")
            .answer()
            .remote("10.0.7.7")
            .remote("203.0.115.9")
            .ice("connecting")
            .after(6)
            .stun(sent=12)
            .ice("failed")
        ),
    ),
    ("nat_1_1_missing", "udp_blocked_or_firewall", lambda: nat("198.18.0.1", "192.0.2.5")),
    ("nat_1_1_missing", "udp_blocked_or_firewall", lambda: nat("8.8.4.4", "203.0.115.9")),
    ("udp_blocked_or_firewall", "in_progress", lambda: Call().settled().after(3).stun(sent=6)),
    ("udp_blocked_or_firewall", "ice_failed_unknown", lambda: blocked(answered=1)),
    # Both ways are proven: that the client does not nominate has another reason.
    ("one_way_network", "ice_failed_unknown", lambda: asked_and_answered(answered=3)),
    ("one_way_network", "ice_failed_unknown", lambda: asked_and_answered(nominated=True)),
    (
        "one_way_network",
        "in_progress",
        lambda: (
            Call().settled().after(1).stun(sent=2, received=4, replied=4).after(2).stun(sent=6, received=9, replied=9)
        ),
    ),
    ("ice_credentials_mismatch", "one_way_network", lambda: asked_and_answered(bad_integrity=1)),
    ("turn_unreachable", "in_progress", lambda: Call().settled().after(1)),
    # Its packets come through the relay: it is our answers that do not.
    ("turn_unreachable", "one_way_network", lambda: relay_asked(received=9, replied=9)),
    ("ice_failed_unknown", "healthy", relayed_late),
    # A fingerprint may be written in either case, and of another hash there is nothing to compare.
    ("fingerprint_mismatch", "dtls_failed_unknown", lambda: prints("SHA-256 aa:bb", "sha-256 AA:BB")),
    ("fingerprint_mismatch", "dtls_failed_unknown", lambda: prints("sha-512 AA:BB", "sha-256 AA:CC")),
    # aiortc names three; one that fits is enough.
    (
        "fingerprint_mismatch",
        "dtls_failed_unknown",
        lambda: prints("sha-256 AA:BB sha-384 CC:DD sha-512 EE:FF", "sha-256 AA:BB"),
    ),
    (
        "dtls_alert_received",
        "healthy",
        lambda: Call().up().detail(alert=DtlsAlert("received", "warning", 0, "x")).media(3),
    ),
    # Data alone needs no SRTP.
    (
        "srtp_no_profile",
        "in_progress",
        lambda: Call().connected("application").after(0.1).detail(version="DTLSv1.2").dtls("connected").after(1),
    ),
    (
        "fingerprint_mismatch",
        "dtls_no_response",
        lambda: Call().connected().after(20).dtls("failed", 6).add(Connection(connection="hangup")),
    ),
    ("dtls_alert_sent", "dtls_failed_unknown", lambda: alert("sent", "warning", 0, "close_notify")),
    (
        "dtls_alert_sent",
        "ended_by_app",
        lambda: Call().up().media(3).detail(alert=DtlsAlert("sent", "fatal", 40, "handshake_failure")).hangup(),
    ),
    ("dtls_role_conflict", "dtls_failed_unknown", lambda: silent_dtls(20, **HELLO).hangup("DTLS timeout")),
    ("dtls_mtu", "in_progress", lambda: silent_dtls(2, **HELLO, first_fragment_seen=True)),
    ("dtls_mtu", "dtls_failed_unknown", lambda: small_hello(hellos_received=5)),
    ("dtls_mtu", "dtls_failed_unknown", lambda: small_hello(answered=1, hellos_received=1)),
    ("dtls_mtu", "dtls_failed_unknown", lambda: small_hello(hellos_received=1, last_received="certificate")),
    ("dtls_no_response", "in_progress", lambda: silent_dtls(3)),
    ("dtls_no_response", "in_progress", lambda: silent_dtls(6, **HELLO)),
    ("dtls_no_response", "in_progress", lambda: Call().connected().after(3).dtls("trying", 2)),
]


def _names(cases: list[tuple[str, str, Story]]) -> list[str]:
    return [f"{number}-{case[0]}" for number, case in enumerate(cases)]


@pytest.mark.parametrize(
    ("code", "actor", "confidence", "story"), HOLDS, ids=[f"{n}-{c[0]}" for n, c in enumerate(HOLDS)]
)
def test_the_story_gets_its_verdict(code: str, actor: str, confidence: str, story: Story) -> None:
    call = story()
    verdict = call.verdict(final=bool(call.explained().ended_us))
    assert (verdict.code, verdict.actor, verdict.confidence) == (code, actor, confidence)
    assert verdict.severity == "fault"
    assert verdict.evidence
    assert set(verdict.evidence) <= {item.id for item in call.events}
    assert "{" not in verdict.sentence


@pytest.mark.parametrize(("code", "instead", "story"), MISSES, ids=_names(MISSES))
def test_the_near_miss_gets_another(code: str, instead: str, story: Story) -> None:
    call = story()
    found = call.code(final=bool(call.explained().ended_us))
    assert found == instead
    assert found != code


def test_the_fault_is_red_in_its_phase() -> None:
    bars = {phase.name: phase.outcome for phase in blocked().explained().phases}
    assert bars["signalling"] == "ok"
    assert bars["ice"] == "failed"
    assert bars["dtls"] == bars["first_media"] == "skipped"


def test_a_tcp_pair_says_nothing_of_udp() -> None:
    tcp = CandidateAddress(address="198.51.100.7", port=9, type="host", transport="tcp")
    call = Call().settled().after(6).stun(sent=0, to=tcp).ice("failed").hangup("ICE failed")
    assert call.code() == "ice_failed_unknown"


def test_janus_knows_the_private_address_but_no_counters() -> None:
    call = Call().offer().ice("gathering").local("10.0.0.5").answer().remote("203.0.115.9").ice("connecting")
    verdict = call.after(7).ice("failed").after(5).hangup("ICE failed").verdict()
    assert (verdict.code, verdict.confidence) == ("nat_1_1_missing", "possible")
