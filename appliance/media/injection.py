"""What a plugin sends by itself: packets that no client sent, routed to clients as if one had."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from appliance.core.clock import Clock
from appliance.core.peer import Medium, SourceLine
from appliance.media.bandwidth import BandwidthEstimate
from appliance.media.config import MAX_MEDIA_LINES
from appliance.media.lines import MediaLines
from appliance.media.negotiation import NegotiatedLine
from appliance.media.path import MediaPath
from appliance.media.pictures import passed
from appliance.media.receive import RxStream
from appliance.media.simulcast import MAX_SUBSTREAMS, Encodings
from appliance.wire import rtcp
from appliance.wire.description import Codec, HeaderExtension, MediaDescription
from appliance.wire.rtp import RtpDecodeError, RtpHeader, build_extensions, is_rtcp, parse_extensions, parse_header

MAX_PACKET = 1472
"""Bytes; more does not come over Ethernet."""

_RIDS = ("0", "1", "2")

Keyframe = Callable[[str], None]


class _Path(MediaPath):
    """Without keys or an address: nothing comes in by it, and what it would ask a client for, it asks the plugin."""

    def __init__(self, clock: Clock, keyframe: Keyframe | None) -> None:
        super().__init__(clock, _nothing, _nothing, 1, _nothing, BandwidthEstimate(1))
        self._keyframe = keyframe

    @property
    def ready(self) -> bool:
        """It needs no keys."""
        return True

    def send_rtcp(self, packets: Sequence[rtcp.Packet]) -> bool:
        """The requests for key frames, throttled already."""
        for packet in packets:
            stream = self.streams.get(packet.media_ssrc) if isinstance(packet, rtcp.Pli) else None
            if stream is not None and self._keyframe is not None:
                self._keyframe(stream.line.medium.mid)
        return True


class Injection(MediaLines):
    """Implements :class:`appliance.core.peer.MediaSource`.

    :raises ValueError: two lines have the same mid, one is neither audio nor video, or there are too many.
    """

    def __init__(self, clock: Clock, lines: Sequence[SourceLine], keyframe: Keyframe | None) -> None:
        super().__init__(_Path(clock, keyframe), history_bytes=0)
        self.dropped = 0
        """Packets that are none, or too long."""
        self._clock = clock
        self._sequences: dict[str, int] = {}
        self._asks = keyframe is not None
        self.change(lines)

    def change(self, lines: Sequence[SourceLine]) -> None:
        """Other lines from now on. :raises ValueError: as when it is made, and nothing has changed."""
        if len({line.mid for line in lines}) < len(lines):
            raise ValueError("two lines have the same mid")
        if len(lines) > MAX_MEDIA_LINES:
            raise ValueError(f"{len(lines)} lines, wanted at most {MAX_MEDIA_LINES}")
        self._apply(tuple(_negotiated(index, line) for index, line in enumerate(lines)))
        self._sequences = {line.mid: self._sequences.get(line.mid, 0) for line in lines}

    def send(self, mid: str, payload: bytes, *, timestamp: int, marker: bool = False) -> None:
        """Send one packet; its header is made here."""
        number = self._sequences.get(mid)
        if number is None:
            self.dropped += 1
            return
        self._sequences[mid] = (number + 1) & 0xFFFF
        header = RtpHeader(
            payload_type=0, sequence_number=number, timestamp=timestamp & 0xFFFFFFFF, ssrc=0, marker=marker
        )
        self.send_packet(mid, header.build() + payload)

    def send_packet(self, mid: str, packet: bytes, *, substream: int = 0) -> None:
        """Send a packet of somebody else's."""
        line = self.line(mid)
        header = _header(packet)
        if line is None or header is None or not 0 <= substream <= len(line.higher_substreams):
            self.dropped += 1
            return
        if header.extension_profile is not None:
            packet, header = _cleaned(packet, header, line.extensions)
        now = self._clock.monotonic()
        stream = line.latest(substream)
        is_new = stream is None
        if stream is None:
            ssrc = (line.ssrc + substream) & 0xFFFFFFFF
            stream = self.path.sources.add(ssrc, line, header.sequence_number, now, substream)
        if stream is None or not stream.received(header.sequence_number, header.timestamp, len(packet), now):
            self.dropped += stream is None
            return
        if is_new and self._asks and line.medium.kind == "video":
            # It may be in the middle of a picture.
            self.path.request_keyframe(line, stream)
        if stream.listener is not None:
            stream.listener(memoryview(packet))
        _hand_out(stream, packet, header)

    def close(self) -> None:
        """Nothing goes out of it any more."""
        self.path.close()


def _negotiated(index: int, line: SourceLine) -> NegotiatedLine:
    if line.kind not in {"audio", "video"}:
        raise ValueError(f"kind: {line.kind!r}: wanted audio or video")
    if not 1 <= line.substreams <= MAX_SUBSTREAMS:
        raise ValueError(f"substreams: {line.substreams}: wanted 1..{MAX_SUBSTREAMS}")
    codec = Codec(
        payload_type=line.payload_type,
        name=line.codec,
        clock_rate=line.clock_rate,
        channels=line.channels,
        fmtp=line.fmtp,
    )
    return NegotiatedLine(
        medium=Medium(
            mid=line.mid,
            mindex=index,
            kind=line.kind,
            direction="recvonly",
            codec=line.codec.lower(),
            simulcast=line.substreams > 1,
        ),
        offered=MediaDescription(kind=line.kind, port=9, protocol="UDP/TLS/RTP/SAVPF", formats=(), mid=line.mid),
        codec=codec,
        feedback=("nack pli",) if line.kind == "video" else (),
        extensions=tuple(HeaderExtension(number, uri) for uri, number in line.extensions.items()),
        encodings=Encodings(rids=_RIDS[: line.substreams]) if line.substreams > 1 else None,
    )


def _header(packet: bytes) -> RtpHeader | None:
    if len(packet) > MAX_PACKET or is_rtcp(packet):
        return None
    try:
        return parse_header(packet)
    except RtpDecodeError:
        return None


def _cleaned(packet: bytes, header: RtpHeader, known: dict[str, int]) -> tuple[bytes, RtpHeader]:
    """Without header extensions whose ids are somebody else's."""
    try:
        found = parse_extensions(header.extension_profile, header.extension)
    except RtpDecodeError:
        found = {}
    ids = set(known.values())
    kept = {number: value for number, value in found.items() if number in ids}
    if len(kept) == len(found) and found:
        return packet, header
    profile, data = build_extensions(kept) if kept else (None, b"")
    cleaned = replace(header, extension_profile=profile, extension=data)
    return cleaned.build() + packet[header.size :], cleaned


def _hand_out(stream: RxStream, packet: bytes, header: RtpHeader) -> None:
    """To every client that it is routed to, at once."""
    size, ports = len(packet), set()
    pictures = stream.pictures
    routes = pictures.look(memoryview(packet), size, header.timestamp) if pictures is not None else None
    for sink in stream.sinks:
        if sink.path is stream.line.path:
            # Who listens to simulcast has no client, and no slot.
            slot = (memoryview(bytearray(packet)), None, None)
            sink.forward(slot, size, packet[1], header.sequence_number, header.timestamp, stream)
            continue
        port = sink.path.port
        if port is not None:
            slot = port.spare()
            slot[0][:size] = packet
            sink.forward(slot, size, packet[1], header.sequence_number, header.timestamp, stream)
            ports.add(port)
    if routes is not None:
        passed(routes)
    for port in ports:
        port.flush()


def _nothing(*_: object) -> None:
    return
