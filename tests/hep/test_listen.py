import json
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from scapy.all import IP, UDP, IPv6, Raw

from appliance.hep.ladder import Ladder
from appliance.hep.listen import Filter, format_line, inner_packet, summary, to_json
from appliance.hep.message import HepMessage, decode
from tests.hep.captured import sample
from tests.hep.messages import messages


def test_a_line() -> None:
    assert format_line(decode(sample("log"))) == (
        "2025-11-21T00:00:00.123456Z LOG  127.0.0.1:7088 -> 127.0.0.1:40000 webrtc-cid-1 "
        "janus-like log line: ICE state connected session=1 handle=2"
    )
    assert " SIP  " in format_line(decode(sample("invite")))
    assert "[::1]:7088" in format_line(decode(sample("rtcp_v6")))


def test_a_line_is_one_line_whatever_the_payload() -> None:
    assert summary(b"a\x1b[31m\r\nb") == "a\N{REPLACEMENT CHARACTER}[31m"
    assert len(summary(b"\xff" * 5000)) == 160


@settings(deadline=None)
@given(messages())
def test_lines_and_json_of_any_message(message: HepMessage) -> None:
    assert "\n" not in format_line(message)
    shown = json.loads(to_json(message))
    assert shown["timestamp_us"] == message.timestamp_us
    assert shown["correlation_id"] == message.correlation_id
    assert "auth_key" not in shown


def test_json_holds_json() -> None:
    shown = json.loads(to_json(decode(sample("rtcp"))))
    assert shown["payload"]["report_blocks"][0]["fraction_lost"] == 12
    assert shown["payload_type"] == 5
    assert "myhep" not in str(shown)
    assert json.loads(to_json(decode(sample("mos_report"))))["other"] == [
        {"vendor": 0, "type": 32, "body": "01a4", "name": "mos", "value": 420}
    ]
    broken = decode(sample("log"))
    assert json.loads(to_json(broken))["payload"].startswith("janus-like")


FIELDS: dict[str, Any] = {"src_port": 5060, "dst_port": 8188, "timestamp_us": 1, "payload_type": 1}


@pytest.mark.parametrize("protocol", [6, 17])
@pytest.mark.parametrize(("src", "dst"), [("192.0.2.1", "198.51.100.2"), ("2001:db8::1", "2001:db8::2")])
def test_the_inner_packet_is_what_scapy_would_send(src: str, dst: str, protocol: int) -> None:
    """Checksums included."""
    message = HepMessage(src=ip_address(src), dst=ip_address(dst), protocol=protocol, payload=b"INVITE x", **FIELDS)
    ip = IPv6(src=src, dst=dst) if ":" in src else IP(src=src, dst=dst, id=0, flags="DF")
    assert inner_packet(message) == bytes(ip / UDP(sport=5060, dport=8188) / Raw(b"INVITE x"))


def test_an_inner_packet_is_cut_to_what_ip_carries() -> None:
    src = ip_address("192.0.2.1")
    assert len(inner_packet(HepMessage(src=src, dst=src, payload=b"x" * 65_507, **FIELDS))) == 65_535


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({}, True),
        ({"types": ["log"]}, True),
        ({"types": ["sip", "100"]}, True),
        ({"types": ["sip", "rtcp"]}, False),
        ({"node": "gw1"}, True),
        ({"node": "gw*"}, True),
        ({"node": "gw"}, False),
        ({"correlation": "webrtc-cid-1"}, True),
        ({"correlation": "*-cid-*", "types": ["log"]}, True),
        ({"correlation": "*-cid-*", "types": ["sip"]}, False),
    ],
)
def test_filters(asked: dict[str, Any], wanted: bool) -> None:
    assert Filter(**asked)(decode(sample("log"))) is wanted


def test_a_node_without_a_name_goes_by_its_number() -> None:
    unnamed = replace(decode(sample("log")), node_name=None)
    assert Filter(node="2002")(unnamed)
    assert not Filter(node="gw1")(unnamed)


@pytest.mark.parametrize("word", ["sipp", "256", "-1", ""])
def test_an_unknown_type_is_said(word: str) -> None:
    with pytest.raises(ValueError, match="wanted 0 to 255 or one of sip, xmpp, sdp"):
        Filter(types=[word])


def rung(number: int, kind: int, payload: bytes, *, back: bool = False, **changes: Any) -> HepMessage:
    ends = [(ip_address("192.0.2.1"), 5060), (ip_address("198.51.100.2"), 8188)]
    (src, src_port), (dst, dst_port) = reversed(ends) if back else ends
    fields = {"src": src, "src_port": src_port, "dst": dst, "dst_port": dst_port, "correlation_id": "1-2-1@gw"}
    return HepMessage(**{**fields, "timestamp_us": number, "payload_type": kind, "payload": payload, **changes})


def test_a_ladder() -> None:
    ladder = Ladder()
    log = b'{"name":"ice-state","event":{"ice":"connected","component_id":1}}'
    report = b'{"type":201,"ssrc":7,"report_count":1,"report_blocks":[{"packets_lost":3,"ia_jitter":40}]}'
    told = [
        rung(1_000_000, 1, b"INVITE sip:echo@gw SIP/2.0\r\n\r\n"),
        rung(1_250_000, 1, b"SIP/2.0 200 OK\r\n\r\n", back=True),
        rung(1_500_000, 100, log, back=True, dst=ip_address("203.0.113.9"), dst_port=50_000),
        rung(1_600_000, 5, report, dst=ip_address("192.0.2.1"), dst_port=5060),
        rung(1_700_000, 100, b"text", correlation_id="other"),
        rung(2_000_000, 1, b"BYE sip:echo@gw SIP/2.0\r\n\r\n"),
    ]
    drawn = [line for message in told for line in ladder.lines(message)]
    assert drawn == [
        "",
        "── 1-2-1@gw",
        "                  192.0.2.1:5060                      198.51.100.2:8188",
        "    +0.000s SIP   │─────── INVITE sip:echo@gw ───────▶│",
        "    +0.250s SIP   │◀───────────── 200 OK ─────────────│",
        "",
        "── 1-2-1@gw",
        "                  192.0.2.1:5060                      198.51.100.2:8188                   203.0.113.9:50000",
        "    +0.500s LOG   │                                   │───── ice-state connected 1 ──────▶│",
        "    +0.600s RTCP  │● RR 7 lost 3 jitter 40",
        "",
        "── other",
        "                  192.0.2.1:5060                      198.51.100.2:8188",
        "    +0.000s LOG   │────────────── text ──────────────▶│",
        "",
        "── 1-2-1@gw",
        "                  192.0.2.1:5060                      198.51.100.2:8188                   203.0.113.9:50000",
        "    +1.000s SIP   │──────── BYE sip:echo@gw ─────────▶│                                   │",
    ]


@settings(deadline=None)
@given(st.lists(messages(), max_size=20))
def test_any_messages_make_lines(many: list[HepMessage]) -> None:
    ladder = Ladder(max_calls=3)
    for message in many:
        for line in ladder.lines(message):
            assert "\n" not in line
            assert len(line) < 600
