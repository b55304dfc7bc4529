"""RTCP (RFC 3550 section 6, RFC 4585, RFC 5104, and REMB as in draft-alvestrand-rmcat-remb-03).

:func:`parse_compound` reads a decrypted datagram into typed packets, each of which builds itself again; the packets
of a compound are joined by plain concatenation. Reduced-size packets (RFC 5506) are as welcome as full compounds.
"""

from appliance.wire.rtcp.feedback import MAX_LOST, Feedback, Fir, Nack, Pli, Remb, TransportFeedback
from appliance.wire.rtcp.packet import (
    APPLICATION,
    EXTENDED_REPORT,
    GOODBYE,
    PAYLOAD_FEEDBACK,
    RECEIVER_REPORT,
    SENDER_REPORT,
    SOURCE_DESCRIPTION,
    TRANSPORT_FEEDBACK,
    Packet,
    RtcpDecodeError,
    Unknown,
    build_compound,
)
from appliance.wire.rtcp.reader import MAX_PACKETS, parse_compound
from appliance.wire.rtcp.reports import (
    CNAME,
    App,
    Bye,
    ExtendedReport,
    ReceiverReport,
    ReportBlock,
    Sdes,
    SdesChunk,
    SenderReport,
    sdes_cname,
)

__all__ = [
    "APPLICATION",
    "CNAME",
    "EXTENDED_REPORT",
    "GOODBYE",
    "MAX_LOST",
    "MAX_PACKETS",
    "PAYLOAD_FEEDBACK",
    "RECEIVER_REPORT",
    "SENDER_REPORT",
    "SOURCE_DESCRIPTION",
    "TRANSPORT_FEEDBACK",
    "App",
    "Bye",
    "ExtendedReport",
    "Feedback",
    "Fir",
    "Nack",
    "Packet",
    "Pli",
    "ReceiverReport",
    "Remb",
    "ReportBlock",
    "RtcpDecodeError",
    "Sdes",
    "SdesChunk",
    "SenderReport",
    "TransportFeedback",
    "Unknown",
    "build_compound",
    "parse_compound",
    "sdes_cname",
]
