"""RTCP reports as the JSON that Homer's type 5 is (spelled as by captagent, heplify and rtpengine).

All figures are the packet's own: jitter in RTP clock ticks, lsr and dlsr in 1/65536 s, and ``ntp_timestamp_usec``, in
spite of its name, the low 32 bits of the NTP time. Receivers read the first report block alone, so each block is a
message of its own.
"""

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from appliance.core.events import ReportBlock, RtcpReport

SENDER_REPORT = 200


class _SenderInformation(Struct, frozen=True):
    ntp_timestamp_sec: int
    ntp_timestamp_usec: int
    rtp_timestamp: int
    packets: int
    octets: int


class _Report(Struct, frozen=True, kw_only=True, omit_defaults=True):
    sender_information: _SenderInformation | None = None
    ssrc: int
    type: int
    report_count: int
    report_blocks: tuple[ReportBlock, ...]


_encode = msgspec.json.Encoder().encode


def reports(body: RtcpReport) -> Iterator[bytes]:
    """One JSON object for each report block; a sender report without any is told too, an empty receiver report not."""
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
            )
        )
