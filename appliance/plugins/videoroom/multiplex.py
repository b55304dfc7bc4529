"""How the streams of a publisher share one port between servers: by their SSRCs, as Janus counts them.

The stream of m-line ``mindex`` has SSRC 1000 + 10 × ``mindex``, and an encoding of simulcast its number more. A data
message is the payload of an RTP packet of that stream; its payload type is 0 for text and 1 for binary.
"""

from appliance.wire.rtp import HEADER_SIZE, Buffer, RtpDecodeError, header_length, is_rtcp

BASE_SSRC = 1000
STEP = 10
TEXT, BINARY = 0, 1
"""Payload types of data."""
LATCH = b"\x80" + bytes(HEADER_SIZE - 1)
"""An empty RTP packet: tells whoever is to send RTCP where we are."""


def ssrc_of(mindex: int, substream: int = 0) -> int:
    """The SSRC of an encoding of a stream."""
    return BASE_SSRC + STEP * mindex + substream


def place_of(ssrc: int) -> tuple[int, int] | None:
    """m-line and encoding of an SSRC; ``None`` where it is of none."""
    return divmod(ssrc - BASE_SSRC, STEP) if ssrc >= BASE_SSRC else None


def ssrc_in(packet: Buffer) -> int | None:
    """The SSRC of an RTP packet, whose payload may be encrypted; ``None`` where it is no RTP."""
    if is_rtcp(packet):
        return None
    try:
        header_length(packet)
    except RtpDecodeError:
        return None
    return int.from_bytes(packet[8:12], "big")
