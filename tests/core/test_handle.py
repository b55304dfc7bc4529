"""A call on one handle: what the client is told, what is published, in what order, against a real Janus's recording."""

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.core import events
from appliance.core.events import SessionDescription, from_janus
from appliance.core.gateway import GatewayConfig
from appliance.core.peer import OfferLine
from appliance.core.plugin import Ack, HandleApi, Plugin, PluginError, PluginHandle, Success
from tests.core.fake_media import ANSWER, OFFER
from tests.core.world import JsonObject, World, kind_of

DATA = Path(__file__).parent.parent / "data" / "janus-1.4"
CANDIDATE = "candidate:1 1 udp 2122260223 127.0.0.1 47148 typ host"


def read(name: str) -> list[JsonObject]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


def shape(value: Any) -> Any:
    """Keys in their order and types; what ids, descriptions and transactions are does not matter."""
    if isinstance(value, dict):
        return [(key, shape(inner)) for key, inner in value.items()]
    if isinstance(value, str) and (value.startswith("v=0") or len(value) == 12):
        return "text"
    return type(value).__name__ if isinstance(value, int) and not isinstance(value, bool) else value


@pytest.mark.parametrize("case", ["aiortc_echo", "pc_close"])
def test_a_recorded_call_gets_the_same_messages(case: str) -> None:
    """The client's side of the recording is said again; every reply and notification has the recorded shape."""
    world = World()
    recording = read(f"{case}.api.jsonl")
    recorded_told: list[JsonObject] = []
    told: list[JsonObject] = []
    ids: JsonObject = {}
    for index, line in enumerate(recording):
        message = line["msg"]
        if isinstance(message, list):
            recorded_told += message
            if any(one["janus"] == "event" and "jsep" in one for one in message):
                world.media.peer.connect()
                # Which of the two is heard first is the network's doing.
                audio_first = [one for one in recording if isinstance(one["msg"], list)][2]["msg"][0]["mid"] == "0"
                if not audio_first:
                    world.client.sent[-2:] = reversed(world.client.sent[-2:])
            if message[0].get("reason") == "DTLS alert":
                world.media.peer.tell(events.Connection(connection="hangup", reason="DTLS alert"))
                told += world.told()
            continue
        if line["dir"] != "c2s":
            continue
        got = world.gateway.request(message | ids, world.client)
        answered = next(
            later["msg"]
            for later in recording[index:]
            if later["dir"] == "s2c" and isinstance(later["msg"], dict)
            and later["msg"]["transaction"] == message["transaction"]
        )  # fmt: skip
        assert shape(got) == shape(answered)
        if "data" in got:
            ids["session_id" if message["janus"] == "create" else "handle_id"] = got["data"]["id"]
        if message["janus"] == "detach":
            ids.pop("handle_id")
        world.settle()
        told += world.told()
    assert [shape(one) for one in told] == [shape(one) for one in recorded_told]


def test_events_come_in_the_recorded_order() -> None:
    """aiortc_echo up to the first media, and from the hangup on; statistics and transport events apart."""
    wanted = [
        kind_of(item)
        for line in read("aiortc_echo.jsonl")
        for item in from_janus(line["event"])
        if item.type not in {128, 256} and (item.type, item.subtype) != (32, 3)
    ]
    world = World()
    ids = world.call()
    peer = world.media.peer
    # The engine says this while it gathers, where the client's description has candidates.
    gathered = 1 + world.kinds().index((16, 1, "gathering"))
    remote = [("16", 3), ("16", 3)]
    peer.connect()
    for body in ({"audio": True, "video": False}, {"audio": True, "video": True, "bitrate": 128000}):
        world.say("message", **ids, body=body)
        world.settle()
    world.say("hangup", **ids)
    world.settle()
    world.say("detach", **ids)
    world.settle()
    world.say("destroy", session_id=ids["session_id"])
    world.settle()
    got = [kind for kind in world.kinds() if kind[:2] != (32, 3)]
    got[gathered:gathered] = [(16, 3, "") for _ in remote]
    # First media of the two kinds: the network's doing.
    assert sorted(map(str, got)) == sorted(map(str, wanted))
    assert [kind for kind in got if kind[0] != 32] == [kind for kind in wanted if kind[0] != 32]
    assert {(item.session_id, item.handle_id) for item in world.events if item.type not in {1, 256}} == {
        (ids["session_id"], ids["handle_id"])
    }


