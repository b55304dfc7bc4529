"""What we write, read by TShark: through our own pcap writer, so that its headers are checked as well."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.wire import pcap, rtcp, rtp, stun
from tests.programs import need

pytestmark = pytest.mark.interop

CUT = Path(__file__).parent.parent.parent / "captures" / "cut.py"
TRANSACTION = bytes(range(12))
Read = Callable[[list[bytes]], list[dict[str, Any]]]


@pytest.fixture(params=[("127.0.0.1", "127.0.0.2"), ("::1", "2001:db8::2")], ids=["ipv4", "ipv6"])
def addresses(request: pytest.FixtureRequest) -> tuple[str, str]:
    found: tuple[str, str] = request.param
    return found


@pytest.fixture
def read(tmp_path: Path, addresses: tuple[str, str]) -> Read:
    need("tshark")
    spec = importlib.util.spec_from_file_location("cut", CUT)
    assert spec is not None
    assert spec.loader is not None
    cut = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cut)

    def through_tshark(payloads: list[bytes]) -> list[dict[str, Any]]:
        writer = pcap.Writer()
        path = tmp_path / "written.pcap"
        records = [
            writer.record(1_800_000_000_000_001_000, (addresses[0], 5004), (addresses[1], 5006), data)
            for data in payloads
        ]
        path.write_bytes(writer.file_header() + b"".join(records))
        found: list[dict[str, Any]] = list(cut.read(path, clear=True))
        assert len(found) == len(payloads)
        for packet, data in zip(found, payloads, strict=True):
            assert packet["timestamp_us"] == 1_800_000_000_000_001
            assert (packet["source"], packet["destination"]) == ([addresses[0], 5004], [addresses[1], 5006])
            assert packet["size"] == len(data)
        return found

    return through_tshark


def test_stun(read: Read, addresses: tuple[str, str]) -> None:
    request, response, error = read(
        [
            stun.binding_request(TRANSACTION, "ours:theirs", 77, b"key", controlling=1, use_candidate=True),
            stun.binding_response(TRANSACTION, (addresses[1], 40000), b"key"),
            stun.binding_error(TRANSACTION, 487, "Role Conflict", b"key"),
        ]
    )
    assert request["stun"] | {"integrity": None} == {
        "class": "REQUEST",
        "method": 1,
        "transaction_id": TRANSACTION.hex(),
        "attributes": [
            stun.USERNAME,
            stun.PRIORITY,
            stun.ICE_CONTROLLING,
            stun.USE_CANDIDATE,
            stun.MESSAGE_INTEGRITY,
            stun.FINGERPRINT,
        ],
        "username": "ours:theirs",
        "priority": 77,
        "tie_breaker": "0000000000000001",
        "integrity": None,
        "fingerprint_good": True,
    }
    assert (response["stun"]["class"], response["stun"]["xor_mapped_address"]) == ("SUCCESS", [addresses[1], 40000])
    assert (error["stun"]["class"], error["stun"]["attributes"][0]) == ("ERROR", stun.ERROR_CODE)


def test_rtp(read: Read) -> None:
    profile, extension = rtp.build_extensions({1: b"\x30", 5: b"\x01\x02\x03"})
    header = rtp.RtpHeader(111, 65535, 4294967295, 0xDEADBEEF, True, (7,), profile, extension)
    [packet] = read([header.build() + bytes(40)])
    assert packet["rtp"] == {
        "payload_type": 111,
        "sequence_number": 65535,
        "timestamp": 4294967295,
        "ssrc": 0xDEADBEEF,
        "marker": True,
        "profile": 0xBEDE,
        "extensions": {"1": "30", "5": "010203"},
    }


def test_rtcp(read: Read) -> None:
    block = rtcp.ReportBlock(
        ssrc=7, fraction_lost=200, packets_lost=-2, highest_sequence=70000, jitter=5, lsr=6, dlsr=7
    )
    described = {name: getattr(block, name) for name in rtcp.ReportBlock.__struct_fields__}
    report = rtcp.SenderReport(
        ssrc=1, ntp_time=0xE000000080000000, rtp_timestamp=9, packet_count=10, octet_count=11, reports=(block,)
    )
    feedback: list[rtcp.Packet] = [
        rtcp.Nack(sender_ssrc=1, media_ssrc=2, lost=(10, 11, 26, 100)),
        rtcp.Pli(sender_ssrc=1, media_ssrc=2),
        rtcp.Fir(sender_ssrc=1, media_ssrc=0, entries=((2, 255), (3, 1))),
        rtcp.Remb(sender_ssrc=1, media_ssrc=0, bitrate_bps=2_000_000, ssrcs=(2, 3)),
    ]
    receiver = rtcp.ReceiverReport(ssrc=1, reports=(block, block))
    compounds: list[list[rtcp.Packet]] = [
        [report, rtcp.sdes_cname(1, "us")],
        *([receiver, packet] for packet in feedback),
        [receiver, rtcp.Bye(ssrcs=(1, 2), reason="gone")],
    ]
    sent, *received = [packet["rtcp"] for packet in read([rtcp.build_compound(compound) for compound in compounds])]
    assert sent == [
        {
            "type": 200,
            "sender_ssrc": 1,
            "ntp_time": 0xE000000080000000,
            "rtp_timestamp": 9,
            "packet_count": 10,
            "octet_count": 11,
            "reports": [described],
        },
        {"type": 202, "cname": "us"},
    ]
    assert all(first == {"type": 201, "sender_ssrc": 1, "reports": [described] * 2} for first, _ in received)
    common = {"sender_ssrc": 1, "media_ssrc": 2}
    assert [second for _, second in received] == [
        {"type": 205, **common, "rtp_format": 1, "lost": [10, 11, 26, 100]},
        {"type": 206, **common, "payload_format": 1},
        {"type": 206, **common, "media_ssrc": 0, "payload_format": 4, "entries": [[2, 255], [3, 1]]},
        {
            "type": 206,
            "sender_ssrc": 1,
            "media_ssrc": 0,
            "payload_format": 15,
            "bitrate_bps": 2_000_000,
            "ssrcs": [2, 3],
        },
        {"type": 203, "ssrcs": [1, 2], "reason": "gone"},
    ]


def test_a_plaintext_alert(read: Read) -> None:
    [packet] = read([bytes.fromhex("15fefd00000000000000070002022e")])
    [record] = packet["dtls"]
    assert record["alert"] == [2, 46]
