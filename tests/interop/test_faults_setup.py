"""Calls that never come up, each broken on purpose: judged while they try, and again from their recordings."""

import re
from pathlib import Path

import pytest
from OpenSSL import SSL

from tests.interop.faults.case import Case, Line, check, run, stay
from tests.interop.faults.house import house
from tests.interop.faults.phone import Rewrite, Voice
from tests.interop.faults.way import Way, is_dtls, is_stun_request, nothing, without

pytestmark = pytest.mark.interop

VIDEOROOM = "janus.plugin.videoroom"
ROOM = 1234


def without_candidates(sdp: str) -> str:
    return re.sub(r"a=(candidate|end-of-candidates).*\r\n", "", sdp)


def only_candidate(text: str) -> Rewrite:
    """All candidates of the first m-line replaced by one."""
    return lambda sdp: re.sub(
        r"(a=mid:0\r\n)", rf"\1a=candidate:1 1 udp 2130706431 {text}\r\n", without_candidates(sdp)
    )


async def broken_sdp(line: Line) -> None:
    await line.phone(Voice()).call(line.api, offer=lambda sdp: "this is no description")


async def answer_to_nothing(line: Line) -> None:
    phone = line.phone(Voice())
    await phone.pc.setLocalDescription(await phone.pc.createOffer())
    sdp = phone.pc.localDescription.sdp.replace("a=setup:actpass", "a=setup:active")
    await line.api.ask("message", body={}, jsep={"type": "answer", "sdp": sdp})


async def keys_alone(line: Line) -> None:
    """Nothing but the codec of telephone keys, which carries no voice."""

    def rename(sdp: str) -> str:
        sdp = re.sub(r"(m=audio \d+ \S+) .*\r\n", r"\1 96\r\n", sdp)
        return re.sub(r"a=(rtpmap|fmtp|rtcp-fb):(?!96).*\r\n", "", sdp).replace("opus/48000/2", "telephone-event/8000")

    await line.phone(Voice()).call(line.api, offer=rename, take=False)


async def no_candidates(line: Line) -> None:
    await line.phone(Voice()).call(line.api, offer=without_candidates, take=False)


async def mdns_names(line: Line) -> None:
    name = "4c2d7f10-7c0e-4a0a-9f43-0a8c4b3b2f11.local 50000 typ host"
    await line.phone(Voice()).call(line.api, offer=only_candidate(name), take=False)


async def public_client(line: Line) -> None:
    """Behind the wrong address of ours: nothing of the client's can arrive. (The socket is bound to loopback.)"""
    await line.phone(Voice()).call(
        line.api, offer=only_candidate("9.9.9.9 50000 typ srflx raddr 10.1.1.1 rport 9"), take=False
    )


async def blocked(line: Line) -> None:
    """A firewall that drops all UDP."""
    await line.phone(Voice(), way=Way(to_server=nothing, to_client=nothing)).call(line.api)


async def one_way(line: Line) -> None:
    """Nothing of ours reaches the client."""
    await line.phone(Voice(), way=Way(to_client=nothing)).call(line.api)


async def wrong_password(line: Line) -> None:
    """The client checks with the password of another answer, and does not know ours to answer by."""
    phone = line.phone(Voice(), way=Way(to_client=without(is_stun_request)))
    await phone.call(line.api, answer=lambda sdp: re.sub(r"(?<=a=ice-pwd:).{8}", "AAAAAAAA", sdp))


async def relay_only(line: Line) -> None:
    offer = only_candidate("127.0.0.9 9 typ relay raddr 0.0.0.0 rport 0")
    await line.phone(Voice()).call(line.api, offer=offer, take=False)


async def never_checks(line: Line) -> None:
    """It answers our probes and sends no check of its own."""
    await line.phone(Voice(), way=Way(to_server=without(is_stun_request))).call(line.api)


async def wrong_fingerprint(line: Line) -> None:
    def other(sdp: str) -> str:
        return re.sub(r"(?<=a=fingerprint:)(\S+ )..:..", r"\g<1>00:00", sdp)

    await line.phone(Voice()).call(line.api, offer=other)


async def no_dtls(line: Line) -> None:
    """A middlebox that knows STUN and drops DTLS."""
    await line.phone(Voice(), way=Way(to_server=without(is_dtls))).call(line.api)


async def no_flights_back(line: Line) -> None:
    await line.phone(Voice(), way=Way(to_client=without(is_dtls))).call(line.api)