def test_the_answer_is_published_when_it_is_sent() -> None:
    world = World()
    ids = world.call(opaque_id="me")
    description = {"type": "answer", "sdp": ANSWER}
    assert world.told() == [
        {
            "janus": "event",
            "session_id": ids["session_id"],
            "transaction": "t",
            "sender": ids["handle_id"],
            "plugindata": {"plugin": "janus.plugin.echotest", "data": {"echotest": "event", "result": "ok"}},
            "jsep": description,
        }
    ]
    jseps = [body for body in world.bodies() if isinstance(body, events.Jsep)]
    assert [jsep.owner for jsep in jseps] == ["remote", "local"]
    assert jseps[0].jsep == SessionDescription("offer", OFFER)
    assert jseps[1].jsep == SessionDescription("answer", ANSWER)


def test_opaque_id_and_e2ee_are_repeated_where_asked() -> None:
    world = World(GatewayConfig(opaqueid_in_api=True))
    session_id = world.session()
    ids: JsonObject = {"session_id": session_id, "handle_id": world.handle(session_id, opaque_id="me")}
    world.say("message", **ids, body={}, jsep={"type": "Offer", "sdp": OFFER, "e2ee": True, "trickle": False})
    world.settle()
    world.media.peer.connect()
    told = world.told()
    assert all(list(message)[:4][-2:] == ["sender", "opaque_id"] for message in told if "transaction" not in message)
    assert {message["opaque_id"] for message in told} == {"me"}
    assert told[0]["jsep"] == {"type": "answer", "sdp": ANSWER, "e2ee": True}
    assert ("gather", False) in world.media.peer.calls


def test_a_bad_offer_leaves_nothing_behind() -> None:
    world = World()
    session_id = world.session()
    ids: JsonObject = {"session_id": session_id, "handle_id": world.handle(session_id)}
    before = len(world.events)
    refused = world.say("message", **ids, body={}, jsep={"type": "offer", "sdp": OFFER + "refuse"})
    assert refused["error"]["code"] == 465
    assert [type(body) for body in world.bodies()[before:]] == [events.ApiError]
    assert world.media.peer.calls == [("close", None)]
    world.media.peer.tell(events.IceState(ice="failed"))
    assert len(world.events) == before + 1, "a line that is dead is not heard"
    # In a call, it leaves the call alone.
    ids = world.call()
    world.told()
    assert world.say("message", **ids, body={}, jsep={"type": "offer", "sdp": OFFER + "refuse"})["error"]["code"] == 465
    world.media.peer.connect()
    assert world.told()[0]["janus"] == "webrtcup"


def test_renegotiation_keeps_the_peerconnection() -> None:
    world = World()
    ids = world.call()
    world.media.peer.connect()
    world.say("message", **ids, body={"audio": True}, jsep={"type": "offer", "sdp": OFFER})
    world.settle()
    assert len(world.media.peers) == 1
    assert [call[0] for call in world.media.peer.calls].count("create_answer") == 2


def test_a_handle_hosts_one_peerconnection_after_the_other() -> None:
    world = World()
    ids = world.call()
    first = world.media.peer
    world.say("hangup", **ids)
    world.settle()
    world.told()
    world.say("message", **ids, body={}, jsep={"type": "offer", "sdp": OFFER})
    world.settle()
    assert len(world.media.peers) == 2
    assert world.told()[0]["jsep"]["type"] == "answer"
    first.tell(events.Connection(connection="webrtcup"))
    first.observer.data("x", "", "late")
    assert world.told() == []


