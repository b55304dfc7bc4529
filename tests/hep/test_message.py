import json
from typing import Any

import pytest
from construct import ConstructError
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.hep import layout
from appliance.hep import message as message_module
from appliance.hep.message import HepDecodeError, HepMessage, OtherChunk, chunk_value, decode
from appliance.hep.template import build, encode
from tests.hep.captured import Captured, captured, sample
from tests.hep.messages import messages

REFUSED = {"samples.evt1000_16bit"}
"""hep-js reads a two-byte payload type by its first byte, where capture servers refuse the packet; so do we."""


def as_hep_js(message: HepMessage) -> dict[str, Any]:
    """What hep-js would say of it; it knows no IPv6 addresses."""
    fields: dict[str, Any] = {
        "protocolFamily": 2 if message.src.version == 4 else 10,
        "protocol": message.protocol,
        "srcIp": str(message.src),
        "dstIp": str(message.dst),
        "srcPort": message.src_port,
        "dstPort": message.dst_port,
        "timeSeconds": message.timestamp_us // 1_000_000,
        "timeUseconds": message.timestamp_us % 1_000_000,
        "payloadType": message.payload_type,
        "captureId": message.agent_id,
        "capturePass": message.auth_key,
        "correlation_id": message.correlation_id,
        "hepNodeName": message.node_name,
    }
    if message.src.version == 6:
        del fields["srcIp"], fields["dstIp"]
    return {name: value for name, value in fields.items() if value is not None}


@pytest.mark.parametrize("packet", [p for p in captured() if p.name not in REFUSED], ids=lambda p: p.name)
def test_reads_what_hep_js_reads(packet: Captured) -> None:
    message = decode(packet.data)
    oracle = packet.fields["hep_js"]
    known = {name: value for name, value in oracle["rcinfo"].items() if name not in ("mos", "transaction_type")}
    assert as_hep_js(message) == known
    assert message.payload == oracle["payload"].encode()


@pytest.mark.parametrize("packet", [p for p in captured() if p.name.startswith("samples")], ids=lambda p: p.name)
def test_writes_the_same_bytes_as_the_other_producers(packet: Captured) -> None:
    if packet.name not in REFUSED:
        assert encode(decode(packet.data)) == packet.data


def test_example_of_the_specification() -> None:
    message = decode(sample("spec_rev37_example"))
    assert str(message.src) == "212.202.0.1"
    assert str(message.dst) == "82.116.0.211"
    assert (message.src_port, message.dst_port, message.agent_id) == (12010, 5060, 228)
    assert message.timestamp_us == 1_313_440_459_120_000
    assert message.payload == b"INVITE sip:bob"
    assert message.correlation_id is None


def test_ipv6() -> None:
    message = decode(sample("rtcp_v6"))
    assert str(message.src) == str(message.dst) == "::1"
    assert json.loads(message.payload)["report_blocks"][0]["dlsr"] == 65536


def test_a_payload_type_of_two_bytes_is_refused() -> None:
    with pytest.raises(HepDecodeError, match=r"chunk 0x000b \(protocol_type\) at offset 76: 2 bytes came, wanted 1"):
        decode(sample("evt1000_16bit"))


def test_what_has_no_field_is_kept() -> None:
    assert decode(sample("mos_report")).other == (OtherChunk(0, 0x20, (420).to_bytes(2, "big")),)
    assert decode(sample("transaction_type")).other == (OtherChunk(0, 0x24, b"call"),)


def packet_of(*chunks: bytes) -> bytes:
    body = b"".join(chunks)
    return b"HEP3" + (len(body) + 6).to_bytes(2, "big") + body


def chunk(vendor: int, kind: int, body: bytes) -> bytes:
    return b"".join(value.to_bytes(2, "big") for value in (vendor, kind, len(body) + 6)) + body


def test_another_vendors_chunk_is_not_the_payload() -> None:
    log = sample("log")
    message = decode(packet_of(log[6:], chunk(5, 0x000F, b"not the payload")))
    assert message.payload == decode(log).payload
    assert message.other == (OtherChunk(5, 0x000F, b"not the payload"),)


def test_the_last_of_two_chunks_counts_and_order_is_free() -> None:
    log = sample("log")
    message = decode(packet_of(chunk(0, 0x0F, b"first"), log[6:], chunk(0, 0x0F, b"last")))
    assert message.payload == b"last"
    assert message.correlation_id == "webrtc-cid-1"


def test_microseconds_above_a_second_are_carried() -> None:
    log = sample("log")
    message = decode(packet_of(log[6:], chunk(0, 0x0A, (1_500_000).to_bytes(4, "big"))))
    assert message.timestamp_us == 1_763_683_201_500_000


def test_text_in_another_encoding_costs_no_packet() -> None:
    message = decode(packet_of(sample("log")[6:], chunk(0, 0x13, b"caf\xe9")))
    assert message.node_name == "caf\N{REPLACEMENT CHARACTER}"


