import asyncio
import json
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from scapy.all import IP, UDP, IPv6, Raw

from appliance.hep.listen import format_line, inner_packet, listen, summary, to_json
from appliance.hep.listener import HepListener
from appliance.hep.message import HepMessage, decode
from tests.hep.captured import captured, sample
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
    assert json.loads(to_json(decode(sample("mos_report"))))["other"] == [{"vendor": 0, "type": 32, "body": "01a4"}]
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


async def run_listen(lines: list[str], packets: list[tuple[int, bytes]], data: list[bytes], *, as_json: bool) -> None:
    until = asyncio.Event()

    def write(line: str) -> None:
        lines.append(line)
        if len(lines) == len(data):
            until.set()

    def started(listener: HepListener) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for one in data:
                client.sendto(one, ("127.0.0.1", listener.port))

    def keep(timestamp_us: int, packet: bytes) -> None:
        packets.append((timestamp_us, packet))

    async with asyncio.timeout(5):
        await listen(write, port=0, as_json=as_json, write_packet=keep, until=until, started=started)


@pytest.mark.parametrize("as_json", [True, False])
async def test_listen_shows_what_comes(as_json: bool) -> None:
    lines: list[str] = []
    packets: list[tuple[int, bytes]] = []
    data = [packet.data for packet in captured() if packet.name.startswith("hep_js")]
    await run_listen(lines, packets, data, as_json=as_json)
    assert len(lines) == len(packets) == 6
    assert packets[0][0] == 1_795_227_418_870_119
    assert IP(packets[0][1])[UDP].dport == 8188
    if as_json:
        assert json.loads(lines[0])["correlation_id"] == "6720542861340463-3145832598425959-1@edge-1"
    else:
        assert lines[0].endswith("INVITE sip:echotest@edge-1 SIP/2.0")


async def test_listen_ends_when_nobody_reads_its_lines(tmp_path: Path) -> None:
    def write(line: str) -> None:
        raise BrokenPipeError

    def started(listener: HepListener) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(sample("log"), ("127.0.0.1", listener.port))

    async with asyncio.timeout(5):
        listener = await listen(write, port=0, started=started)
    assert listener.tally.packets["udp"] == 1