def test_while_one_is_still_closing() -> None:
    world = World()
    ids = world.call()
    world.media.peer.slow_to_close = True
    world.say("hangup", **ids)
    world.settle()
    still = {"code": 471, "reason": "Still cleaning a previous session"}
    assert world.say("message", **ids, body={}, jsep={"type": "offer", "sdp": OFFER})["error"] == still
    assert world.say("trickle", **ids, candidate=None)["error"] == still
    world.say("hangup", **ids)
    world.settle()
    assert [call for call in world.media.peer.calls if call[0] == "close"] == [("close", "Janus API")]
    world.media.peer.tell(events.Connection(connection="hangup", reason="Janus API"))
    assert world.say("message", **ids, body={}, jsep={"type": "offer", "sdp": OFFER})["janus"] == "ack"


def test_an_answer_to_no_offer_is_published_and_refused() -> None:
    world = World()
    session_id = world.session()
    ids: JsonObject = {"session_id": session_id, "handle_id": world.handle(session_id)}
    refused = world.say("message", **ids, body={}, jsep={"type": "answer", "sdp": OFFER})
    assert refused["error"] == {"code": 469, "reason": "Unexpected ANSWER (did we offer?)"}
    assert world.kinds()[-2:] == [(8, "remote"), (256, 5, 469)]
    # A hangup of nothing is a success and no more.
    assert world.say("hangup", **ids)["janus"] == "success"
    world.settle()
    assert world.told() == []


def test_hangup_replies_then_the_plugin_then_the_core() -> None:
    world = World()
    ids = world.call()
    world.told()
    assert world.say("hangup", **ids)["janus"] == "success"
    assert world.told() == []
    world.settle()
    done, hangup = world.told()
    assert done["plugindata"]["data"] == {"echotest": "event", "result": "done"}
    assert hangup == {
        "janus": "hangup", "session_id": ids["session_id"], "sender": ids["handle_id"], "reason": "Janus API",
    }  # fmt: skip
    assert world.kinds()[-2:] == [(32, 3, "audio"), (16, 6, "hangup")]


def test_detach_in_a_call_says_detached_and_nothing_of_a_hangup() -> None:
    world = World()
    ids = world.call()
    world.media.peer.connect()
    world.told()
    world.events.clear()
    assert world.say("detach", **ids)["janus"] == "success"
    assert world.say("keepalive", **ids)["error"]["code"] == 459
    assert world.told() == [{"janus": "detached", "session_id": ids["session_id"], "sender": ids["handle_id"]}]
    assert world.kinds() == [(32, 3, "audio"), (2, "detached"), (256, 5, 459)]
    assert world.media.peer.calls[-1] == ("close", None)


def test_what_a_client_is_told_of_media_and_network() -> None:
    world = World()
    ids = world.call()
    world.media.peer.connect()
    world.told()
    world.media.peer.tell(
        events.MediaState(media="video", mid="1", substream=1, receiving=False, seconds=2),
        events.SlowLink(mid="0", media="audio", slow_link="uplink", lost_lastsec=12),
        events.IceState(ice="failed"),
        events.LocalCandidate(candidate="2 1 udp 1 192.0.2.1 10000 typ host"),
    )
    common = {"session_id": ids["session_id"], "sender": ids["handle_id"]}
    assert [json.dumps(message) for message in world.told()] == [
        json.dumps(message)
        for message in (
            {"janus": "media", **common, "mid": "1", "type": "video", "substream": 1, "receiving": False, "seconds": 2},
            {"janus": "slowlink", **common, "mid": "0", "media": "audio", "uplink": True, "lost": 12},
            {"janus": "ice-failed", **common},
            {
                "janus": "trickle",
                **common,
                "candidate": {
                    "sdpMid": "0", "sdpMLineIndex": 0, "candidate": "candidate:2 1 udp 1 192.0.2.1 10000 typ host",
                },
            },
        )
    ]  # fmt: skip


def test_a_first_attempt_that_fails_is_no_ice_failed() -> None:
    world = World()
    world.call()
    world.told()
    world.media.peer.tell(events.IceState(ice="failed"))
    assert world.told() == []


