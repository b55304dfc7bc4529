"""One RTP forwarder: a publisher's stream, sent on to an address in plain RTP or in SRTP, and its feedback taken."""

import secrets
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from appliance.media.plain import Address, PlainSocket
from appliance.media.shared_key import SharedKey
from appliance.wire import rtcp

LATCH = b"\x80" + bytes(11)
"""An empty RTP packet, which tells a receiver of RTCP where we are, as Janus does it."""
LATCH_EVERY = 500
"""Packets, after which it is told again as long as it has said nothing."""

Keyframe = Callable[[str], None]


class Target(Struct, frozen=True, kw_only=True):
    """What is to be forwarded, and where to."""

    mid: str
    kind: str
    """audio, video or data; data go out as they are, one message a datagram."""
    host: str
    port: int
    ssrc: int | None = None
    """In place of the sender's own."""
    payload_type: int | None = None
    substream: int | None = None
    """One encoding of simulcast; ``None``: what there is, of simulcast the best as one stream."""
    rtcp_port: int | None = None
    """Where ``host`` takes a latch, and sends key frame requests from."""
    srtp_suite: int | None = None
    srtp_crypto: str = ""


class Forwarder:
    """Sends one stream on; made on the event loop.

    :raises OSError: there is no way to the host.
    :raises ValueError: the key is none, see :class:`~appliance.media.shared_key.SharedKey`.
    """

    def __init__(self, target: Target, keyframe: Keyframe) -> None:
        self.stream_id = secrets.randbits(31) | 1
        self.target = target
        self.mid, self.kind, self.substream = target.mid, target.kind, target.substream
        self.sent = 0
        self.lost = 0
        """Datagrams that could not be sent."""
        self.requests = 0
        """For key frames, that came back."""
        self.ignored = 0
        """Datagrams that came back and were none, or forged."""
        self._key = SharedKey(target.srtp_suite, target.srtp_crypto) if target.srtp_suite is not None else None
        self._keyframe = keyframe
        self._rtcp: PlainSocket | None = None
        self._out = PlainSocket(None, remote=(target.host, target.port))
        if target.rtcp_port is not None:
            try:
                self._rtcp = PlainSocket(self._feedback, remote=(target.host, target.rtcp_port))
            except OSError:
                self._out.close()
                raise
            self._latch()
            self._latch()

    def __call__(self, packet: memoryview) -> None:
        """Send one RTP packet on."""
        target = self.target
        copy = bytearray(packet)
        if target.payload_type is not None:
            copy[1] = copy[1] & 0x80 | target.payload_type
        if target.ssrc is not None:
            copy[8:12] = target.ssrc.to_bytes(4, "big")
        self._send(copy if self._key is None else self._key.protect(copy))
        if self._rtcp is not None and not self.requests and self.sent % LATCH_EVERY == 0:
            self._latch()

    def message(self, message: str | bytes) -> None:
        """Send a data message on."""
        self._send(message.encode() if isinstance(message, str) else message)

    def _send(self, data: bytes | bytearray | None) -> None:
        if data is not None and self._out.send(bytes(data)):
            self.sent += 1
        else:
            self.lost += 1

    def _latch(self) -> None:
        if self._rtcp is not None:
            self._rtcp.send(LATCH)

    def _feedback(self, data: bytes, _: Address) -> None:
        plain = data if self._key is None else self._key.unprotect_rtcp(data)
        if not _wants_keyframe(plain):
            self.ignored += 1
            return
        self.requests += 1
        self._keyframe(self.mid)

    def as_told(self) -> dict[str, Any]:
        """How clients are told of it."""
        target = self.target
        told: dict[str, Any] = {
            "stream_id": self.stream_id,
            "type": self.kind,
            "host": target.host,
            "port": target.port,
        }
        if self._rtcp is not None:
            told |= {"local_rtcp_port": self._rtcp.address[1], "remote_rtcp_port": target.rtcp_port}
        if target.ssrc is not None:
            told["ssrc"] = target.ssrc
        if target.payload_type is not None:
            told["pt"] = target.payload_type
        if target.substream is not None:
            told["substream"] = target.substream
        return told | {"srtp": self._key is not None}

    def close(self) -> None:
        """Nothing goes out of it any more."""
        self._out.close()
        if self._rtcp is not None:
            self._rtcp.close()


def _wants_keyframe(data: bytes | None) -> bool:
    if data is None:
        return False
    try:
        packets = rtcp.parse_compound(data)
    except rtcp.RtcpDecodeError:
        return False
    return any(isinstance(one, rtcp.Pli | rtcp.Fir) for one in packets)
