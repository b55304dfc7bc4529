"""Half and full trickle: our candidates in the description, or one by one after it."""

from typing import Any

import pytest

from appliance.core import events
from appliance.core.events import SessionDescription
from appliance.core.gateway import GatewayConfig
from appliance.core.trickle import take_candidates
from tests.core import fake_media
from tests.core.fake_media import OFFER
from tests.core.world import JsonObject, World

ONE = "candidate:1 1 udp 2015363327 192.0.2.1 10000 typ host"
TWO = "candidate:2 1 udp 2015363071 2001:db8::1 10000 typ host"
PART = f"a=mid:0\r\na={ONE}\r\na={TWO}\r\na=end-of-candidates\r\n"
ANSWER = f"v=0\r\nm=audio 9 X 0\r\n{PART}m=video 9 X 96\r\n{PART}"
BARE = "v=0\r\nm=audio 9 X 0\r\na=mid:0\r\nm=video 9 X 96\r\na=mid:0\r\n"


def answered(monkeypatch: pytest.MonkeyPatch, config: GatewayConfig, **jsep: Any) -> tuple[World, list[JsonObject]]:
    monkeypatch.setattr(fake_media, "ANSWER", ANSWER)
    world = World(config)
    session_id = world.session()
    ids: Any = {"session_id": session_id, "handle_id": world.handle(session_id, opaque_id="o")}
    world.say("message", **ids, body={"audio": True}, jsep={"type": "offer", "sdp": OFFER} | jsep)
    world.settle()
    return world, [message for message in world.told() if message["janus"] in {"event", "trickle"}]


def test_candidates_are_taken_out_once_each() -> None:
    assert take_candidates(SessionDescription("answer", ANSWER)) == (SessionDescription("answer", BARE), [ONE, TWO])


def test_full_trickle(monkeypatch: pytest.MonkeyPatch) -> None:
    world, told = answered(monkeypatch, GatewayConfig(full_trickle=True, opaqueid_in_api=True))
    assert world.say("info")["full-trickle"] is True
    assert told[0]["jsep"] == {"type": "answer", "sdp": BARE}
    place = {"sdpMid": "0", "sdpMLineIndex": 0}
    wanted = [place | {"candidate": ONE}, place | {"candidate": TWO}, {"completed": True}]
    assert [message["candidate"] for message in told[1:]] == wanted
    assert list(told[1]) == ["janus", "session_id", "sender", "opaque_id", "candidate"]
    local = next(body for body in world.bodies() if isinstance(body, events.Jsep) and body.owner == "local")
    assert local.jsep.sdp == BARE


def test_half_trickle(monkeypatch: pytest.MonkeyPatch) -> None:
    for config, jsep in ((GatewayConfig(), {}), (GatewayConfig(full_trickle=True), {"trickle": False})):
        _, told = answered(monkeypatch, config, **jsep)
        assert [message.get("jsep", {}).get("sdp") for message in told] == [ANSWER]
