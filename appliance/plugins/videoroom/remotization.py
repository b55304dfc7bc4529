"""One publisher made known at another server: all its streams through one port (see :mod:`.multiplex`)."""

from collections.abc import Callable, Sequence
from typing import Any

from appliance.media.shared_key import SharedKey
from appliance.plugins.videoroom.ears import Ears, Heard
from appliance.plugins.videoroom.multiplex import BINARY, TEXT, place_of, ssrc_of
from appliance.plugins.videoroom.outlet import Outlet
from appliance.plugins.videoroom.streams import PublishedStream
from appliance.wire.rtp import RtpHeader

MAX_MESSAGE_BYTES = 1400
"""Of a data message, which has to fit a datagram."""
MAX_SUBSTREAMS = 3


class Remotization:
    """Sends what a publisher's ears hear; made on the event loop where there is an ``rtcp_port``.

    :raises OSError: there is no way to the host.
    """

    def __init__(
        self,
        ears: Ears,
        keyframe: Callable[[str], None],
        host: str,
        port: int,
        *,
        rtcp_port: int | None = None,
        key: SharedKey | None = None,
    ) -> None:
        self._ears = ears
        self._keyframe = keyframe
        self._heard: dict[Heard, _Hearer] = {}
        self._data: PublishedStream | None = None
        self._messages = 0
        self.outlet = Outlet(host, port, rtcp_port=rtcp_port, key=key, wanted=self._asked)

    def follow(self, streams: Sequence[PublishedStream]) -> None:
        """Send these from now on, and no others."""
        wanted: dict[Heard, _Hearer] = {}
        for stream in streams:
            if stream.kind == "data" or stream.disabled:
                continue
            layers = range(MAX_SUBSTREAMS) if stream.flags.get("simulcast") else (None,)
            for layer in layers:
                wanted[stream.mid, layer] = _Hearer(self.outlet, stream, ssrc_of(stream.mindex, layer or 0))
        self._data = next((one for one in streams if one.kind == "data" and not one.disabled), None)
        for (mid, layer), hearer in list(self._heard.items()):
            if not hearer.same_as(wanted.get((mid, layer))):
                self._ears.remove(mid, hearer, layer)
                del self._heard[mid, layer]
        for (mid, layer), hearer in wanted.items():
            if (mid, layer) not in self._heard:
                self._heard[mid, layer] = hearer
                self._ears.add(mid, hearer, layer)
                if hearer.stream.kind == "video":
                    self._keyframe(mid)

    def message(self, message: str | bytes) -> None:
        """Send a data message, as far as it fits."""
        data = message.encode() if isinstance(message, str) else message
        if self._data is None or len(data) > MAX_MESSAGE_BYTES:
            self.outlet.lost += 1
            return
        header = RtpHeader(
            payload_type=TEXT if isinstance(message, str) else BINARY,
            sequence_number=self._messages & 0xFFFF,
            timestamp=0,
            ssrc=ssrc_of(self._data.mindex),
        )
        self._messages += 1
        self.outlet.rtp(header.build() + data)

    def _asked(self, ssrcs: list[int]) -> bool:
        places = [place_of(ssrc) for ssrc in ssrcs]
        mindexes = {place[0] for place in places if place is not None}
        mids = {one.stream.mid for one in self._heard.values() if one.stream.mindex in mindexes}
        for mid in mids:
            self._keyframe(mid)
        return bool(mids)

    def as_told(self) -> dict[str, Any]:
        """How clients are told of it."""
        told: dict[str, Any] = {"host": self.outlet.host, "port": self.outlet.port}
        if self.outlet.rtcp_port is not None:
            told["rtcp_port"] = self.outlet.rtcp_port
        return told | {"srtp": self.outlet.key is not None}

    def close(self) -> None:
        """Nothing goes out of it any more."""
        self.follow(())
        self.outlet.close()


class _Hearer:
    """Of one encoding of one stream."""

    def __init__(self, outlet: Outlet, stream: PublishedStream, ssrc: int) -> None:
        self.stream = stream
        self._outlet = outlet
        self._ssrc = ssrc.to_bytes(4, "big")

    def same_as(self, other: "_Hearer | None") -> bool:
        """Of the same stream under the same number: it goes on."""
        return other is not None and self.stream is other.stream and self._ssrc == other._ssrc

    def __call__(self, packet: memoryview) -> None:
        if self.stream.relayed:
            copy = bytearray(packet)
            copy[8:12] = self._ssrc
            self._outlet.rtp(copy)
