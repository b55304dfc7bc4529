"""One function for each reader of strangers' bytes: it returns, or something is wrong."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from google_crc32c import value as crc32c

from appliance.core.events import EventDecodeError
from appliance.core.peer import SourceLine
from appliance.hep.framing import Framer, HepFramingError
from appliance.hep.message import HepDecodeError, decode
from appliance.intake import dialect
from appliance.media import sctp
from appliance.media.config import DATAGRAM_BYTES
from appliance.media.dtls import DtlsStage
from appliance.media.frames import Frame, reader
from appliance.media.injection import Injection
from appliance.media.thinning import Thinning
from appliance.plugins.videoroom.remote_port import OUTCOMES, RemotePort
from appliance.wire import dtls, keyframe, rtcp, sdp, stun, twcc, vp8, vp9
from appliance.wire.candidate import Candidate, CandidateDecodeError
from appliance.wire.framing import Deframer, FramingError
from appliance.wire.pcap import PcapDecodeError, Reader
from appliance.wire.rtp import RtpDecodeError, parse_extensions, parse_header
from tests.clock import FakeClock
from tests.core.fake_media import OFFER
from tests.core.world import World

Target = Callable[[bytes], None]


def stun_message(data: bytes) -> None:
    """A Binding request or response."""
    try:
        stun.parse(data)
    except stun.StunDecodeError:
        return


def ice_tcp_stream(data: bytes) -> None:
    """Frames over TCP, in pieces whose sizes the first bytes say: nothing may depend on how the stream was cut."""
    cut, stream = data[:1] or b"\1", data[1:]
    step = max(1, cut[0])
    whole, pieces = deframed([stream]), deframed(stream[at : at + step] for at in range(0, len(stream), step))
    assert whole == pieces


def deframed(pieces: Iterable[bytes]) -> list[bytes]:
    """The frames until one is too long."""
    deframer, frames = Deframer(DATAGRAM_BYTES), list[bytes]()
    try:
        for piece in pieces:
            frames.extend(deframer.feed(piece))
            assert deframer.pending < DATAGRAM_BYTES + 2
    except FramingError:
        frames.append(b"too long")
    return frames


def dtls_records(data: bytes) -> None:
    """A datagram of DTLS: its records, and the messages in each."""
    whole = dtls.split_records(data)
    assert data.startswith(b"".join(whole))
    for record in dtls.records(data):
        assert len(record.fragment) <= record.length
        for message in dtls.handshakes(record.fragment):
            assert len(message.fragment) <= len(record.fragment)


def rtp_packet(data: bytes) -> None:
    """Header and header extensions."""
    try:
        header = parse_header(data)
        parse_extensions(header.extension_profile, header.extension)
    except RtpDecodeError:
        return


def rtp_payload(data: bytes) -> None:
    """What is read of pictures."""
    for read in (vp8.read, vp9.read, keyframe.h264, keyframe.h265, keyframe.av1):
        read(data, 0, len(data))


def layers(data: bytes) -> None:
    """Packets of a publisher's SVC, each after its size, and what a receiver of the lowest layer gets of them.

    VP9 tells layers in the payload; AV1 in the dependency descriptor, here the one extension, before a byte of payload.
    """
    codec, at = ("vp9", "av1")[data[:1] > b"\x7f"], 1
    read, thinning = reader(codec, dependency_id=12), Thinning()
    thinning.spatial.target = thinning.target = 0
    sequence = 0
    while at < len(data):
        size = data[at]
        part, at = data[at + 1 : at + 1 + size], at + 1 + size
        sequence = (sequence + 1 + (size & 7)) & 0xFFFF
        extension = bytes((12, len(part))) + part
        extension += bytes(-len(extension) % 4)
        header = bytes((0x90,)) + bytes(11) + b"\x10\x00" + (len(extension) // 4).to_bytes(2, "big") + extension
        packet = memoryview(header + part)
        frame = read(packet, len(header), len(packet))
        if sequence == 1 + (size & 7):
            thinning.begin(sequence, frame or Frame(keyframe=False))
        numbers = thinning.take(sequence, 3000 * (sequence >> 2), frame)
        if frame is not None and frame.frame_number_at:
            assert 18 <= frame.frame_number_at <= len(header) - 2
        if numbers is not None and not numbers.empty:
            assert frame is not None and (frame.spatial == 0 or thinning.spatial.limit > 0)
        assert 0 <= thinning.closed <= 512 and thinning.spatial.flows <= 2


def rtcp_compound(data: bytes) -> None:
    """A compound, and the transport-wide feedback in it; what was read is written and read again."""
    try:
        packets = rtcp.parse_compound(data)
    except rtcp.RtcpDecodeError:
        return
    rtcp.parse_compound(rtcp.build_compound(packets))


def transport_feedback(data: bytes) -> None:
    """The control information of transport-wide feedback."""
    try:
        twcc.parse(data)
    except twcc.TwccDecodeError:
        return


def session_description(data: bytes) -> None:
    """A description; what was read is written and read again as the same."""
    try:
        found = sdp.parse(data.decode("utf-8", "replace"))
    except sdp.SdpDecodeError:
        return
    del found


def candidate(data: bytes) -> None:
    """A candidate attribute."""
    try:
        Candidate.parse(data.decode("utf-8", "replace"))
    except CandidateDecodeError:
        return


@cache
def _call() -> tuple[World, dict[str, Any]]:
    world = World()
    return world, world.call()


def janus_request(data: bytes) -> None:
    """JSON of a Janus API request to a gateway that has a call: always answered, never by an exception."""
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        return
    if not isinstance(message, dict):
        return
    world, ids = _call()
    if message.get("session_id") == 1:
        message["session_id"] = ids["session_id"]
    if message.get("handle_id") == 1:
        message["handle_id"] = ids["handle_id"]
    if message.get("janus") in ("detach", "destroy", "hangup"):
        message["janus"] = "keepalive"
    jsep = message.get("jsep")
    if isinstance(jsep, dict) and jsep.get("sdp") == "offer":
        jsep["sdp"] = OFFER
    reply = world.gateway.request(message, world.client)
    assert "janus" in reply
    world.settle()
    world.client.sent.clear()
    world.events.clear()


def janus_events(data: bytes) -> None:
    """What an event handler of a Janus posts."""
    try:
        for item in dialect.read(dialect.decode(data)):
            dialect.checked(item)
    except (ValueError, EventDecodeError):
        return


def hep_message(data: bytes) -> None:
    """A HEP packet, and the same as a stream in two pieces."""
    try:
        decode(data)
    except HepDecodeError:
        pass
    framer = Framer()
    half = len(data) // 2
    try:
        for part in (data[:half], data[half:]):
            for packet in framer.feed(part):
                decode(packet)
    except (HepFramingError, HepDecodeError):
        return


def packet_file(data: bytes) -> None:
    """A pcap or pcapng."""
    try:
        for _ in Reader(data):
            pass
    except PcapDecodeError:
        return


class _Association:
    """DTLS as SCTP sees it: sends nowhere."""

    role = "server"
    stage = DtlsStage.CONNECTED

    def send_data(self, data: bytes) -> bool:
        return True


def sctp_packet(data: bytes) -> None:
    """A packet of an authenticated peer, into an association of its own."""

    # With the right sum, or it would be refused unread.
    summed = data[:8] + b"\0\0\0\0" + data[12:]
    packet = data[:8] + crc32c(summed).to_bytes(4, "little") + data[12:]

    async def receive() -> None:
        channels = sctp.DataChannels(
            _Association(),  # type: ignore[arg-type]  # what of it is used
            remote_port=5000, max_message_bytes=65_536, opened=lambda *_: None, received=lambda *_: None,
        )  # fmt: skip
        channels.receive(packet)
        channels.close()

    asyncio.run(receive())


class _Socket:
    """Keeps who would read it."""

    def __init__(self, received: Callable[[bytes, tuple[str, int]], None]) -> None:
        self.received = received

    def send(self, data: bytes, to: tuple[str, int]) -> bool:
        return True


def remote_media(data: bytes) -> None:
    """What another server, or whoever reaches its ports, sends for a remote publisher."""
    sockets: list[_Socket] = []
    clock, counts = FakeClock(), Counter[str]()

    def bind(received: Callable[[bytes, tuple[str, int]], None], feedback: bool) -> Any:
        sockets.append(_Socket(received))
        return sockets[-1]

    picture = SourceLine(mid="1", kind="video", codec="VP8", clock_rate=90_000, substreams=3, extensions={"urn:x": 4})
    source = Injection(clock, [picture], lambda mid: port.request_keyframe(1))
    source.listen("1", lambda packet: None)

    def received(mindex: int, substream: int, packet: bytes) -> None:
        source.send_packet("1", packet, substream=substream)

    port = RemotePort(
        bind, key=None, clock=clock, known=lambda mindex, substream: mindex < 2, received=received, counts=counts
    )
    rtp, feedback = sockets
    for number, address in enumerate((("127.0.0.1", 1), ("127.0.0.1", 2), ("127.0.0.2", 1))):
        rtp.received(data, address)
        feedback.received(data, address)
        # The same as a packet of each encoding.
        rtp.received(data[:8] + (1010 + number).to_bytes(4, "big") + data[12:], address)
    assert set(counts) <= set(OUTCOMES)
    assert len(source.path.streams) <= 3


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        stun_message, ice_tcp_stream, dtls_records, rtp_packet, rtp_payload, layers, rtcp_compound, transport_feedback,
        session_description, candidate, janus_request, janus_events, hep_message, packet_file, sctp_packet,
        remote_media,
    )
}  # fmt: skip
