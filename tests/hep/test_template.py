from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings

from appliance.hep import layout
from appliance.hep.message import HepEncodeError, HepMessage, OtherChunk, decode
from appliance.hep.template import HepTemplate, build, encode
from tests.hep.messages import messages
from tests.hep.strict import receive

FIELDS: dict[str, Any] = {
    "src": ip_address("192.0.2.10"),
    "dst": ip_address("198.51.100.20"),
    "src_port": 51538,
    "dst_port": 8188,
    "agent_id": 2001,
    "node_name": "edge-1",
    "correlation_id": "1-2-1@edge-1",
}


@settings(deadline=None)
@given(messages())
def test_template_writes_what_construct_builds(message: HepMessage) -> None:
    assert encode(message) == build(message)
    assert decode(encode(message)) == message


def test_one_template_writes_many_messages() -> None:
    template = HepTemplate(**FIELDS)
    for timestamp_us, kind, payload in (
        (1, 1, b"a"),
        (1_795_227_418_870_119, 100, b"{}"),
        ((1 << 32) * 10**6 - 1, 255, b""),
    ):
        packet = template.render(timestamp_us, kind, payload)
        assert packet == build(template.message(timestamp_us, kind, payload))


def test_chunks_come_in_the_conventional_order() -> None:
    packet = HepTemplate(**FIELDS, auth_key="key").render(1_795_227_418_870_119, 100, b"{}")
    kinds = [chunk.type for chunk in layout.Packet.parse(packet).content["chunks"]]
    assert kinds == [1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 14, 17, 19, 15]


def test_a_foreign_chunk_comes_before_ours() -> None:
    foreign = OtherChunk(5, 0x40, b"x")
    message = HepMessage(**FIELDS, timestamp_us=1_000_000, payload_type=100, payload=b"{}", other=(foreign,))
    packet = build(message)
    assert decode(packet) == message
    assert receive(packet).payload == "{}"
    assert layout.Packet.parse(packet).content["chunks"][0].vendor == 5
    with pytest.raises(HepEncodeError, match="other"):
        encode(message)


def test_the_longest_packet_is_a_full_datagram() -> None:
    template = HepTemplate(**FIELDS)
    packet = template.render(1_000_000, 100, b"x" * template.room)
    assert len(packet) == 65_507
    assert receive(packet).payload_type == 100
    with pytest.raises(
        HepEncodeError, match=f"payload: {template.room + 1} bytes came, wanted at most {template.room}"
    ):
        template.render(1_000_000, 100, b"x" * (template.room + 1))


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"dst": ip_address("::1")}, "dst: ::1 came, wanted an address of the same family as 192.0.2.10"),
        ({"src_port": 65_536}, "src_port: 65536 came, wanted 0 to 65535"),
        ({"dst_port": -1}, "dst_port: -1 came"),
        ({"protocol": 256}, "protocol: 256 came"),
        ({"agent_id": 1 << 32}, "agent_id: 4294967296 came"),
        ({"node_name": 'edge"1'}, "node_name: 'edge\"1' came, wanted printable text without quotes"),
        ({"node_name": "edge\n"}, "node_name: .* came, wanted printable text"),
        ({"node_name": ""}, "node_name: '' came"),
        ({"node_name": "x" * 1025}, "node_name: 1025 characters came"),
        ({"correlation_id": ""}, "correlation_id: '' came"),
        ({"correlation_id": "a\\b"}, "correlation_id"),
    ],
)
def test_what_receivers_choke_on_is_refused(change: dict[str, Any], wanted: str) -> None:
    with pytest.raises(HepEncodeError, match=wanted):
        HepTemplate(**FIELDS | change)


def test_a_bad_key_is_refused_without_being_told() -> None:
    with pytest.raises(HepEncodeError, match="auth_key: a secret came") as caught:
        HepTemplate(**FIELDS, auth_key='top"secret')
    assert "top" not in str(caught.value)


@pytest.mark.parametrize(("timestamp_us", "kind"), [(-1, 100), ((1 << 32) * 10**6, 100), (0, 256), (0, 1000), (0, -1)])
def test_numbers_that_do_not_fit_are_refused(timestamp_us: int, kind: int) -> None:
    with pytest.raises(HepEncodeError, match="timestamp_us, payload_type"):
        HepTemplate(**FIELDS).render(timestamp_us, kind, b"x")


def test_endpoints_in_words() -> None:
    assert HepTemplate(**FIELDS).source == "192.0.2.10:51538"
    six = {"src": ip_address("2001:db8::1"), "dst": ip_address("2001:db8::2")}
    assert HepTemplate(**FIELDS | six).destination == "[2001:db8::2]:8188"
