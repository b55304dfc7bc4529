"""The m-lines of a PeerConnection, and what a plugin asks of them: routes, layers, listeners."""

import random
from typing import cast

from appliance.core.peer import LayerListener, Layers, Listener, Medium, PeerConnection
from appliance.media.clocks import SenderClock
from appliance.media.line import Line
from appliance.media.negotiation import NegotiatedLine
from appliance.media.path import MediaPath
from appliance.media.playout import PlayoutDelay
from appliance.media.send import TxStream, extension_table


class MediaLines:
    """The half of :class:`appliance.core.peer.PeerConnection` that is about media, for the peer to inherit.

    ``history_bytes`` is what each stream that we send keeps to answer NACKs.
    """

    def __init__(self, path: MediaPath, *, history_bytes: int) -> None:
        self.media: tuple[Medium, ...] = ()
        self.lines: list[Line] = []
        self.path = path
        self._history_bytes = history_bytes
        self._sender_clock = SenderClock()

    def line(self, mid: str) -> Line | None:
        """The m-line with that mid; ``None`` where there is none."""
        for line in self.lines:
            if line.medium.mid == mid:
                return line
        return None

    def _apply(self, negotiated: tuple[NegotiatedLine, ...], *, agreed: bool = True) -> None:
        """Make the m-lines what was negotiated; not ``agreed`` while it is only an offer of ours."""
        known = {line.medium.mid: line for line in self.lines}
        lines: list[Line] = []
        for item in negotiated:
            line = known.get(item.medium.mid)
            if line is None:
                ssrc, rtx_ssrc = random.sample(range(1, 1 << 32), 2)
                line = Line(item.medium, ssrc, self.path, self._sender_clock, rtx_ssrc=rtx_ssrc)
                line.agreed = agreed
            # A line that the client knows stays as it knows it, unless it is to carry something else.
            changes = line.codec != item.codec or line.medium.direction != item.medium.direction
            line.agreed = agreed or (line.agreed and not changes)
            line.medium = item.medium
            line.remote_msid = item.offered.msid
            if item.codec is not None:
                line.adopt(
                    item.codec,
                    feedback=item.feedback,
                    extensions={extension.uri: extension.id for extension in item.extensions},
                    remote_ssrcs=item.remote_ssrcs,
                    rtx_payload_type=-1 if item.rtx is None else item.rtx.payload_type,
                    remote_repairs=item.remote_repairs,
                    encodings=item.encodings,
                )
                sends = item.medium.direction in {"sendrecv", "sendonly"}
                if sends and line.tx is None:
                    line.tx = TxStream(self.path, line, history_bytes=self._history_bytes)
            if line.tx is not None and item.medium.direction not in {"sendrecv", "sendonly"}:
                line.tx.unroute()
            lines.append(line)
        self.lines = lines
        self.media = tuple(item.medium for item in negotiated)
        self.path.set_lines(lines)

    def forward(self, mid: str, to: PeerConnection, to_mid: str) -> None:
        """Route what comes on ``mid`` to ``to_mid`` of ``to``."""
        target = cast(MediaLines, to)
        source, sink = self.line(mid), target.line(to_mid)
        if source is None or sink is None or sink.tx is None or source.medium.codec != sink.medium.codec:
            return
        tx = sink.tx
        tx.extension_table = extension_table(source.extensions, sink.extensions)
        tx.turn_to(source)

    def unforward(self, mid: str) -> None:
        """End the route to our own ``mid``."""
        line = self.line(mid)
        if line is not None and line.tx is not None:
            line.tx.unroute()

    def set_sending(self, mid: str, *, active: bool) -> None:
        """Let a route's packets out, or hold them back."""
        line = self.line(mid)
        if line is None or line.tx is None or line.tx.held is not active:
            return
        if active:
            line.tx.resume()
            if line.medium.kind == "video":
                line.tx.request_keyframe()
        else:
            line.tx.hold()

    def set_layers(
        self,
        mid: str,
        *,
        substream: int | None = None,
        temporal: int | None = None,
        spatial: int | None = None,
        fallback_us: int | None = None,
        told: LayerListener | None = None,
    ) -> None:
        """What the client is to get on ``mid``, where its source sends simulcast or layers."""
        line = self.line(mid)
        if line is None or line.tx is None or line.medium.kind != "video":
            return
        selection = line.tx.select()
        fallback = None if fallback_us is None else fallback_us / 1_000_000
        selection.want(substream=substream, temporal=temporal, fallback=fallback, spatial=spatial)
        selection.told = told or selection.told
        if line.tx.fed_by is not None:
            # What went past the selection may have to go through it now.
            line.tx.fed_by.add_sink(line.tx)

    def set_playout_delay(self, mid: str, delay_ms: tuple[int, int] | None) -> None:
        """How long the client is told to hold ``mid`` before it plays it."""
        line = self.line(mid)
        if line is not None and line.tx is not None:
            line.tx.playout = None if delay_ms is None else PlayoutDelay(*delay_ms)

    def layers(self, mid: str) -> Layers | None:
        """What the client gets on ``mid``; ``None`` where there is nothing to choose from."""
        line = self.line(mid)
        tx = None if line is None else line.tx
        if tx is None or tx.selection is None or tx.fed_by is None or not tx.selection.chooses(tx.fed_by):
            return None
        return tx.selection.layers

    def listen(self, mid: str, listener: Listener | None, *, substream: int | None = None) -> None:
        """Show what the client sends on ``mid``, or one encoding of it, to ``listener``; ``None`` ends it."""
        line = self.line(mid)
        if line is not None:
            line.listen(listener, substream)

    def request_keyframe(self, mid: str) -> None:
        """PLI towards the client, throttled."""
        line = self.line(mid)
        if line is not None and self.path.ready:
            self.path.request_keyframe(line)
