"""What one authenticated peer can make data channels keep or compute; the packets are aiortc's."""

import asyncio
import struct

import pytest
from aiortc import rtcsctptransport as sctp
from google_crc32c import value as crc32c

from appliance.media.config import MAX_DATA_CHANNELS
from appliance.media.dtls import DtlsStage
from appliance.media.sctp import MAX_DUPLICATES, MAX_NAME_LENGTH, MAX_QUEUED, DataChannels
from appliance.media.sctp_guard import MAX_CONTROL_CHUNKS, MAX_SKIPPED_STREAMS, is_harmful
from appliance.media.share import Share

STRING, CONTROL = 51, 50


class Dtls:
    """As SCTP sees it: keeps what is sent."""

    role = "server"
    stage = DtlsStage.CONNECTED

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send_data(self, data: bytes) -> bool:
        self.sent.append(data)
        return True

    def chunk(self) -> sctp.Chunk:
        return sctp.parse_packet(self.sent.pop(0))[3][0]


def packet(tag: int, *chunks: sctp.Chunk) -> bytes:
    head, body = struct.pack("!HHL", 5000, 5000, tag), b"".join(bytes(chunk) for chunk in chunks)
    return head + struct.pack("<L", crc32c(head + bytes(4) + body)) + body


class Peer:
    """The other side of an association that is up; what it sends comes back."""

    def __init__(self, share: Share | None = None) -> None:
        self.dtls = Dtls()
        self.channels = DataChannels(
            self.dtls,  # type: ignore[arg-type]  # what of it is used
            remote_port=5000, max_message_bytes=65_536, opened=lambda *_: None,
            received=self.echo,
            share=share or Share(1e9, 1e9),
        )  # fmt: skip
        first = self.dtls.chunk()
        assert isinstance(first, sctp.InitChunk)
        self.tag, self.tsn = first.initiate_tag, 1
        init = sctp.InitChunk()
        init.initiate_tag, init.initial_tsn, init.advertised_rwnd = 7, 1, 1_000_000
        init.inbound_streams = init.outbound_streams = 65_535
        self.channels.receive(packet(0, init))
        answer = self.dtls.chunk()
        assert isinstance(answer, sctp.InitAckChunk)
        self.send(sctp.CookieEchoChunk(body=dict(answer.params)[sctp.SCTP_STATE_COOKIE]))
        self.dtls.sent.clear()

    @property
    def errors(self) -> dict[str, int]:
        return self.channels.errors

    def echo(self, label: str, protocol: str, message: str | bytes) -> None:
        self.channels.send(label, protocol, message)

    def send(self, *chunks: sctp.Chunk) -> None:
        self.channels.receive(packet(self.tag, *chunks))

    def data(self, body: bytes, stream: int = 0, kind: int = STRING) -> sctp.DataChunk:
        chunk = sctp.DataChunk(flags=7)
        chunk.tsn, chunk.stream_id, chunk.protocol, chunk.user_data = self.tsn, stream, kind, body
        self.tsn += 1
        return chunk

    def open(self, stream: int, label: bytes = b"x") -> None:
        self.send(self.data(struct.pack("!BBHLHH", 3, 0, 0, 0, len(label), 0) + label, stream, CONTROL))


async def test_messages_that_nobody_acknowledges_are_bounded_by_their_number() -> None:
    peer = Peer()
    peer.open(0)
    for _ in range(MAX_QUEUED // 50 + 10):
        peer.send(*[peer.data(b"1") for _ in range(50)])
        await asyncio.sleep(0)
    assert peer.errors["buffer"] > 400
    assert MAX_QUEUED - 10 < peer.channels.messages_sent < MAX_QUEUED + 10


async def test_channels_of_one_name_are_as_many_as_others() -> None:
    peer = Peer()
    for stream in range(MAX_DATA_CHANNELS + 3):
        peer.open(stream)
    assert peer.errors == {"channels": 3}


async def test_channels_whose_end_the_peer_never_confirms_end_the_association() -> None:
    peer = Peer()
    for stream in range(2 * MAX_DATA_CHANNELS + 1):
        peer.open(stream)
        reset = sctp.StreamResetOutgoingParam(1000 + stream, 0, peer.tsn - 1, [stream])
        chunk = sctp.ReconfigChunk()
        chunk.params = [(sctp.SCTP_STR_RESET_OUT_REQUEST, bytes(reset))]
        peer.send(chunk)
    assert peer.errors["overflow"] == 1


@pytest.mark.parametrize(("length", "errors"), [(MAX_NAME_LENGTH, {}), (MAX_NAME_LENGTH + 1, {"overflow": 1})])
async def test_a_name_is_not_a_store(length: int, errors: dict[str, int]) -> None:
    peer = Peer()
    peer.open(0, b"a" * length)
    assert peer.errors == errors


async def test_duplicates_told_by_no_answer_are_bounded() -> None:
    peer = Peer()
    peer.send(peer.data(b"1"))
    twice = peer.data(b"1")
    twice.tsn = 1
    broken = sctp.ReconfigChunk()
    broken.params = [(sctp.SCTP_STR_RESET_OUT_REQUEST, b"")]
    for _ in range(MAX_DUPLICATES // 50 + 1):
        peer.send(*[twice] * 50, broken)
    assert peer.errors["overflow"] == 1


async def test_packets_that_cost_too_much_are_lost_until_their_time_is_paid_back() -> None:
    now = used = 0.0

    def spend() -> float:
        nonlocal used
        used += 0.125
        return used

    peer = Peer(Share(0.2, 0.5, now=lambda: now, used=spend))
    for _ in range(6):
        peer.send(peer.data(b"1"))
    # Two of four eighths went to the start.
    assert peer.errors == {"busy": 4}
    now = 0.51
    for _ in range(3):
        peer.send(peer.data(b"1"))
    assert peer.errors == {"busy": 6}
    now = 1000.0
    for _ in range(7):
        peer.send(peer.data(b"1"))
    assert peer.errors == {"busy": 9}, "what is saved is bounded"


@pytest.mark.parametrize(
    "chunk",
    [sctp.HeartbeatChunk(), sctp.SackChunk(body=bytes(12)), sctp.CookieEchoChunk(), sctp.ForwardTsnChunk()],
    ids=lambda chunk: type(chunk).__name__,
)
def test_a_packet_of_many_control_chunks_is_harmful(chunk: sctp.Chunk) -> None:
    data = sctp.DataChunk(body=bytes(13))
    assert not is_harmful(packet(1, *[chunk] * MAX_CONTROL_CHUNKS, *[data] * 60))
    assert is_harmful(packet(1, *[chunk] * (MAX_CONTROL_CHUNKS + 1)))


def test_streams_that_are_skipped_count_together() -> None:
    chunk = sctp.ForwardTsnChunk()
    chunk.streams = [(0, 0)] * (MAX_SKIPPED_STREAMS // 2)
    assert not is_harmful(packet(1, chunk, chunk))
    chunk.streams.append((0, 0))
    assert is_harmful(packet(1, chunk, chunk))
