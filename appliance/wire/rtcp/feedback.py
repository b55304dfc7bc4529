"""What receivers ask for: RFC 4585, RFC 5104, REMB (draft-alvestrand-rmcat-remb-03), transport-wide feedback."""

import struct
from typing import ClassVar

from appliance.wire.rtcp.packet import PAYLOAD_FEEDBACK, TRANSPORT_FEEDBACK, Packet, framed, ssrc_bytes

MAX_LOST = 1000
"""Sequence numbers that one NACK expands to; the rest is dropped, see :attr:`Nack.capped`."""


class Feedback(Packet, frozen=True, kw_only=True):
    """RFC 4585 section 6.1: what feedback messages share."""

    sender_ssrc: int
    media_ssrc: int


class Nack(Feedback, frozen=True, kw_only=True):
    """Generic NACK (RFC 4585 section 6.2.1)."""

    format: ClassVar[int] = 1
    lost: tuple[int, ...]
    """Sequence numbers in the packet's order, at most :data:`MAX_LOST`."""
    capped: bool = False
    """The packet asked for more."""

    def build(self) -> bytes:
        """Packed into as few (PID, BLP) words as the order allows."""
        words: list[bytes] = []
        pid: int | None = None
        mask = 0
        for number in self.lost:
            if pid is not None and 1 <= (number - pid & 0xFFFF) <= 16:
                mask |= 1 << (number - pid & 0xFFFF) - 1
                continue
            if pid is not None:
                words.append(struct.pack("!HH", pid, mask))
            pid, mask = number, 0
        if pid is not None:
            words.append(struct.pack("!HH", pid, mask))
        return _feedback(TRANSPORT_FEEDBACK, self.format, self, b"".join(words))


class TransportFeedback(Feedback, frozen=True, kw_only=True):
    """Transport-wide congestion control (draft-holmer-rmcat-transport-wide-cc-extensions-01), kept raw."""

    format: ClassVar[int] = 15
    control: bytes
    """The feedback control information, a multiple of 4 bytes."""

    def build(self) -> bytes:
        """As it was read."""
        return _feedback(TRANSPORT_FEEDBACK, self.format, self, self.control)


class Pli(Feedback, frozen=True, kw_only=True):
    """Picture Loss Indication (RFC 4585 section 6.3.1)."""

    format: ClassVar[int] = 1

    def build(self) -> bytes:
        """12 bytes."""
        return _feedback(PAYLOAD_FEEDBACK, self.format, self, b"")


class Fir(Feedback, frozen=True, kw_only=True):
    """Full Intra Request (RFC 5104 section 4.3.1)."""

    format: ClassVar[int] = 4
    entries: tuple[tuple[int, int], ...]
    """SSRC and request number 0..255 of each wanted key frame."""

    def build(self) -> bytes:
        """``media_ssrc`` is 0 by the RFC; the sources stand in the entries."""
        control = b"".join(struct.pack("!IB3x", ssrc, number) for ssrc, number in self.entries)
        return _feedback(PAYLOAD_FEEDBACK, self.format, self, control)


class Remb(Feedback, frozen=True, kw_only=True):
    """Receiver Estimated Maximum Bitrate."""

    format: ClassVar[int] = 15
    bitrate_bps: int
    ssrcs: tuple[int, ...]

    def build(self) -> bytes:
        """The bitrate keeps its 18 highest bits."""
        exponent = max(0, self.bitrate_bps.bit_length() - 18)
        mantissa = self.bitrate_bps >> exponent
        control = struct.pack(
            "!4sBBH", b"REMB", len(self.ssrcs), exponent << 2 | mantissa >> 16, mantissa & 0xFFFF
        ) + b"".join(map(ssrc_bytes, self.ssrcs))
        return _feedback(PAYLOAD_FEEDBACK, self.format, self, control)


def _feedback(packet_type: int, form: int, packet: Feedback, control: bytes) -> bytes:
    return framed(packet_type, form, struct.pack("!II", packet.sender_ssrc, packet.media_ssrc) + control)
