"""The codecs against real traffic: what TShark read in each capture (its ``.json``) is what they must read."""

import json
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import ICMP, UDP
from scapy.utils import rdpcap

from appliance.wire import dtls, pcap, rtcp, rtp, stun

CAPTURES = Path(__file__).parent.parent / "captures"
NAMES = [
    "aiortc_echo",
    "chrome_echo",
    "chrome_echo_1.4",
    "decrypted",
    "dtls_alert_received",
    "dtls_alert_sent",
    "dtls_badfp",
    "dtls_no_response",
    "gateway_chrome",
    "ice_restart",
    "ice_wrongcand",
    "one_way_network",
    "pc_close",
    "snapped",
    "udp_blocked",
]
MAX_BYTES = 60_000


def description_of(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((CAPTURES / f"{name}.json").read_text())
    return read


def datagrams(name: str) -> list[tuple[dict[str, Any], bytes]]:
    """What TShark read of each UDP datagram, and the bytes that scapy finds in it."""
    packets = rdpcap(str(CAPTURES / f"{name}.pcap"))
    described = description_of(name)["packets"]
    assert len(packets) == len(described)
    return [
        (fields, bytes(packet[UDP].payload.original))
        for fields, packet in zip(described, packets, strict=True)
        if UDP in packet and ICMP not in packet
    ]


def of_kind(kind: str) -> list[Any]:
    return [
        pytest.param(name, fields, data, id=f"{name}-{fields['number']}")
        for name in NAMES
        for fields, data in datagrams(name)
        if kind in fields and fields["captured"] == fields["length"]
    ]


def test_each_capture_has_its_description_and_each_description_its_capture() -> None:
    """Those in the directory itself; other rooms keep their own in directories below it."""
    assert sorted(path.name.removesuffix(".pcap") for path in CAPTURES.glob("*.pcap")) == NAMES
    assert sorted(path.name.removesuffix(".json") for path in CAPTURES.glob("*.json")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_description_tells_where_the_capture_is_from(name: str) -> None:
    description = description_of(name)
    for key in ("origin", "holds", "licence", "tool"):
        assert description[key]
    assert (CAPTURES / f"{name}.pcap").stat().st_size < MAX_BYTES
    assert f"`{name}`" in (CAPTURES / "README.md").read_text()


def test_every_protocol_is_in_some_capture() -> None:
    counts = {kind: len(of_kind(kind)) for kind in ("stun", "dtls", "rtp", "rtcp")}
    assert min(counts.values()) > 20, counts


@pytest.mark.parametrize("name", NAMES)
def test_our_reader_finds_the_datagrams_that_tshark_and_scapy_find(name: str) -> None:
    reader = pcap.Reader((CAPTURES / f"{name}.pcap").read_bytes())
    ours = list(reader)
    theirs = datagrams(name)
    assert len(ours) == len(theirs)
    for datagram, (fields, data) in zip(ours, theirs, strict=True):
        assert datagram.timestamp_us == fields["timestamp_us"]
        assert [datagram.source, datagram.source_port] == fields["source"]
        assert [datagram.destination, datagram.destination_port] == fields["destination"]
        assert datagram.truncated == (fields["captured"] < fields["length"])
        assert datagram.payload == data[: fields["size"]]
    assert reader.skipped.not_udp == sum("icmp" in fields for fields in description_of(name)["packets"])


@pytest.mark.parametrize(("name", "fields", "data"), of_kind("stun"))
def test_stun(name: str, fields: dict[str, Any], data: bytes) -> None:
    told = fields["stun"]
    assert stun.is_stun(data)
    message = stun.parse(data)
    assert (message.message_class.name, message.method) == (told["class"], told["method"])
    assert message.transaction_id.hex() == told["transaction_id"]
    kinds = [kind for kind, _ in message.attributes]
    kinds += [stun.MESSAGE_INTEGRITY] * (message.integrity is not None)
    kinds += [stun.FINGERPRINT] * message.has_fingerprint
    assert kinds == told["attributes"]
    assert message.username == told.get("username")
    assert message.priority == told.get("priority")
    tie_breaker = message.controlling if message.controlling is not None else message.controlled
    assert (None if tie_breaker is None else f"{tie_breaker:016x}") == told.get("tie_breaker")
    mapped = message.xor_mapped_address
    assert (None if mapped is None else list(mapped)) == told.get("xor_mapped_address")
    assert (message.integrity or b"").hex() == told.get("integrity", "")
    assert message.has_fingerprint == told["fingerprint_good"]


@pytest.mark.parametrize("name", [name for name in NAMES if description_of(name)["ice"]])
def test_the_integrity_of_each_check_holds_with_the_password_from_the_sdp(name: str) -> None:
    passwords = {ufrag: password.encode() for ufrag, password in description_of(name)["ice"].items()}
    keys: dict[bytes, bytes] = {}
    checked = 0
    for fields, data in datagrams(name):
        if "stun" not in fields:
            continue
        message = stun.parse(data)
        if message.message_class is stun.Class.REQUEST and message.username:
            receiver = message.username.partition(":")[0]
            if receiver in passwords:
                keys[message.transaction_id] = passwords[receiver]
        if message.transaction_id in keys:
            # A response carries the integrity of its request's key (RFC 8445 section 7.3).
            assert message.verify_integrity(data, keys[message.transaction_id])
            assert not message.verify_integrity(data, b"another")
            checked += 1
    assert checked > 0


@pytest.mark.parametrize(("name", "fields", "data"), of_kind("dtls"))
def test_dtls(name: str, fields: dict[str, Any], data: bytes) -> None:
    records = list(dtls.records(data))
    assert b"".join(dtls.split_records(data)) == data
    assert len(records) == len(fields["dtls"])
    for record, told in zip(records, fields["dtls"], strict=True):
        assert (record.content_type, record.version, record.epoch, record.sequence_number, len(record.fragment)) == (
            told["content_type"],
            told["version"],
            told["epoch"],
            told["sequence_number"],
            told["length"],
        )
        if "handshakes" in told:
            assert [
                {
                    "type": message.type,
                    "length": message.length,
                    "message_seq": message.message_sequence,
                    "fragment_offset": message.fragment_offset,
                    "fragment_length": len(message.fragment),
                }
                for message in dtls.handshakes(record.fragment)
            ] == told["handshakes"]


@pytest.mark.parametrize(("name", "fields", "data"), of_kind("rtp"))
def test_rtp(name: str, fields: dict[str, Any], data: bytes) -> None:
    told = fields["rtp"]
    assert not rtp.is_rtcp(data)
    clear = description_of(name)["clear"]
    header = rtp.parse_header(data, encrypted=not clear)
    assert {
        "payload_type": header.payload_type,
        "sequence_number": header.sequence_number,
        "timestamp": header.timestamp,
        "ssrc": header.ssrc,
        "marker": header.marker,
    } == {key: told[key] for key in ("payload_type", "sequence_number", "timestamp", "ssrc", "marker")}
    assert header.extension_profile == told.get("profile")
    assert header.padding_size == told.get("padding", 0)
    if "extensions" in told:
        elements = rtp.parse_extensions(header.extension_profile, header.extension)
        assert {str(number): value.hex() for number, value in elements.items()} == told["extensions"]
    first = data[0] if clear else data[0] & ~0x20  # of encrypted padding only the flag is to be seen
    assert header.build() == bytes((first,)) + data[1 : header.size]


@pytest.mark.parametrize(("name", "fields", "data"), of_kind("rtcp"))
def test_rtcp(name: str, fields: dict[str, Any], data: bytes) -> None:
    assert rtp.is_rtcp(data)
    packets = rtcp.parse_compound(data)
    assert [summary(packet) for packet in packets] == fields["rtcp"]
    assert rtcp.build_compound(packets) == data


def summary(packet: rtcp.Packet) -> dict[str, Any]:
    """A packet in the words of the ``.json``."""
    match packet:
        case rtcp.SenderReport():
            told: dict[str, Any] = {
                "type": 200,
                "sender_ssrc": packet.ssrc,
                "ntp_time": packet.ntp_time,
                "rtp_timestamp": packet.rtp_timestamp,
                "packet_count": packet.packet_count,
                "octet_count": packet.octet_count,
            }
            return told | with_reports(packet.reports)
        case rtcp.ReceiverReport():
            return {"type": 201, "sender_ssrc": packet.ssrc} | with_reports(packet.reports)
        case rtcp.Sdes():
            return {"type": 202, "cname": packet.chunks[0].cname}
        case rtcp.Remb():
            return {
                "type": 206,
                "sender_ssrc": packet.sender_ssrc,
                "media_ssrc": packet.media_ssrc,
                "payload_format": 15,
                "bitrate_bps": packet.bitrate_bps,
                "ssrcs": list(packet.ssrcs),
            }
        case _:
            raise AssertionError(f"{packet} is in no capture yet")


def with_reports(reports: tuple[rtcp.ReportBlock, ...]) -> dict[str, Any]:
    if not reports:
        return {}
    names = ("ssrc", "fraction_lost", "packets_lost", "highest_sequence", "jitter", "lsr", "dlsr")
    return {"reports": [{name: getattr(block, name) for name in names} for block in reports]}


def test_the_bad_fingerprint_ends_in_an_encrypted_alert() -> None:
    alerts = [
        record
        for fields, data in datagrams("dtls_badfp")
        if "dtls" in fields
        for record in dtls.records(data)
        if record.content_type == dtls.ContentType.ALERT
    ]
    assert alerts
    assert all(record.epoch for record in alerts)


def test_the_ice_restart_changes_the_user_names() -> None:
    names = [stun.parse(data).username for fields, data in datagrams("ice_restart") if "stun" in fields]
    assert {name for name in names if name} >= {"ETzj:4FrK", "R1GE:1w00"}


def test_the_closed_port_answers_no_check() -> None:
    classes = [stun.parse(data).message_class for _, data in datagrams("ice_wrongcand")]
    assert classes == [stun.Class.REQUEST] * 3
