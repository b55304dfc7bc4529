"""RTCP reports as the JSON that Homer's type 5 is (spelled as by captagent, heplify and rtpengine).

All figures are the packet's own: jitter in RTP clock ticks, lsr and dlsr in 1/65536 s, and ``ntp_timestamp_usec``, in
spite of its name, the low 32 bits of the NTP time. Receivers read the first report block alone, so each block is a
message of its own. The one figure added is the round trip, which lsr and dlsr alone don't tell: milliseconds, where
Homer looks for those of an extended report.

A Janus server tells no RTCP. For its calls, reports are made from its statistics, and marked: ``synthetic``, and a TOOL
item of SDES that says so.
"""

import zlib
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from appliance.core.events import MediaStats, ReportBlock, RtcpReport

RECEIVER_REPORT = 201
SDES_TOOL = 6
MADE_FROM_STATISTICS = "synthetic: made from the statistics of a server that tells no RTCP"
LONGEST_ROUND_TRIP_MS = 10_000
"""What is longer was not measured: lsr is another clock's, or the wall clock was set."""

_NTP_EPOCH = 2_208_988_800
_CLOCKS = {"audio": 48_000, "video": 90_000}
"""Where a server doesn't tell the clock rate."""


class _SenderInformation(Struct, frozen=True):
    ntp_timestamp_sec: int
    ntp_timestamp_usec: int
    rtp_timestamp: int
    packets: int
    octets: int


class _Extended(Struct, frozen=True):
    round_trip_delay: int


class _SdesItem(Struct, frozen=True):
    type: int
    text: str


_SAYS_SO = (_SdesItem(SDES_TOOL, MADE_FROM_STATISTICS),)


class _Report(Struct, frozen=True, kw_only=True, omit_defaults=True):
    sender_information: _SenderInformation | None = None
    ssrc: int
    type: int
    report_count: int
    report_blocks: tuple[ReportBlock, ...]
    report_blocks_xr: _Extended | None = None
    sdes_ssrc: int | None = None
    sdes_report_count: int = 0
    sdes_information: tuple[_SdesItem, ...] = ()
    synthetic: bool = False


_encode = msgspec.json.Encoder().encode


def reports(body: RtcpReport, timestamp_us: int) -> Iterator[bytes]:
    """One JSON object for each report block; a sender report without any is told too, an empty receiver report not.

    ``timestamp_us`` is when a report came in: the round trip's end.
    """
    info = body.sender_info
    sender = None
    if info is not None:
        sender = _SenderInformation(info.ntp_sec, info.ntp_frac, info.rtp_timestamp, info.packets, info.octets)
    blocks: tuple[tuple[ReportBlock, ...], ...] = tuple((block,) for block in body.blocks)
    if not blocks and sender is not None:
        blocks = ((),)
    for block in blocks:
        yield _encode(
            _Report(
                sender_information=sender,
                ssrc=body.ssrc,
                type=body.packet_type,
                report_count=len(block),
                report_blocks=block,
                report_blocks_xr=_round_trip(block[0], timestamp_us) if block and body.direction == "in" else None,
            )
        )


def _round_trip(block: ReportBlock, arrival_us: int) -> _Extended | None:
    """RFC 3550 section 6.4.1; our own reports' NTP time is the wall clock that stamps events."""
    if not block.lsr:
        return None
    middle = ((arrival_us + _NTP_EPOCH * 1_000_000) * 65_536 // 1_000_000) & 0xFFFFFFFF
    milliseconds = round(((middle - block.lsr - block.dlsr) & 0xFFFFFFFF) * 1000 / 65_536)
    return _Extended(milliseconds) if milliseconds <= LONGEST_ROUND_TRIP_MS else None


class MadeReports:
    """Receiver reports on one medium of one call, as far as its statistics allow them."""

    __slots__ = ("_before", "_ours", "_theirs")

    def __init__(self, medium: str) -> None:
        """``medium``: unique; what stands for the SSRCs, which statistics do not tell, is made from it."""
        self._ours, self._theirs = (
            zlib.crc32(f"{medium}/{end}".encode("utf-8", "replace")) for end in ("gateway", "client")
        )
        self._before = MediaStats(media="")

    def take(self, now: MediaStats) -> list[tuple[bool, bytes]]:
        """The reports of the next statistics: one on what the server receives, and one, inward (true), on what it
        sends."""
        clock = now.base or _CLOCKS.get(now.media)
        if clock is None:
            return []
        made: list[tuple[bool, bytes]] = []
        before, self._before = self._before, now
        if now.packets_received and now.lost is not None:
            lost = now.lost - (before.lost or 0)
            expected = now.packets_received - (before.packets_received or 0) + lost
            figures = (lost, expected, now.lost, now.packets_received + now.lost, now.jitter_local)
            made.append((False, _made_report(self._ours, self._theirs, clock, figures, None)))
        if now.packets_sent and now.lost_by_remote is not None:
            lost = now.lost_by_remote - (before.lost_by_remote or 0)
            expected = now.packets_sent - (before.packets_sent or 0)
            figures = (lost, expected, now.lost_by_remote, now.packets_sent, now.jitter_remote)
            made.append((True, _made_report(self._theirs, self._ours, clock, figures, now)))
        return made


def _made_report(
    ssrc: int,
    about: int,
    clock: int,
    figures: tuple[int, int, int, int, int | float | None],
    round_trip: MediaStats | None,
) -> bytes:
    """``figures``: lost and expected since the last, lost and expected in all, jitter in ms."""
    lost, expected, total_lost, total, jitter_ms = figures
    fraction = min(255, max(0, lost * 256 // expected)) if expected > 0 else 0
    timing = None if round_trip is None else round_trip.rtt_values
    rtt = None if round_trip is None else round_trip.rtt
    block = ReportBlock(
        source_ssrc=about,
        fraction_lost=fraction,
        packets_lost=total_lost,
        highest_seq_no=max(0, total) & 0xFFFFFFFF,
        # A server may say anything, also what is no number.
        ia_jitter=round(min(0xFFFFFFFF, max(0, (jitter_ms or 0) * clock / 1000))),
        lsr=timing.lsr if timing else 0,
        dlsr=timing.dlsr if timing else 0,
    )
    return _encode(
        _Report(
            ssrc=ssrc,
            type=RECEIVER_REPORT,
            report_count=1,
            report_blocks=(block,),
            report_blocks_xr=_Extended(round(rtt)) if rtt and 0 < rtt <= LONGEST_ROUND_TRIP_MS else None,
            sdes_ssrc=ssrc,
            sdes_report_count=1,
            sdes_information=_SAYS_SO,
            synthetic=True,
        )
    )
