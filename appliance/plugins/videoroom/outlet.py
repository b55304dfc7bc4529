"""The way out to another server: one port for RTP or data, and one to take key frame requests from."""

from collections.abc import Callable, Iterable

from appliance.media.plain import Address, PlainSocket
from appliance.media.shared_key import SharedKey
from appliance.plugins.videoroom.multiplex import LATCH
from appliance.wire import rtcp

LATCH_EVERY = 500
"""Packets, after which the other side is told again where we take RTCP, as long as it has said nothing."""


class Outlet:
    """Sends to ``host``. Made on the event loop where there is an ``rtcp_port``.

    ``wanted`` is told the SSRCs that the other side wants key frames of, and says whether it knows any of them.

    :raises OSError: there is no way to the host.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        rtcp_port: int | None,
        key: SharedKey | None,
        wanted: Callable[[list[int]], bool],
    ) -> None:
        self.host, self.port, self.rtcp_port = host, port, rtcp_port
        self.key = key
        self.sent = 0
        self.lost = 0
        """Datagrams that could not be sent."""
        self.requests = 0
        """For key frames, that came back."""
        self.ignored = 0
        """Datagrams that came back and were none."""
        self._wanted = wanted
        self._rtcp: PlainSocket | None = None
        self._out = PlainSocket(None, remote=(host, port))
        if rtcp_port is not None:
            try:
                self._rtcp = PlainSocket(self._feedback, remote=(host, rtcp_port))
            except OSError:
                self._out.close()
                raise
            self._latch()
            self._latch()

    @property
    def local_rtcp_port(self) -> int | None:
        """Where key frame requests are taken; ``None``: nowhere."""
        return None if self._rtcp is None else self._rtcp.address[1]

    def rtp(self, packet: bytes | bytearray) -> None:
        """Send an RTP packet, encrypted where there is a key."""
        self.raw(packet if self.key is None else self.key.protect(packet))
        if self._rtcp is not None and not self.requests and self.sent % LATCH_EVERY == 0:
            self._latch()

    def raw(self, data: bytes | bytearray | None) -> None:
        """Send a datagram as it is; none is one that could not be encrypted."""
        if data is not None and self._out.send(bytes(data)):
            self.sent += 1
        else:
            self.lost += 1

    def close(self) -> None:
        """Nothing goes out of it any more."""
        self._out.close()
        if self._rtcp is not None:
            self._rtcp.close()

    def _latch(self) -> None:
        if self._rtcp is not None:
            self._rtcp.send(LATCH)

    def _feedback(self, data: bytes, _: Address) -> None:
        # A Janus asks in plain even where media are encrypted. It is the host's own address that asks, which the
        # kernel sees to, and all that it can ask for is a key frame, now and then.
        plain = None if self.key is None else self.key.unprotect_rtcp(data)
        ssrcs = list(_wants_keyframes(data if plain is None else plain))
        if ssrcs and self._wanted(ssrcs):
            self.requests += 1
        else:
            self.ignored += 1


def _wants_keyframes(data: bytes) -> Iterable[int]:
    try:
        packets = rtcp.parse_compound(data)
    except rtcp.RtcpDecodeError:
        return
    for packet in packets:
        if isinstance(packet, rtcp.Pli):
            yield packet.media_ssrc
        elif isinstance(packet, rtcp.Fir):
            yield from (ssrc for ssrc, _ in packet.entries)
