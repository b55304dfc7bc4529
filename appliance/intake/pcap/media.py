"""Statistics of each m-line, from its streams' samples and, where RTCP is in clear, from the reports."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from appliance.core import events as e
from appliance.intake.pcap.association import Association
from appliance.intake.pcap.signalling import Described
from appliance.intake.pcap.stream import Sample, Stream
from appliance.wire import rtcp
from appliance.wire.description import MediaDescription, SessionDescription
from appliance.wire.rtp import RtpDecodeError, parse_extensions, parse_header

MID_URI = "urn:ietf:params:rtp-hdrext:sdes:mid"
_REPAIRS = {"rtx", "ulpfec", "flexfec-03"}
_VIDEO_CLOCK = 90_000
_NTP_EPOCH_S = 2_208_988_800


class _Medium(NamedTuple):
    mid: str | None
    kind: str


class _Report(NamedTuple):
    timestamp_us: int
    lost: int
    jitter_us: int | None
    rtt_us: int | None


class _Line:
    """The streams of one m-line, both ways."""

    def __init__(self, codec: str | None) -> None:
        self.codec = codec
        self.streams: tuple[list[Stream], list[Stream]] = ([], [])
        """From the client, to it."""
        self.repairs = 0


def tell_media(association: Association, described: Described, client: int, say: Callable[[int, e.Body], None]) -> None:
    """First packets, statistics each second, reports."""
    lines: dict[_Medium, _Line] = {}
    for (end, _), stream in association.streams.items():
        sender, receiver = (described.remote, described.local) if end == client else (described.local, described.remote)
        found = _medium(stream, sender, receiver, described.mids)
        if found is None:
            continue
        medium, codec = found
        line = lines.setdefault(medium, _Line(codec))
        line.codec = line.codec or codec
        line.streams[0 if end == client else 1].append(stream)
    reports = _tell_reports(association, client, say, {s.ssrc: m.mid for m, li in lines.items() for s in li.streams[1]})
    if not lines:
        _tell_silence(association, described, say)
    for medium, line in lines.items():
        if line.streams[0]:
            first_us = min(stream.first_us for stream in line.streams[0])
            say(first_us, e.MediaState(media=medium.kind, mid=medium.mid, receiving=True))
        _tell_line(medium, line, reports, say)


def _tell_silence(association: Association, described: Described, say: Callable[[int, e.Body], None]) -> None:
    """Where RTCP goes and no RTP does, the capture was not cut down to the set-up: there were no media."""
    up_us = association.handshake.done_us
    if up_us is None or not described.remote or not (any(association.srtcp) or association.reports):
        return
    for line in described.remote[-1].media:
        if line.kind in {"audio", "video"} and line.port:
            for timestamp_us in (up_us, association.last_us):
                say(timestamp_us, e.MediaStats(mid=line.mid, media=line.kind, packets_received=0, packets_sent=0))


def _medium(
    stream: Stream, sender: list[SessionDescription], receiver: list[SessionDescription], mids: dict[str, str]
) -> tuple[_Medium, str | None] | None:
    """Which m-line a stream belongs to, and its codec; ``None`` for retransmissions and error correction."""
    lines = [line for side in (sender, receiver) for description in reversed(side) for line in description.media]
    codec = next((line.codecs[stream.payload_type] for line in lines if stream.payload_type in line.codecs), None)
    if codec is not None and codec.name.lower() in _REPAIRS:
        return None
    line = _line(stream, [line for description in reversed(sender) for line in description.media], lines)
    name = codec.name.lower() if codec is not None else None
    if line is not None:
        return _Medium(line.mid, line.kind), name
    kind = "video" if stream.clock == _VIDEO_CLOCK else "audio"
    return _Medium(mids.get(kind), kind), name


def _line(stream: Stream, own: list[MediaDescription], lines: list[MediaDescription]) -> MediaDescription | None:
    for line in own:
        if any(source.ssrc == stream.ssrc for source in line.ssrcs):
            return line
    mid = _mid(stream, lines)
    if mid is not None:
        return next((line for line in lines if line.mid == mid), None)
    return next((line for line in lines if stream.payload_type in line.codecs), None)


def _mid(stream: Stream, lines: list[MediaDescription]) -> str | None:
    """The mid that the first packet names (RFC 8843 section 15)."""
    ids = {extension.id for line in lines for extension in line.extensions if extension.uri == MID_URI}
    if not ids:
        return None
    try:
        header = parse_header(stream.first_header, encrypted=True)
        elements = parse_extensions(header.extension_profile, header.extension)
    except RtpDecodeError:
        return None
    return next((elements[number].decode("latin-1") for number in ids if number in elements), None)


def _tell_line(
    medium: _Medium,
    line: _Line,
    reports: dict[int, list[_Report]],
    say: Callable[[int, e.Body], None],
) -> None:
    coming, going = line.streams
    times = sorted({sample.timestamp_us for stream in (*coming, *going) for sample in stream.samples})
    series_in = [_at(stream.samples, times) for stream in coming]
    series_out = [_at(stream.samples, times) for stream in going]
    heard = [(ssrc, rows) for ssrc, rows in reports.items() if any(stream.ssrc == ssrc for stream in going)]
    position = dict.fromkeys((ssrc for ssrc, _ in heard), -1)
    clock = next((stream.clock for stream in (*coming, *going) if stream.clock), None)
    for index, timestamp_us in enumerate(times):
        now_in = [sample for each in series_in if (sample := each[index]) is not None]
        now_out = [sample for each in series_out if (sample := each[index]) is not None]
        latest: list[_Report] = []
        for ssrc, rows in heard:
            while position[ssrc] + 1 < len(rows) and rows[position[ssrc] + 1].timestamp_us <= timestamp_us:
                position[ssrc] += 1
            if position[ssrc] >= 0:
                latest.append(rows[position[ssrc]])
        jitter_us = max((each.jitter_us for each in now_in if each.jitter_us is not None), default=None)
        remote_us = max((each.jitter_us for each in latest if each.jitter_us is not None), default=None)
        rtt_us = next((report.rtt_us for report in latest if report.rtt_us is not None), None)
        say(
            timestamp_us,
            e.MediaStats(
                mid=medium.mid,
                media=medium.kind,
                codec=line.codec,
                base=clock,
                rtt=rtt_us // 1000 if rtt_us is not None else None,
                rtt_us=rtt_us,
                lost=sum(sample.lost for sample in now_in) if now_in else None,
                lost_by_remote=sum(report.lost for report in latest) if latest else None,
                jitter_local=jitter_us // 1000 if jitter_us is not None else None,
                jitter_local_us=jitter_us,
                jitter_remote=remote_us // 1000 if remote_us is not None else None,
                jitter_remote_us=remote_us,
                packets_received=sum(sample.packets for sample in now_in),
                packets_sent=sum(sample.packets for sample in now_out),
                bytes_received=sum(sample.octets for sample in now_in),
                bytes_sent=sum(sample.octets for sample in now_out),
                reordered=sum(sample.late for sample in now_in) if now_in else None,
                has_reports=bool(latest),
            ),
        )


def _at(samples: list[Sample], times: list[int]) -> list[Sample | None]:
    """The latest sample at each of these times; ``None`` before the first."""
    out: list[Sample | None] = []
    index = -1
    for timestamp_us in times:
        while index + 1 < len(samples) and samples[index + 1].timestamp_us <= timestamp_us:
            index += 1
        out.append(samples[index] if index >= 0 else None)
    return out


def _tell_reports(
    association: Association, client: int, say: Callable[[int, e.Body], None], mids: dict[int, str | None]
) -> dict[int, list[_Report]]:
    """Say every report in clear; what the client's say of each of our streams."""
    found: dict[int, list[_Report]] = {}
    for timestamp_us, end, packet in association.reports:
        if not isinstance(packet, rtcp.SenderReport | rtcp.ReceiverReport):
            continue
        is_sender = isinstance(packet, rtcp.SenderReport)
        say(
            timestamp_us,
            e.RtcpReport(
                direction="in" if end == client else "out",
                packet_type=200 if is_sender else 201,
                ssrc=packet.ssrc,
                mid=next((mids[block.ssrc] for block in packet.reports if block.ssrc in mids), None),
                sender_info=_sender(packet) if isinstance(packet, rtcp.SenderReport) else None,
                blocks=tuple(_blocks(packet.reports)),
            ),
        )
        if end != client:
            continue
        for block in packet.reports:
            stream = association.streams.get((1 - client, block.ssrc))
            clock = stream.clock if stream is not None else 0
            jitter_us = round(block.jitter * 1e6 / clock) if clock else None
            rtt_us = _rtt(timestamp_us, block)
            found.setdefault(block.ssrc, []).append(_Report(timestamp_us, block.packets_lost, jitter_us, rtt_us))
    return found


def _sender(packet: rtcp.SenderReport) -> e.SenderInfo:
    return e.SenderInfo(
        packet.ntp_time >> 32, packet.ntp_time & 0xFFFFFFFF, packet.rtp_timestamp, packet.packet_count,
        packet.octet_count,
    )  # fmt: skip


def _blocks(blocks: Iterable[rtcp.ReportBlock]) -> Iterable[e.ReportBlock]:
    for block in blocks:
        yield e.ReportBlock(
            block.ssrc, block.fraction_lost, block.packets_lost, block.highest_sequence, block.jitter, block.lsr,
            block.dlsr,
        )  # fmt: skip


def _rtt(timestamp_us: int, block: rtcp.ReportBlock) -> int | None:
    """RFC 3550 section 6.4.1, if the capture's clock is the server's; a figure beyond 10 s says that it is not."""
    if not block.lsr:
        return None
    seconds, fraction_us = divmod(timestamp_us, 1_000_000)
    arrival = (((seconds + _NTP_EPOCH_S) & 0xFFFF) << 16) | (fraction_us << 16) // 1_000_000
    ticks = (arrival - block.lsr - block.dlsr) & 0xFFFFFFFF
    return ticks * 1_000_000 >> 16 if ticks < 10 << 16 else None
