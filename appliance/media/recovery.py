"""What a peer is asked for when packets miss: the packets again, and key frames where that has no use."""

from collections.abc import Callable

from appliance.core.clock import Clock, Timer
from appliance.media.line import Line
from appliance.media.receive import RxStream
from appliance.wire import rtcp

_FIRST_NACK_SECONDS = 0.005
"""Long enough for a reordered packet to come, short against a round trip."""
_NACK_TICK_SECONDS = 0.025


class Recovery:
    """Of one path. ``streams`` is the path's own table."""

    def __init__(
        self,
        clock: Clock,
        streams: dict[int, RxStream],
        send: Callable[[list[rtcp.Packet]], bool],
        rtcp_ssrc: int,
    ) -> None:
        self._clock = clock
        self._streams = streams
        self._send = send
        self._rtcp_ssrc = rtcp_ssrc
        self._timer: Timer | None = None

    def mind_losses(self) -> None:
        """A stream misses packets: ask for them shortly."""
        if self._timer is None:
            self._timer = self._clock.call_later(_FIRST_NACK_SECONDS, self._ask_again)

    def _ask_again(self) -> None:
        """Send the NACKs that are due, and a key frame request where asking again has no use."""
        self._timer = None
        now = self._clock.monotonic()
        packets: list[rtcp.Packet] = []
        waiting = False
        for stream in self._streams.values():
            if stream.missing:
                due = stream.to_ask(now, stream.line.rtt)
                if due:
                    stream.nacks_sent += len(due)
                    packets.append(rtcp.Nack(sender_ssrc=self._rtcp_ssrc, media_ssrc=stream.ssrc, lost=tuple(due)))
                waiting = waiting or bool(stream.missing)
            if stream.needs_keyframe:
                stream.needs_keyframe = False
                if stream.line.medium.kind == "video":
                    self.request_keyframe(stream.line, stream)
        if packets:
            self._send(packets)
        if waiting:
            self._timer = self._clock.call_later(_NACK_TICK_SECONDS, self._ask_again)

    def request_keyframe(self, line: Line, stream: RxStream | None = None) -> None:
        """Ask a stream of a line, or the one heard last, for a key frame.

        At most each 500 ms; a request that comes too early is put off.
        """
        stream = line.latest() if stream is None else stream
        if stream is None or not (line.plis or line.firs) or stream.keyframes.pending is not None:
            return
        throttle = stream.keyframes
        wait = throttle.wait(self._clock.monotonic())
        if wait:
            throttle.pending = self._clock.call_later(wait, lambda: self._request_put_off(stream))
            return
        if line.plis:
            line.plis_sent += 1
            self._send([rtcp.Pli(sender_ssrc=self._rtcp_ssrc, media_ssrc=stream.ssrc)])
        else:
            line.firs_sent += 1
            line.fir_number = (line.fir_number + 1) & 0xFF
            entries = ((stream.ssrc, line.fir_number),)
            self._send([rtcp.Fir(sender_ssrc=self._rtcp_ssrc, media_ssrc=0, entries=entries)])

    def _request_put_off(self, stream: RxStream) -> None:
        stream.keyframes.pending = None
        self.request_keyframe(stream.line, stream)

    def close(self) -> None:
        """Ask for nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def let_go(self) -> None:
        """Know nobody any more: nothing happens after :meth:`close`."""
        self._send = _nowhere


def _nowhere(packets: list[rtcp.Packet]) -> bool:
    """Where requests go after the end."""
    return False
