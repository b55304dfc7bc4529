"""One RTP forwarder: a publisher's stream, sent on to an address in plain RTP or in SRTP, and its feedback taken."""

import secrets
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from appliance.media.shared_key import SharedKey
from appliance.plugins.videoroom.outlet import Outlet

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
    """Sends one stream on.

    :raises OSError: there is no way to the host.
    :raises ValueError: the key is none, see :class:`~appliance.media.shared_key.SharedKey`.
    """

    def __init__(self, target: Target, keyframe: Keyframe) -> None:
        self.stream_id = secrets.randbits(31) | 1
        self.target = target
        self.mid, self.kind, self.substream = target.mid, target.kind, target.substream
        self._keyframe = keyframe
        key = SharedKey(target.srtp_suite, target.srtp_crypto) if target.srtp_suite is not None else None
        self.outlet = Outlet(target.host, target.port, rtcp_port=target.rtcp_port, key=key, wanted=self._asked)

    def __call__(self, packet: memoryview) -> None:
        """Send one RTP packet on."""
        target = self.target
        copy = bytearray(packet)
        if target.payload_type is not None:
            copy[1] = copy[1] & 0x80 | target.payload_type
        if target.ssrc is not None:
            copy[8:12] = target.ssrc.to_bytes(4, "big")
        self.outlet.rtp(copy)

    def message(self, message: str | bytes) -> None:
        """Send a data message on."""
        self.outlet.raw(message.encode() if isinstance(message, str) else message)

    def _asked(self, _: list[int]) -> bool:
        # There is one stream, whatever the other side calls it.
        self._keyframe(self.mid)
        return True

    def as_told(self) -> dict[str, Any]:
        """How clients are told of it."""
        target = self.target
        told: dict[str, Any] = {
            "stream_id": self.stream_id,
            "type": self.kind,
            "host": target.host,
            "port": target.port,
        }
        if self.outlet.local_rtcp_port is not None:
            told |= {"local_rtcp_port": self.outlet.local_rtcp_port, "remote_rtcp_port": target.rtcp_port}
        if target.ssrc is not None:
            told["ssrc"] = target.ssrc
        if target.payload_type is not None:
            told["pt"] = target.payload_type
        if target.substream is not None:
            told["substream"] = target.substream
        return told | {"srtp": self.outlet.key is not None}

    def close(self) -> None:
        """Nothing goes out of it any more."""
        self.outlet.close()
