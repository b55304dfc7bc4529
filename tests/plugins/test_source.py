"""A plugin that makes media: one source, which everybody hears who attaches."""

from typing import Any

from msgspec import Struct

from appliance.core.events import SessionDescription
from appliance.core.peer import MediaSource, OfferLine, SourceLine
from appliance.core.plugin import Ack, HandleApi, Plugin, PluginHandle
from tests.core.fake_media import ANSWER, FakePeer
from tests.core.world import JsonObject, World

TONE = SourceLine(mid="0", kind="audio", codec="PCMU", clock_rate=8000, payload_type=0)


class RadioHandle(PluginHandle):
    """``listen`` is answered with an offer; the answer to that opens the route."""

    def __init__(self, api: HandleApi, radio: "Radio") -> None:
        super().__init__(api)
        self._radio = radio

    def message(self, body: dict[str, Any], jsep: SessionDescription | None, transaction: str) -> Ack:
        if self._radio.source is None:
            self._radio.source = self.api.source([TONE])
        source = self._radio.source
        if jsep is not None:
            assert self.api.peer is not None
            source.forward("0", self.api.peer, "a")
            return Ack()
        line = OfferLine(mid="a", kind="audio", source=source, source_mid="0")
        offer = self.api.offer([line])
        self.api.later(lambda: self.api.push_event({"radio": "offer"}, transaction=transaction, jsep=offer))
        return Ack()


class Radio(Plugin):
    """On the air until the server stops."""

    class Config(Struct, frozen=True):
        """Nothing to set."""

    package = "example.plugin.radio"
    name, description, version, version_string = "Radio", "Plays a tone.", 1, "1.0"

    def __init__(self) -> None:
        self.source: MediaSource | None = None

    def attach(self, api: HandleApi) -> RadioHandle:
        return RadioHandle(api, self)

    def tick(self, timestamp: int) -> None:
        """20 ms of it."""
        if self.source is not None:
            self.source.send("0", b"\x00\x80" * 80, timestamp=timestamp)

    def close(self) -> None:
        if self.source is not None:
            self.source.close()


def test_everybody_hears_one_source_until_the_plugin_closes_it() -> None:
    radio = Radio()
    world = World(plugins={Radio.package: radio})
    peers: list[FakePeer] = []
    for _ in range(2):
        session_id = world.session()
        attached = world.say("attach", session_id=session_id, plugin=Radio.package)
        ids: JsonObject = {"session_id": session_id, "handle_id": attached["data"]["id"]}
        world.say("message", **ids, body={})
        world.settle()
        (told,) = world.told()
        assert told["jsep"]["type"] == "offer"
        world.say("message", **ids, body={}, jsep={"type": "answer", "sdp": ANSWER})
        world.settle()
        peers.append(world.media.peer)
    (source,) = world.media.sources
    assert source.lines == (TONE,)
    for peer in peers:
        (lines,) = [call[1] for call in peer.calls if call[0] == "create_offer"]
        assert lines == (OfferLine(mid="a", kind="audio", source=source, source_mid="0"),)
    radio.tick(160)
    world.gateway.shutdown()
    radio.close()
    forward = ("forward", "0", "a")
    assert source.calls == [forward, forward, ("send", "0", b"\x00\x80" * 80, 160, False), ("close",)]