def test_candidates_before_their_description_wait_45_s() -> None:
    world = World(GatewayConfig(max_early_candidates=3))
    session_id = world.session()
    ids: JsonObject = {"session_id": session_id, "handle_id": world.handle(session_id)}
    old = {"sdpMid": "0", "sdpMLineIndex": 0, "candidate": "too old"}
    assert world.say("trickle", **ids, candidate=old)["janus"] == "ack"
    world.clock.advance(45.1)
    good = {"sdpMid": "0", "sdpMLineIndex": 0, "candidate": CANDIDATE}
    assert world.say("trickle", **ids, candidates=[good, {"bad": 1}, {"completed": True}])["janus"] == "ack"
    world.say("message", **ids, body={}, jsep={"type": "offer", "sdp": OFFER})
    calls = [call for call in world.media.peer.calls if "candidate" in call[0]]
    assert calls == [("add_remote_candidate", CANDIDATE)]
    limited = {c.labels["limit"]: c.value for c in world.gateway.measure() if c.name == "api_limits_total"}
    assert limited == {"early_candidates": 1, "candidates_timeout": 1}


def test_only_candidates_of_the_bundle_count() -> None:
    world = World()
    ids = world.call()
    for candidate in (
        {"sdpMid": "1", "sdpMLineIndex": 1, "candidate": "of another m-line"},
        {"sdpMid": "1", "candidate": "of another mid"},
        {"sdpMid": "0", "sdpMLineIndex": 0, "candidate": CANDIDATE},
        {"sdpMid": "0", "candidate": CANDIDATE},
        {"sdpMLineIndex": 0, "candidate": CANDIDATE},
        {"completed": True},
    ):
        answer = world.say("trickle", **ids, candidate=candidate)
        assert answer == {"janus": "ack", "session_id": ids["session_id"], "transaction": "t"}
    calls = [call for call in world.media.peer.calls if "candidate" in call[0]]
    assert calls == [("add_remote_candidate", CANDIDATE)] * 3 + [("end_of_candidates",)]
    # One bad one is refused; among several it is passed over.
    assert world.say("trickle", **ids, candidate={"sdpMid": "0"})["error"]["code"] == 456
    assert world.say("trickle", **ids, candidates=[{"sdpMid": "0"}, None])["janus"] == "ack"
    assert world.media.peer.calls[-1] == ("end_of_candidates",)


class SyncHandle(PluginHandle):
    """Answers at once, or as the body asks."""

    def message(self, body: dict[str, Any], jsep: SessionDescription | None, transaction: str) -> Success | Ack:
        match body.get("request"):
            case "refuse":
                raise PluginError(426, "No such room (1234)")
            case "break":
                raise RuntimeError("a bug")
            case "ack":
                return Ack()
            case "close":
                self.api.close_peer()
            case "break later":
                self.api.later(lambda: 1 / 0)  # a bug is what is meant
            case "answer":
                self.api.answer(None)  # type: ignore[arg-type]  # there is nothing to answer
            case _:
                pass
        return Success({"videoroom": "success"})

    def setup_media(self) -> None:
        raise RuntimeError("a bug")

    def slow_link(self, mid: str, media: str, *, uplink: bool, lost: int) -> None:
        raise RuntimeError("a bug")


class SyncPlugin(Plugin):
    package = "janus.plugin.videoroom"
    name = "Sync"
    description = "For tests"
    version = 1
    version_string = "0.0.1"

    def attach(self, api: HandleApi) -> SyncHandle:
        return SyncHandle(api)


@pytest.fixture
def sync() -> tuple[World, JsonObject]:
    world = World(plugins={SyncPlugin.package: SyncPlugin()})
    session_id = world.session()
    attached = world.say("attach", session_id=session_id, plugin=SyncPlugin.package)
    return world, {"session_id": session_id, "handle_id": attached["data"]["id"]}


def test_a_plugin_may_answer_at_once(sync: tuple[World, JsonObject]) -> None:
    world, ids = sync
    common = {"janus": "success", "session_id": ids["session_id"], "transaction": "t", "sender": ids["handle_id"]}
    plugindata = {"plugin": "janus.plugin.videoroom", "data": {"videoroom": "success"}}
    assert json.dumps(world.say("message", **ids, body={})) == json.dumps({**common, "plugindata": plugindata})
    refused = {"videoroom": "event", "error_code": 426, "error": "No such room (1234)"}
    assert world.say("message", **ids, body={"request": "refuse"})["plugindata"]["data"] == refused
    assert world.say("message", **ids, body={"request": "ack"}) == {
        "janus": "ack", "session_id": ids["session_id"], "transaction": "t",
    }  # fmt: skip
    error = world.say("message", **ids, body={"request": "answer"})["plugindata"]["data"]
    assert error["error"] == "No offer to answer"