def boundaries(data: bytes) -> set[int]:
    """Where a chunk ends."""
    ends, offset = {6}, 6
    while offset < len(data):
        offset += int.from_bytes(data[offset + 4 : offset + 6], "big")
        ends.add(offset)
    return ends


@pytest.mark.parametrize("packet", captured(), ids=lambda p: p.name)
def test_every_truncation_is_refused(packet: Captured) -> None:
    for size in range(len(packet.data)):
        with pytest.raises(HepDecodeError):
            decode(packet.data[:size])


@pytest.mark.parametrize("packet", captured(), ids=lambda p: p.name)
def test_every_cut_chunk_is_refused_though_the_total_length_agrees(packet: Captured) -> None:
    for size in set(range(6, len(packet.data))) - boundaries(packet.data):
        with pytest.raises(HepDecodeError, match=r"its length says|wanted a header of 6|2 bytes came, wanted 1"):
            decode(packet.data[:4] + size.to_bytes(2, "big") + packet.data[6:size])


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda d: d + b"x", "its length says 196 bytes, 197 came"),
        (lambda d: d + d, "its length says 196 bytes, 392 came"),
        (lambda d: b"EEP3" + d[4:], "starts with b'EEP3', wanted b'HEP3'"),
        (lambda d: d[:4] + b"\0\5" + d[6:], "its length says 5 bytes"),
        (
            lambda d: d[:10] + b"\0\5" + d[12:],
            r"chunk 0x0001 \(ip_family\) at offset 6: its length says 5, wanted 6 to",
        ),
        (lambda d: d[:10] + b"\xff\xff" + d[12:], r"chunk 0x0001 \(ip_family\) at offset 6: its length says 65535"),
        (lambda d: d[:12] + b"\3" + d[13:], "ip_family.*: 3 came, wanted 2 or 10"),
        (lambda d: d[:12] + b"\x0a" + d[13:], r"mandatory chunk 0x0005 \(ipv6_source\) is absent"),
        (lambda d: b"", "0 bytes came, wanted at least 6"),
        (lambda d: b"HEP3\0\6", r"mandatory chunk 0x0001 \(ip_family\) is absent"),
        (lambda d: packet_of(d[6:], b"\0\0\0"), "3 bytes left, wanted a header of 6"),
        (
            lambda d: packet_of(d[6:], chunk(0, 7, b"\1")),
            r"0x0007 \(source_port\) at offset 196: 1 bytes came, wanted 2",
        ),
    ],
)
def test_what_is_wrong_is_said(change: Any, wanted: str) -> None:
    with pytest.raises(HepDecodeError, match=wanted):
        decode(change(sample("log")))


@pytest.mark.parametrize("packet", captured(), ids=lambda p: p.name)
@pytest.mark.parametrize("lie", [0, 5, 6, -1, 1, 0xFFFF])
def test_every_length_that_lies_is_refused(packet: Captured, lie: int) -> None:
    """Of the packet and of each chunk; 6 is an empty chunk, 1 and -1 are added to the truth."""
    ends = sorted(boundaries(packet.data))
    for at in [4, *(start + 4 for start in ends[:-1])]:
        truth = int.from_bytes(packet.data[at : at + 2], "big")
        length = truth + lie if lie in {-1, 1} else lie
        if length != truth:
            with pytest.raises(HepDecodeError):
                decode(packet.data[:at] + length.to_bytes(2, "big") + packet.data[at + 2 :])


def test_the_key_is_not_shown() -> None:
    message = decode(sample("log"))
    assert message.auth_key == "myhep"
    assert "myhep" not in repr(message)


def chunks_by_construct(data: bytes) -> dict[tuple[int, int], Any]:
    return {(c.vendor, c.type): c.body for c in layout.Packet.parse(data).content["chunks"]}


def assert_same_as_construct(data: bytes) -> None:
    """Both refuse, or both read the same values; of packets that lack a mandatory chunk construct knows nothing."""
    try:
        wanted = chunks_by_construct(data)
    except ConstructError:
        with pytest.raises(HepDecodeError):
            decode(data)
        return
    try:
        message = decode(data)
    except HepDecodeError as error:
        assert "absent" in str(error) or "wanted 2 or 10" in str(error)
        return
    assert message.payload == wanted.get((0, 0x0F), b"")
    assert (message.src_port, message.dst_port) == (wanted[0, 7], wanted[0, 8])
    assert message.timestamp_us == wanted[0, 9] * 1_000_000 + wanted[0, 10]
    assert (message.payload_type, message.protocol) == (wanted[0, 11], wanted[0, 2])
    assert message.agent_id == wanted.get((0, 12), 0)
    assert message.src.packed == wanted[0, 3 if message.src.version == 4 else 5]
    assert message.dst.packed == wanted[0, 4 if message.src.version == 4 else 6]
    for kind, text in ((0x0E, message.auth_key), (0x11, message.correlation_id), (0x13, message.node_name)):
        body = wanted.get((0, kind))
        assert text == (None if body is None else body.decode("utf-8", "replace"))


