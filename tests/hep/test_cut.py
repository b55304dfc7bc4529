"""What is too long for a datagram: cut so that it still reads, or sent over TCP."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.hep.cut import cut
from appliance.hep.endpoint import Endpoint
from appliance.hep.listener import HepListener
from appliance.hep.message import HepEncodeError, decode
from appliance.hep.tcp_client import TcpClient
from appliance.hep.template import HepTemplate, build
from appliance.hep.udp_client import UdpClient
from tests.hep.inbox import Inbox
from tests.hep.messages import messages
from tests.hep.strict import receive, sip_headers
from tests.hep.test_template import FIELDS

MADE = HepTemplate(**FIELDS)
SDP = b"".join(b"a=candidate:%d 1 udp 1 192.0.2.1 %d typ host\r\n" % (number, number) for number in range(300))
INVITE = (
    b"INVITE sip:echo@edge-1 SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.10:51538;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"
    b"From: <sip:a@edge-1>;tag=1\r\nTo: <sip:b@edge-1>\r\nCall-ID: 1-2-1@edge-1\r\nCSeq: 1 INVITE\r\n"
    b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n" % len(SDP)
) + SDP
WHEN = 1_795_227_419_104_859


def test_sip_stays_sip_and_ends_with_a_whole_line() -> None:
    stored = receive(cut(MADE.render(WHEN, 1, INVITE), 1400))
    headers = sip_headers(stored.payload)
    assert headers["x-payload-cut"] == f"{len(SDP)} bytes"
    assert headers["body"].endswith("typ host\r\n")
    assert SDP.startswith(headers["body"].encode())
    assert 1300 < len(cut(MADE.render(WHEN, 1, INVITE), 1400)) <= 1400


def test_sip_without_room_for_a_body_has_none() -> None:
    headers = sip_headers(receive(cut(MADE.render(WHEN, 1, INVITE), 440)).payload)
    assert (headers["body"], headers["content-length"]) == ("", "0")
    assert "content-type" not in headers


@pytest.mark.parametrize("letter", ["a", '"', "\N{SNOWMAN}", "\x01"])
def test_json_stays_json(letter: str) -> None:
    payload = json.dumps({"name": "jsep", "event": letter * 5000}, ensure_ascii=False).encode()
    packet = cut(MADE.render(WHEN, 100, payload), 1400)
    shown = json.loads(receive(packet).payload)
    assert shown["truncated"] == len(payload)
    assert shown["text"].startswith('{"name": "jsep", "event": "')
    assert 700 < len(packet) <= 1400


def test_other_text_ends_with_a_mark() -> None:
    stored = receive(cut(MADE.render(WHEN, 100, "\N{SNOWMAN}".encode() * 2000), 1400))
    assert stored.payload.endswith("\N{SNOWMAN} [cut from 6000 bytes]")


def test_a_limit_without_room_is_refused() -> None:
    with pytest.raises(HepEncodeError, match="bytes can't be cut to"):
        cut(MADE.render(WHEN, 1, INVITE), 200)
    with pytest.raises(HepEncodeError, match="wanted the payload"):
        cut(b"HEP3\x00\x0d\x00\x00\x00\x0b\x00\x07\x01", 200)


@settings(deadline=None)
@given(messages(), st.integers(20, 1000))
def test_all_but_the_payload_stays(message: object, limit: int) -> None:
    packet = build(message)  # type: ignore[arg-type]  # hypothesis says what it is
    try:
        short = decode(cut(packet, limit))
    except HepEncodeError:
        return
    whole = decode(packet)
    assert len(build(short)) <= limit
    for field in ("src", "dst", "timestamp_us", "payload_type", "correlation_id", "node_name", "auth_key"):
        assert getattr(short, field) == getattr(whole, field)


async def test_udp_cuts_what_is_too_long_and_counts_it() -> None:
    inbox = Inbox()
    async with HepListener(inbox, port=0, tcp=False) as listener:
        client = UdpClient(Endpoint("udp", "127.0.0.1", listener.port), max_bytes=1400)
        await client.start()
        assert client.send(MADE.render(WHEN, 1, INVITE), 1)
        assert client.send(MADE.render(WHEN, 100, b"short"), 100)
        got = await inbox.have(2)
        await client.stop()
    assert b"X-Payload-Cut" in got[0].payload
    assert got[1].payload == b"short"
    assert {count.name: count.value for count in client.counts()}["hep_datagrams_cut_total"] == 1
    assert client.tally.dropped == {}


async def test_udp_gives_what_is_too_long_to_tcp() -> None:
    inbox = Inbox()
    async with HepListener(inbox, port=0) as listener:
        larger = TcpClient(Endpoint("tcp", "127.0.0.1", listener.port))
        client = UdpClient(Endpoint("udp", "127.0.0.1", listener.port), max_bytes=1400, larger=larger)
        await client.start()
        assert client.send(MADE.render(WHEN, 1, INVITE), 1)
        await inbox.have(1)
        assert client.send(MADE.render(WHEN, 100, b"short"), 100)
        got = await inbox.have(2)
        await client.stop()
    assert got[0].payload == INVITE
    assert listener.tally.packets == {"udp": 1, "tcp": 1, "tls": 0}
    assert client.cut == 0