async def unknown_cipher(line: Line) -> None:
    phone = line.phone(Voice())
    phone.shake_hands_by(lambda context: context.set_cipher_list(b"AES256-SHA"))
    await phone.call(line.api)


async def no_srtp(line: Line) -> None:
    """A handshake that never mentions SRTP."""

    def bare(usual: SSL.Context) -> SSL.Context:
        (certificate,) = phone.pc._RTCPeerConnection__certificates
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_verify(SSL.VERIFY_PEER, lambda *_args: True)
        context.use_certificate(certificate._cert)
        context.use_privatekey(certificate._key)
        return context

    phone = line.phone(Voice())
    phone.shake_hands_by(bare)
    await phone.call(line.api)


async def both_begin(line: Line) -> None:
    """An application that rewrites the roles: each side is told that the other waits."""
    await line.phone(Voice()).call(
        line.api,
        offer=lambda sdp: sdp.replace("a=setup:actpass", "a=setup:passive"),
        answer=lambda sdp: sdp.replace("a=setup:active", "a=setup:passive"),
    )


async def never_answers(line: Line) -> None:
    """Somebody who asks to watch, gets an offer, and leaves it at that."""
    publisher = await line.another(VIDEOROOM)
    body = {"request": "joinandconfigure", "room": ROOM, "ptype": "publisher"}
    joined = await publisher.phone(Voice()).call(publisher.api, body=body)
    await publisher.up()
    feed = joined["plugindata"]["data"]["id"]
    body = {"request": "join", "room": ROOM, "ptype": "subscriber", "streams": [{"feed": feed}]}
    await line.api.ask("message", body=body)


async def refused_by_the_plugin(line: Line) -> None:
    """An offer to a room that was never joined: the plugin says no, and gives no answer."""
    await line.phone(Voice()).call(line.api, body={"request": "configure"})


async def given_up(line: Line) -> None:
    await line.phone(Voice(), way=Way(to_client=nothing)).call(line.api)


SETUP = [
    Case(name="broken description", play=broken_sdp, code="sdp_invalid", live="sdp_invalid"),
    Case(name="answer to no offer", play=answer_to_nothing, code="sdp_unexpected", live="sdp_unexpected"),
    Case(
        name="no codec of voice",
        play=keys_alone,
        code="codec_mismatch",
        live="codec_mismatch",
    ),
    Case(name="no candidates", play=no_candidates, code="no_remote_candidates", live="no_remote_candidates"),
    Case(name="names of mDNS", play=mdns_names, code="mdns_only", live="mdns_only"),
    Case(name="private server, public client", play=public_client, code="nat_1_1_missing", live="nat_1_1_missing"),
    Case(
        name="all UDP dropped",
        wire="udp_blocked_or_firewall",
        play=blocked,
        code="udp_blocked_or_firewall",
        live="udp_blocked_or_firewall",
    ),
    Case(name="nothing back", wire="one_way_network", play=one_way, code="one_way_network", live="one_way_network"),
    Case(
        name="another password", play=wrong_password, code="ice_credentials_mismatch", live="ice_credentials_mismatch"
    ),
    Case(name="relays alone", play=relay_only, code="turn_unreachable", live="turn_unreachable"),
    Case(name="no checks", play=never_checks, code="ice_failed_unknown", end=stay),
    Case(name="another certificate", play=wrong_fingerprint, code="fingerprint_mismatch", end=stay),
    Case(name="DTLS dropped", wire="dtls_no_response", play=no_dtls, code="dtls_no_response", live="dtls_no_response"),
    Case(name="no cipher in common", wire="dtls_alert_sent", play=unknown_cipher, code="dtls_alert_sent", end=stay),
    Case(name="no SRTP", play=no_srtp, code="srtp_no_profile", end=stay),
    Case(name="both begin", wire="dtls_role_conflict", play=both_begin, code="dtls_role_conflict", end=stay),
    Case(name="no answer", play=never_answers, code="no_answer", live="no_answer", plugin=VIDEOROOM),
    Case(name="refused", play=refused_by_the_plugin, code="no_local_answer", live="no_local_answer", plugin=VIDEOROOM),
    Case(name="given up at once", play=given_up, code="cancelled"),
    Case(
        name="flights dropped",
        wire="dtls_failed_unknown",
        play=no_flights_back,
        code="dtls_failed_unknown",
        end=stay,
    ),
]


async def test_what_keeps_a_call_from_coming_up(tmp_path: Path) -> None:
    async with house(tmp_path) as gateway:
        outcomes = await run(gateway, SETUP)
    check(SETUP, outcomes)