@settings(deadline=None)
@given(messages())
def test_decoder_and_construct_agree_on_packets(message: HepMessage) -> None:
    assert_same_as_construct(build(message))


CHUNKS = st.builds(chunk, st.sampled_from([0, 0, 0, 5]), st.integers(0, 0x30), st.binary(max_size=17))


@settings(deadline=None)
@given(st.sampled_from(captured()), st.lists(CHUNKS, max_size=4), st.lists(CHUNKS, max_size=4))
def test_decoder_and_construct_agree_on_odd_chunks(packet: Captured, before: list[bytes], after: list[bytes]) -> None:
    assert_same_as_construct(packet_of(*before, packet.data[6:], *after))


@settings(deadline=None)
@given(st.sampled_from(captured()), st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=4))
def test_decoder_and_construct_agree_on_damage(packet: Captured, damage: list[tuple[int, int]]) -> None:
    data = bytearray(packet.data)
    for at, value in damage:
        data[at % len(data)] = value
    assert_same_as_construct(bytes(data))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_noise_is_refused_in_words(noise: bytes) -> None:
    with pytest.raises(HepDecodeError):
        decode(b"HEP3" + (len(noise) + 6).to_bytes(2, "big") + noise[:-1] + b"\0")


REVISION_37 = {
    0x0D: ("keep_alive_s", "003c", 60),
    0x10: ("compressed_payload", "1f8b08", b"\x1f\x8b\x08"),
    0x12: ("vlan", "0fff", 4095),
    0x14: ("source_mac", "00000242ac110002", 0x0242AC110002),
    0x15: ("destination_mac", "00000242ac110003", 0x0242AC110003),
    0x16: ("ethernet_type", "0800", 0x0800),
    0x17: ("tcp_flags", "12", 0x12),
    0x18: ("ip_tos", "b8", 0xB8),
    0x20: ("mos", "01a4", 420),
    0x21: ("r_factor", "005d", 93),
    0x22: ("geo_location", "35322e35", b"52.5"),
    0x23: ("jitter", "00000028", 40),
    0x24: ("transaction_type", "63616c6c", b"call"),
    0x25: ("payload_json_keys", "6964", b"id"),
    0x26: ("tag_values", "61", b"a"),
    0x27: ("tag_type", "0001", 1),
    0x28: ("event_type", "0002", 2),
    0x29: ("group_id", "67", b"g"),
}
"""The specification's table of chunks for which a message has no field of its own."""


def with_chunk(vendor: int, kind: int, body: bytes) -> bytes:
    packet = sample("log")
    chunk = b"".join(number.to_bytes(2) for number in (vendor, kind, 6 + len(body))) + body
    return packet[:4] + (len(packet) + len(chunk)).to_bytes(2) + packet[6:] + chunk


@pytest.mark.parametrize("kind", REVISION_37)
def test_every_chunk_of_revision_37_is_read(kind: int) -> None:
    name, body, value = REVISION_37[kind]
    message = decode(with_chunk(0, kind, bytes.fromhex(body)))
    (chunk,) = message.other
    assert layout.NAMES[kind] == name
    assert chunk_value(chunk) == value
    assert message.payload == decode(sample("log")).payload
    if isinstance(value, int):
        with pytest.raises(HepDecodeError, match=f"chunk {kind:#06x}"):
            decode(with_chunk(0, kind, bytes.fromhex(body) + b"x"))


def test_the_table_is_whole() -> None:
    assert set(REVISION_37) | message_module._OF_MESSAGE == set(layout.NAMES)
    assert set(layout.NAMES) == set(range(1, 0x19)) | set(range(0x20, 0x2A))


@pytest.mark.parametrize("vendor", [*range(1, 9), 0xFFFF])
@pytest.mark.parametrize("kind", [0x01, 0x0B, 0x0F, 0x11, 0x20, 0x1F, 0xFFFF])
def test_another_vendors_chunk_is_kept_and_replaces_nothing(vendor: int, kind: int) -> None:
    message = decode(with_chunk(vendor, kind, b"odd"))
    assert message.other == (OtherChunk(vendor, kind, b"odd"),)
    assert chunk_value(message.other[0]) == b"odd"
    assert replace(message, other=()) == decode(sample("log"))


@pytest.mark.parametrize("kind", [0x1F, 0x2A, 0x7FFF])
def test_an_unknown_chunk_is_kept(kind: int) -> None:
    assert decode(with_chunk(0, kind, b"new")).other == (OtherChunk(0, kind, b"new"),)
