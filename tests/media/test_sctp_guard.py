"""The packets are aiortc's and scapy's; what is wrong with some is written into them."""

import struct

import pytest
from aiortc import rtcsctptransport as sctp
from scapy.layers.sctp import SCTP, SCTPChunkHeartbeatReq, SCTPChunkInit, SCTPChunkParamHeartbeatInfo

from appliance.media.sctp_guard import MAX_GAP_POSITIONS, is_harmful


def packet(*chunks: sctp.Chunk) -> bytes:
    head: bytes = sctp.serialize_packet(5000, 5000, 1, sctp.CookieAckChunk())[:12]
    return head + b"".join(bytes(chunk) for chunk in chunks)


def init() -> sctp.InitChunk:
    chunk = sctp.InitChunk()
    chunk.initiate_tag = chunk.initial_tsn = 7
    chunk.advertised_rwnd, chunk.outbound_streams, chunk.inbound_streams = 131_072, 16, 16
    chunk.params = [(49152, b""), (32776, bytes([192, 130]))]
    return chunk


def sack(*gaps: tuple[int, int]) -> sctp.SackChunk:
    chunk = sctp.SackChunk()
    chunk.gaps = list(gaps)
    return chunk


@pytest.mark.parametrize(
    "data",
    [
        b"",
        packet(),
        packet(init()),
        packet(sack((2, 3), (5, 9)), sctp.DataChunk(body=bytes(13))),
        packet(sack((2, MAX_GAP_POSITIONS + 1), (9, 2))),
        bytes(SCTP() / SCTPChunkHeartbeatReq(params=[SCTPChunkParamHeartbeatInfo(data=b"now")])),
        bytes(SCTP() / SCTPChunkInit(init_tag=1)),
        packet()[:12] + bytes(8),  # a chunk without a length: aiortc refuses it by itself
    ],
)
def test_what_peers_send_passes(data: bytes) -> None:
    assert not is_harmful(data)
    assert not any(is_harmful(data[:length]) for length in range(len(data)))


@pytest.mark.parametrize("kind", [4, 5, 6, 9, 130])
@pytest.mark.parametrize("size", [0, 1, 3])
def test_a_parameter_without_a_length_is_harmful(kind: int, size: int) -> None:
    whole = struct.pack("!BBHHHI", kind, 0, 16, 1, 8, 0)
    assert not is_harmful(packet() + whole + struct.pack("!HH", 1, 4))
    assert is_harmful(packet() + whole + struct.pack("!HH", 1, size))


@pytest.mark.parametrize("kind", [1, 2])
def test_parameters_of_an_init_begin_behind_its_fields(kind: int) -> None:
    fields = struct.pack("!LLHHL", 0, 0, 0, 0, 0)
    assert not is_harmful(packet() + struct.pack("!BBH", kind, 0, 20) + fields)
    assert is_harmful(packet() + struct.pack("!BBH", kind, 0, 24) + fields + bytes(4))


def test_gaps_of_one_packet_count_together() -> None:
    half = MAX_GAP_POSITIONS // 2
    assert not is_harmful(packet(sack((1, half)), sack((1, half))))
    assert is_harmful(packet(sack((1, half)), sack((1, half + 1))))
    assert is_harmful(packet(sack(*[(1, 65_535)] * 290)))
