"""A client attached to a plugin, and the PeerConnection between the two.

The handle is where everything about a call meets: the client's requests, the plugin's answers and the engine's facts.
It turns each into events for the bus and notifications for the client, as Janus does.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from appliance.core import events
from appliance.core.call_facts import CallFacts
from appliance.core.context import Context
from appliance.core.errors import ErrorCode, JanusError
from appliance.core.events import Body, SessionDescription
from appliance.core.line import Line
from appliance.core.messages import MESSAGE, RemoteJsep, check, media_state, read_jsep, read_trickle, reply
from appliance.core.packet_watch import PacketWatch
from appliance.core.peer import AnswerPolicy, MediaSource, OfferLine, PeerConnection, SdpRefusedError, SourceLine
from appliance.core.plugin import Plugin, PluginError, Success
from appliance.core.trickle import EarlyCandidates, add_candidate, take_candidates

logger = logging.getLogger(__name__)

Push = Callable[[dict[str, Any]], None]


class Handle:
    """Implements :class:`appliance.core.plugin.HandleApi`. ``push`` sends the session's client a message."""

    def __init__(
        self, context: Context, session_id: int, handle_id: int, plugin: Plugin, opaque_id: str | None, push: Push
    ) -> None:
        self.session_id = session_id
        self.handle_id = handle_id
        self.opaque_id = opaque_id
        self.plugin = plugin
        self.line: Line | None = None
        self.created_us = context.clock.wall_us()
        """Wall clock."""
        self.facts = CallFacts(context.clock)
        self.packets = PacketWatch(lambda: self.facts.pair)
        """Where they are written, while somebody asked for that."""
        self._context = context
        self._send = push
        self._ended = False
        self._was_ready = False
        self._answer_due = False
        self._offered = False
        """The client owes an answer."""
        self._offering = False
        self.e2ee = False
        self._early = EarlyCandidates(context)
        if context.recorder is not None:
            self.packets.set_record(context.recorder.attached(session_id, handle_id))
        self._plugin_handle = plugin.attach(self)
        self._emit(events.Handle(name="attached", plugin=plugin.package, opaque_id=opaque_id))

    # --- requests ---------------------------------------------------------------------------------------------

    def message(self, message: dict[str, Any], transaction: str) -> dict[str, Any]:
        """Serve ``message``: read a description, then ask the plugin. :raises JanusError: it is refused."""
        check(MESSAGE, message)
        description: SessionDescription | None = None
        if "jsep" in message:
            description = self._describe(read_jsep(message["jsep"], self._context.config.max_sdp_bytes))
        try:
            result = self._plugin_handle.message(message["body"], description, transaction)
        except PluginError as refusal:
            data = {self.plugin.package.rpartition(".")[2]: "event"}
            return self._plugin_reply(transaction, data | {"error_code": refusal.code, "error": refusal.reason})
        except Exception:
            logger.exception("plugin %s failed on a message", self.plugin.package)
            raise JanusError(ErrorCode.PLUGIN_MESSAGE, "Plugin didn't give a result") from None
        if isinstance(result, Success):
            return self._plugin_reply(transaction, result.data)
        hint = {} if result.hint is None else {"hint": result.hint}
        return reply("ack", session_id=self.session_id, transaction=transaction, **hint)

    def _plugin_reply(self, transaction: str, data: dict[str, Any]) -> dict[str, Any]:
        return reply(
            "success",
            session_id=self.session_id,
            transaction=transaction,
            **self._sender(),
            plugindata={"plugin": self.plugin.package, "data": data},
        )

    def _describe(self, jsep: RemoteJsep) -> SessionDescription:
        description = SessionDescription(jsep.type, jsep.sdp)
        if self.line is not None and self.line.closing:
            raise JanusError(ErrorCode.WEBRTC_STATE, "Still cleaning a previous session")
        if jsep.type == "answer":
            self._take_answer(jsep, description)
            return description
        peer = self.peer
        line = self.line
        if peer is None:
            line = Line(self)
            peer = line.peer = self._context.media.open(line)
        try:
            peer.set_remote_offer(jsep.sdp, lowest_rid_first=jsep.rid_order == "lmh", svc=jsep.svc)
        except SdpRefusedError as error:
            if line is not None and line is not self.line:
                line.close()
            raise JanusError(ErrorCode.JSEP_INVALID_SDP, str(error)) from None
        if line is not self.line:
            assert line is not None
            self._begin(line, peer)
        # An offer of ours that crosses the client's is given up.
        self._answer_due, self._offered = True, False
        self._described(peer, jsep, description)
        return description

    def _take_answer(self, jsep: RemoteJsep, description: SessionDescription) -> None:
        peer = self.peer
        if peer is None or not self._offered:
            # Janus tells its event handlers before it looks whether it had offered.
            self._emit(events.Jsep(owner="remote", jsep=description))
            raise JanusError(ErrorCode.UNEXPECTED_ANSWER, "Unexpected ANSWER (did we offer?)")
        try:
            peer.set_remote_answer(jsep.sdp)
        except SdpRefusedError as error:
            raise JanusError(ErrorCode.JSEP_INVALID_SDP, str(error)) from None
        self._offered = False
        self._described(peer, jsep, description)

    def _begin(self, line: Line, peer: PeerConnection) -> None:
        """This PeerConnection is the handle's from now on."""
        self.line, self._was_ready = line, False
        self.facts = CallFacts(self._context.clock, after=self.facts if self.facts.sdps else None)
        self.packets.follow(peer)

    def _described(self, peer: PeerConnection, jsep: RemoteJsep, description: SessionDescription) -> None:
        """A remote description was taken: tell of it, and let ICE begin."""
        self.facts.described("remote", jsep.type, jsep.sdp, trickle=jsep.trickle)
        self.e2ee = jsep.e2ee or self.e2ee
        self._emit(events.Jsep(owner="remote", jsep=description))
        peer.gather(trickle=jsep.trickle)
        for item in self._early.take():
            with suppress(JanusError):
                add_candidate(peer, item)

    def trickle(self, message: dict[str, Any]) -> None:
        """Take candidates, or keep them for the description that is to come. :raises JanusError: it is refused."""
        candidates, several = read_trickle(message)
        if self.line is not None and self.line.closing:
            raise JanusError(ErrorCode.WEBRTC_STATE, "Still cleaning a previous session")
        if self.peer is None:
            self._early.keep(candidates)
            return
        for item in candidates:
            try:
                add_candidate(self.peer, item)
            except JanusError:
                if not several:
                    raise

    def hangup(self, reason: str) -> None:
        """End the PeerConnection, if there is one, for the reason that the client will see."""
        if self.line is not None and not self.line.closing:
            peer = self.line.peer
            self.line.closing = True
            assert peer is not None
            peer.close(reason)

    def release(self, *, tell: bool) -> None:
        """The handle ends: with its session, or because it was asked to. ``tell``: notify the client."""
        if self._ended:
            return
        self._ended = True
        had_peer = self.line is not None
        if self.line is not None:
            self.line.close()
        self.line = None
        self._early.clear()
        self.packets.close()
        if had_peer:
            self.ask_plugin("hangup_media", "Detach")
        self.ask_plugin("detached")
        self._emit(events.Handle(name="detached", plugin=self.plugin.package, opaque_id=self.opaque_id))
        if tell:
            self._push(reply("detached", session_id=self.session_id, **self._sender()))
        if self._context.recorder is not None:
            self._context.recorder.detached(self.session_id, self.handle_id)
        # It knows us, and nobody asks it any more: memory returns now, and not when Python next looks for circles.
        del self._plugin_handle

    # --- what the engine tells --------------------------------------------------------------------------------

    def fact(self, body: Body) -> None:
        """Publish it, and tell plugin and client what concerns them."""
        self._emit(body)
        self.facts.fact(body)
        match body:
            case events.Connection(connection="webrtcup"):
                self._notify("webrtcup")
                self.ask_plugin("setup_media")
            case events.Connection(connection="hangup"):
                reason = body.reason or "Close PC"
                if self.line is not None:
                    self.line.peer = None
                self.packets.follow(None)
                self.line, self._answer_due, self._offered = None, False, False
                self.facts = CallFacts(self._context.clock, after=self.facts)
                # The plugin's last event comes before the core's.
                self.ask_plugin("hangup_media", reason)
                self._notify("hangup", reason=reason)
            case events.MediaState():
                self._notify("media", **media_state(body))
            case events.SlowLink():
                self._slow_link(body)
            case events.IceState(ice="connected" | "ready"):
                self._was_ready = True
            case events.IceState(ice="failed") if self._was_ready:
                self._notify("ice-failed")
            case events.LocalCandidate() if not self._answer_due and not self._offering:
                # Later than the description, so it can't be in it.
                text = body.candidate if body.candidate.startswith("candidate:") else f"candidate:{body.candidate}"
                self._tell_candidate(text)
            case _:
                pass

    def _slow_link(self, body: events.SlowLink) -> None:
        uplink, lost = body.slow_link == "uplink", body.lost_lastsec or 0
        mid, media = body.mid or "", body.media or ""
        self._notify("slowlink", mid=mid, media=media, uplink=uplink, lost=lost)
        try:
            self._plugin_handle.slow_link(mid, media, uplink=uplink, lost=lost)
        except Exception:
            logger.exception("plugin %s failed in slow_link", self.plugin.package)

    def _tell_candidate(self, text: str) -> None:
        self._notify("trickle", candidate={"sdpMid": self._bundle_mid(), "sdpMLineIndex": 0, "candidate": text})

    def _bundle_mid(self) -> str:
        media = self.peer.media if self.peer is not None else ()
        return next((medium.mid for medium in media if not medium.rejected), "0")

    # --- what the plugin may ask (HandleApi) ------------------------------------------------------------------

    @property
    def peer(self) -> PeerConnection | None:
        """The PeerConnection; ``None`` before the first description and once it hangs up."""
        return None if self.line is None or self.line.closing else self.line.peer

    def answer(self, policy: AnswerPolicy) -> SessionDescription:
        """Answer the offer that came last. :raises PluginError: there is none to answer."""
        peer = self.peer
        if peer is None or not self._answer_due:
            raise PluginError(int(ErrorCode.WEBRTC_STATE), "No offer to answer")
        sdp = peer.create_answer(policy)
        self._answer_due = False
        self.facts.described("local", "answer", sdp)
        return SessionDescription("answer", sdp)

    def source(self, lines: Sequence[SourceLine], keyframe: Callable[[str], None] | None = None) -> MediaSource:
        """Media of the plugin's own. :raises ValueError: these can't be."""
        return self._context.media.source(lines, keyframe)

    def offer(self, lines: Sequence[OfferLine], *, ice_restart: bool = False) -> SessionDescription:
        """Make an offer; there is a PeerConnection from then on. :raises PluginError: not now, or not these lines."""
        if self._answer_due or self._offered or (self.line is not None and self.line.closing):
            raise PluginError(int(ErrorCode.WEBRTC_STATE), "Another description is being negotiated")
        peer, line = self.peer, self.line
        if peer is None:
            line = Line(self)
            peer = line.peer = self._context.media.open(line)
        assert line is not None
        is_first = line is not self.line
        if is_first:
            self._begin(line, peer)
        self._offering = True
        try:
            sdp = peer.create_offer(lines, ice_restart=ice_restart)
        except SdpRefusedError as error:
            if is_first:
                self.line = None
                line.close()
            raise PluginError(int(ErrorCode.JSEP_INVALID_SDP), str(error)) from None
        finally:
            self._offering = False
        self._offered = True
        self.facts.described("local", "offer", sdp)
        return SessionDescription("offer", sdp)

    def push_event(
        self, data: dict[str, Any], *, transaction: str | None = None, jsep: SessionDescription | None = None
    ) -> None:
        """Send the client an event; a description that goes with it is published."""
        if self._ended:
            return
        rest: dict[str, Any] = {"plugindata": {"plugin": self.plugin.package, "data": data}}
        trickled: list[str] | None = None
        if jsep is not None:
            if self._context.config.full_trickle and self.facts.trickles:
                jsep, trickled = take_candidates(jsep)
            self._emit(events.Jsep(owner="local", jsep=jsep))
            rest["jsep"] = {"type": jsep.type, "sdp": jsep.sdp} | ({"e2ee": True} if self.e2ee else {})
        message = reply("event", session_id=self.session_id, transaction=transaction, **self._sender(), **rest)
        self._push(message)
        if trickled is not None:
            for text in trickled:
                self._tell_candidate(text)
            self._notify("trickle", candidate={"completed": True})

    def notify(self, data: dict[str, Any], *, with_handle: bool = True) -> None:
        """Publish a plugin event, with this handle's ids or without any; the latter also when the handle is gone."""
        body = events.Plugin(plugin=self.plugin.package, data=data)
        if not with_handle:
            self._context.emit(body)
        elif not self._ended:
            self._emit(body)

    def close_peer(self) -> None:
        """Hang up of the plugin's own accord."""
        self.hangup("Close PC")

    def later(self, action: Callable[[], object]) -> None:
        """Run ``action`` once the reply to the request at hand is on its way, unless the handle ends before."""

        def run() -> None:
            if self._ended:
                return
            try:
                action()
            except Exception:
                logger.exception("plugin %s failed", self.plugin.package)

        self._context.defer(run)

    # --- what the Admin API asks ------------------------------------------------------------------------------

    @property
    def early_candidates(self) -> int:
        """Candidates that wait for their description."""
        return len(self._early)

    def flags(self) -> dict[str, bool]:
        """``flags`` of ``handle_info``."""
        cleaning = self.line is not None and self.line.closing
        media = () if self.peer is None else self.peer.media
        return self.facts.flags(media, answer_due=self._answer_due, cleaning=cleaning, e2ee=self.e2ee)

    # --- helpers ----------------------------------------------------------------------------------------------

    def query(self) -> dict[str, Any]:
        """``plugin_specific`` of the Admin API's ``handle_info``."""
        return self._plugin_handle.query()

    def ask_plugin(self, hook: str, *arguments: Any) -> None:
        """Call a hook of the plugin, whose failures are its own."""
        try:
            getattr(self._plugin_handle, hook)(*arguments)
        except Exception:
            logger.exception("plugin %s failed in %s", self.plugin.package, hook)

    def _sender(self) -> dict[str, Any]:
        if self._context.config.opaqueid_in_api and self.opaque_id is not None:
            return {"sender": self.handle_id, "opaque_id": self.opaque_id}
        return {"sender": self.handle_id}

    def _notify(self, janus: str, **rest: Any) -> None:
        # Janus is silent about a handle that is being torn down.
        if not self._ended:
            self._push(reply(janus, session_id=self.session_id, **self._sender(), **rest))

    def _push(self, message: dict[str, Any]) -> None:
        if self.packets.record is not None:
            self.packets.record.message(message, incoming=False)
        self._send(message)

    def _emit(self, body: Body) -> None:
        self._context.emit(body, self.session_id, self.handle_id, self.opaque_id)