def test_a_plugin_that_breaks_breaks_nothing_else(
    sync: tuple[World, JsonObject], caplog: pytest.LogCaptureFixture
) -> None:
    world, ids = sync
    assert world.say("message", **ids, body={"request": "break"})["error"] == {
        "code": 462, "reason": "Plugin didn't give a result",
    }  # fmt: skip
    world.say("message", **ids, body={"request": "break later"})
    world.settle()
    world.say("message", **ids, body={}, jsep={"type": "offer", "sdp": OFFER})
    world.media.peer.connect()
    world.media.peer.tell(events.SlowLink(slow_link="downlink", mid="0", media="audio", lost_lastsec=1))
    assert [message["janus"] for message in world.told()] == ["webrtcup", "media", "media", "slowlink"]
    assert [record.message.partition(" failed")[2] for record in caplog.records] == [
        " on a message", "", " in setup_media", " in slow_link",
    ]  # fmt: skip


def test_a_plugin_may_hang_up(sync: tuple[World, JsonObject]) -> None:
    world, ids = sync
    world.say("message", **ids, body={}, jsep={"type": "offer", "sdp": OFFER})
    world.say("message", **ids, body={"request": "close"})
    assert world.told()[-1]["reason"] == "Close PC"


class _Caller(PluginHandle):
    """Offers when it is told to."""

    def message(self, body: JsonObject, jsep: SessionDescription | None, transaction: str) -> Success | Ack:
        if jsep is None:
            offer = self.api.offer([OfferLine(mid=body.get("mid", "0"), kind="application")])
            self.api.push_event({"calling": "you"}, transaction=transaction, jsep=offer)
            return Ack()
        return Success({"took": jsep.type})


class _Calls(Plugin):
    package = "janus.plugin.calls"
    name = description = version_string = ""
    version = 1

    def attach(self, api: HandleApi) -> _Caller:
        return _Caller(api)


def test_an_offer_of_ours_is_answered_once() -> None:
    world = World(plugins={_Calls.package: _Calls()})
    session_id = world.session()
    handle_id = world.say("attach", session_id=session_id, plugin=_Calls.package)["data"]["id"]
    ids: JsonObject = {"session_id": session_id, "handle_id": handle_id}
    answer = {"type": "answer", "sdp": ANSWER, "trickle": False}
    assert world.say("message", **ids, body={}, jsep=answer)["error"]["code"] == 469
    refused = world.say("message", **ids, body={"mid": "refuse"})
    assert refused["plugindata"]["data"]["error_code"] == 465
    assert world.media.peer.calls == [("close", None)]

    before = len(world.events)
    assert world.say("message", **ids, body={})["janus"] == "ack"
    (told,) = world.told()
    assert told["jsep"] == {"type": "offer", "sdp": OFFER}
    assert world.say("message", **ids, body={})["plugindata"]["data"]["error_code"] == 471
    bad = answer | {"sdp": ANSWER + "refuse"}
    assert world.say("message", **ids, body={}, jsep=bad)["error"]["code"] == 465
    assert world.say("message", **ids, body={}, jsep=answer)["plugindata"]["data"] == {"took": "answer"}
    assert world.say("message", **ids, body={}, jsep=answer)["error"]["code"] == 469
    jseps = [body for body in world.bodies()[before:] if isinstance(body, events.Jsep)]
    assert [(body.owner, body.jsep.type) for body in jseps] == [
        ("local", "offer"), ("remote", "answer"), ("remote", "answer"),
    ]  # fmt: skip
    assert [call[0] for call in world.media.peer.calls] == [
        "create_offer", "set_remote_answer", "gather",
    ]  # fmt: skip
    # Candidates that are in the offer aren't told again.
    assert world.told() == []
