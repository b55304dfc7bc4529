"""Sessions: how they begin, live, move and end, and what is published meanwhile."""

from typing import Any

import msgspec
import pytest

from appliance.core import events
from appliance.core.api_meter import REQUESTS, ApiMeter
from appliance.core.gateway import GatewayConfig
from appliance.core.transport import ModuleInfo
from appliance.transports.websocket import WebSocketTransport
from tests.core.world import FakeClient, JsonObject, World


def test_create_and_attach() -> None:
    world = World()
    created = world.say("create")
    session_id = created["data"]["id"]
    assert created == {"janus": "success", "transaction": "t", "data": {"id": session_id}}
    assert 0 < session_id < 2**53
    assert world.client.began == [session_id]
    attached = world.say(
        "attach", session_id=session_id, handle_id=None, plugin="janus.plugin.echotest", opaque_id="me"
    )
    handle_id = attached["data"]["id"]
    assert attached == {
        "janus": "success", "session_id": session_id, "transaction": "t", "data": {"id": handle_id},
    }  # fmt: skip
    first, second = world.events
    assert msgspec.to_builtins(first) == {
        "emitter": "test",
        "type": 1,
        "timestamp": 1_700_000_000_000_000,
        "session_id": session_id,
        "event": {
            "name": "created",
            "transport": {"transport": "janus.transport.websockets", "id": "4855568633890325155"},
        },
    }
    assert msgspec.to_builtins(second) == {
        "emitter": "test",
        "type": 2,
        "timestamp": 1_700_000_000_000_000,
        "session_id": session_id,
        "handle_id": handle_id,
        "opaque_id": "me",
        "event": {"name": "attached", "plugin": "janus.plugin.echotest", "opaque_id": "me"},
    }


def test_ids_differ_and_may_be_chosen() -> None:
    world = World()
    assert len({world.session() for _ in range(100)}) == 100
    assert world.session(id=12345) == 12345
    assert world.session(id=0) not in {0, 12345}
    assert world.say("create", id=12345) == {
        "janus": "error", "session_id": 12345, "transaction": "t",
        "error": {"code": 468, "reason": "Session ID already in use"},
    }  # fmt: skip


def test_ping_and_info() -> None:
    world = World()
    assert world.say("PING") == {"janus": "pong", "transaction": "t"}
    info = world.say("info")
    assert list(info)[:4] == ["janus", "transaction", "name", "version"]
    assert (info["version"], info["session-timeout"], info["candidates-timeout"]) == (1401, 60, 45)
    assert (info["server-name"], info["ice-lite"], info["api_secret"]) == ("test", True, False)
    assert info["plugins"]["janus.plugin.echotest"] == {
        "name": "EchoTest plugin",
        "author": "the appliance's authors",
        "description": "Sends a client's own audio, video and messages back to it.",
        "version_string": "0.0.7",
        "version": 7,
    }


def test_the_first_and_last_event() -> None:
    world = World()

    class Transport:
        name = "janus.transport.http"
        info = ModuleInfo("HTTP", "us", "API over HTTP", "0.0.2", 2)

        def measure(self) -> list[events.Counter]:
            return [events.Counter("transport_connections", 3, {"transport": "http"})]

    world.gateway.start([Transport()])  # type: ignore[list-item]  # what start() asks of one is here
    started = world.bodies()[0]
    assert isinstance(started, events.Core)
    assert started.status == "started"
    assert started.info is not None
    assert "transaction" not in started.info
    assert started.info["transports"] == {
        "janus.transport.http": {
            "name": "HTTP", "author": "us", "description": "API over HTTP", "version_string": "0.0.2", "version": 2,
        }
    }  # fmt: skip
    world.call()
    world.events.clear()
    world.gateway.shutdown()
    assert world.kinds()[-1] == (2, "detached")
    world.gateway.say_goodbye(15)
    assert world.kinds() == [
        (32, 3, "audio"), (16, 6, "hangup"), (1, "destroyed"), (2, "detached"), (256, 4, ""), (256, 2, "shutdown"),
    ]  # fmt: skip
    counters = world.bodies()[-2]
    assert isinstance(counters, events.Counters)
    assert events.Counter("transport_connections", 3, {"transport": "http"}) in counters.counters
    last = world.bodies()[-1]
    assert last == events.Shutdown(signum=15)
    world.clock.advance(100)
    assert world.bodies()[-1] is last
    assert world.say("create")["error"]["code"] == 472


def test_a_session_without_requests_times_out_within_two_seconds() -> None:
    world = World(start=True)
    session_id = world.session()
    world.handle(session_id)
    world.clock.advance(59.9)
    assert world.gateway.session_exists(session_id)
    assert world.told() == []
    world.events.clear()
    world.clock.advance(2.1)
    assert world.told() == [{"janus": "timeout", "session_id": session_id}]
    assert world.client.over == [(session_id, True)]
    assert [kind for kind in world.kinds() if kind[0] < 256] == [(1, "timeout"), (2, "detached")]
    # The late request of the reference's session_timeout.
    assert world.say("keepalive", session_id=session_id)["error"] == {
        "code": 458, "reason": f"No such session {session_id}",
    }  # fmt: skip


def test_any_request_that_names_a_session_keeps_it_alive() -> None:
    world = World(start=True)
    session_id = world.session()
    for message in (
        {"janus": "keepalive"},
        {"janus": "nope"},
        {"janus": "attach"},
        {"janus": "message", "handle_id": 1},
    ):
        world.clock.advance(50)
        world.gateway.request({**message, "transaction": "t", "session_id": session_id}, world.client)
    world.clock.advance(50)
    world.gateway.touch(session_id)
    world.clock.advance(50)
    assert world.gateway.session_exists(session_id)
    world.clock.advance(12)
    assert not world.gateway.session_exists(session_id)
    world.gateway.touch(session_id)


def test_without_a_time_out_a_session_lasts() -> None:
    world = World(GatewayConfig(session_timeout_s=0), start=True)
    session_id = world.session()
    world.clock.advance(10_000)
    assert world.gateway.session_exists(session_id)


def test_destroy_ends_the_session_first_and_hangs_nothing_up() -> None:
    world = World()
    ids = world.call()
    world.media.peer.connect()
    world.told()
    world.events.clear()
    session_id = ids["session_id"]
    assert world.say("destroy", session_id=session_id) == {
        "janus": "success", "session_id": session_id, "transaction": "t",
    }  # fmt: skip
    assert world.told() == []
    world.settle()
    # janus-1.4: 1 destroyed, the last 32/3 once, 2 detached; neither 16/6 nor a hangup.
    assert world.kinds() == [(1, "destroyed"), (32, 3, "audio"), (2, "detached")]
    assert world.told() == []
    assert world.client.over == [(session_id, False)]
    assert world.say("destroy", session_id=session_id)["error"]["code"] == 458


def test_a_lost_connection_ends_its_sessions_and_no_others() -> None:
    world = World()
    other = FakeClient()
    ids = world.call()
    kept = world.say("create", client=other)["data"]["id"]
    world.told()
    world.events.clear()
    world.gateway.gone(world.client)
    assert world.kinds() == [(1, "destroyed"), (32, 3, "audio"), (2, "detached")]
    assert world.told() == []
    assert not world.gateway.session_exists(ids["session_id"])
    assert world.gateway.session_exists(kept)


def test_a_session_can_be_reclaimed_in_time() -> None:
    world = World(GatewayConfig(reclaim_session_timeout_s=10), start=True)
    ids = world.call()
    session_id = ids["session_id"]
    world.gateway.gone(world.client)
    world.told()
    world.media.peer.connect()
    assert world.told() == [], "nobody is there to be told"
    world.clock.advance(9)
    other = FakeClient()
    assert world.say("claim", client=other, session_id=session_id) == {
        "janus": "success", "session_id": session_id, "transaction": "t",
    }  # fmt: skip
    assert other.began == [session_id]
    assert world.client.over == []
    world.clock.advance(30)
    world.say("hangup", client=other, **ids)
    world.settle()
    assert [message["janus"] for message in other.sent] == ["event", "hangup"]
    world.gateway.gone(other)
    world.events.clear()
    world.clock.advance(12.1)
    assert [kind for kind in world.kinds() if kind[0] < 256] == [(1, "timeout"), (2, "detached")]


def test_claim_takes_a_session_from_its_connection() -> None:
    world = World()
    session_id = world.session()
    before = len(world.events)
    assert world.say("claim", session_id=session_id)["janus"] == "success"
    assert world.client.over == []
    other = FakeClient()
    assert world.say("claim", client=other, session_id=session_id)["janus"] == "success"
    assert world.client.over == [(session_id, False)]
    assert len(world.events) == before, "a claim is no event"
    world.gateway.gone(world.client)
    assert world.gateway.session_exists(session_id)


def test_update_and_counters_come_in_their_time() -> None:
    world = World(start=True)
    ids = world.call()
    world.say("keepalive", **ids)
    world.events.clear()
    world.clock.advance(15)
    assert world.kinds() == [(256, 4, ""), (256, 4, ""), (256, 1, "update"), (256, 4, "")]
    update = world.bodies()[2]
    assert update == events.Core(
        status="update", info={"sessions": 1, "handles": 1, "peerconnections": 1, "stats-period": 1}
    )
    counters = world.bodies()[3]
    assert isinstance(counters, events.Counters)
    values: dict[tuple[str, str], Any] = {
        (each.name, each.labels.get("request", "")): (each.value, each.labels) for each in counters.counters
    }
    labels = {"transport": "websocket", "request": "keepalive", "outcome": "ack"}
    assert values["api_requests_total", "keepalive"] == (1, labels)
    served = {"transport": "websocket", "request": "keepalive"}
    assert values["api_request_duration_seconds_count", "keepalive"] == (1, served)
    assert values["peerconnections", ""] == (1, {})


def test_words_that_clients_choose_make_no_label() -> None:
    world = World()
    for number in range(50):
        world.say(f"verb{number}")
    world.gateway.request("rubbish", FakeClient("a third party's"))
    labels = [c.labels for c in world.gateway.measure() if c.name == "api_requests_total"]
    assert labels == [
        {"transport": "websocket", "request": "other", "outcome": "error"},
        {"transport": "other", "request": "other", "outcome": "error"},
    ]


def test_what_may_come_is_counted_before_it_comes() -> None:
    meter = ApiMeter()
    meter.expect(["janus.transport.http", "a third party's"])
    before = {tuple(c.labels.values()): c.value for c in meter.measure()}
    assert set(before.values()) == {0}
    assert {transport for transport, *_ in before} == {"http", "other"}
    assert {(request, outcome) for transport, request, outcome in before if transport == "http"} == {
        *((verb, outcome) for verb in REQUESTS - {"keepalive", "trickle"} for outcome in ("success", "error")),
        *((verb, outcome) for verb in ("keepalive", "trickle") for outcome in ("ack", "error")), ("message", "ack"),
    }  # fmt: skip
    meter.add("janus.transport.http", "keepalive", "ack", 0.001)
    after = {tuple(c.labels.values()): c.value for c in meter.measure() if c.name == "api_requests_total"}
    assert after == before | {("http", "keepalive", "ack"): 1}


def test_the_answers_of_a_call_are_among_those_that_are_expected() -> None:
    world = World()
    world.gateway.start([WebSocketTransport(WebSocketTransport.Config(), world.clock)])
    labels = {tuple(c.labels.values()) for c in world.gateway.measure() if c.name == "api_requests_total"}
    ids = world.call()
    for verb in ("keepalive", "trickle", "hangup", "detach", "destroy", "info", "ping", "nonsense"):
        world.say(verb, **ids)
    told = [c for c in world.gateway.measure() if c.name == "api_requests_total"]
    assert {tuple(c.labels.values()) for c in told} - labels == {("websocket", "other", "error")}


def test_a_transport_event_is_published_as_it_is() -> None:
    world = World()
    data = {"event": "request", "admin_api": False, "ip": "127.0.0.1", "port": 51538}
    world.gateway.transport_event("janus.transport.http", "1", data)
    assert world.bodies() == [events.Transport(transport="janus.transport.http", id="1", data=data)]
    assert world.events[0].session_id is None


def test_what_the_collector_may_ask() -> None:
    world = World()
    ids = world.call(opaque_id="me")
    assert world.gateway.command("list_sessions", {}) == {
        "sessions": {str(ids["session_id"]): [ids["handle_id"]]},
    }
    described = world.gateway.command("describe", ids)
    assert described == {
        **ids,
        "opaque_id": "me",
        "plugin": "janus.plugin.echotest",
        "plugin_specific": {
            "audio_active": True,
            "video_active": True,
            "audio_codec": "opus",
            "video_codec": "vp8",
            "bitrate": 0,
            "slowlink_count": 0,
            "hangingup": 0,
            "destroyed": 0,
        },
        "webrtc": {"ice": {}},
    }
    world.told()
    assert world.gateway.command("hangup", ids) == {"hung_up": True}
    assert world.told()[-1]["reason"] == "Admin API"
    assert world.gateway.command("hangup", ids) == {"hung_up": False}
    assert world.gateway.command("accept_new_sessions", {"accept": False}) == {"accept": False}
    assert world.say("create")["error"]["code"] == 472
    assert world.gateway.command("destroy_session", ids) == {}
    refusals: list[tuple[str, JsonObject, str]] = [
        ("destroy_session", ids, f"no such session {ids['session_id']}"),
        ("nope", {}, "no such command 'nope'; known: accept_new_sessions, describe"),
        ("describe", {"session_id": "x"}, "session_id: 'x' came, wanted an integer"),
        ("accept_new_sessions", {"accept": 1}, "accept: 1 came, wanted true or false"),
    ]
    for verb, args, message in refusals:
        try:
            world.gateway.command(verb, args)
        except (LookupError, ValueError) as error:
            assert message in str(error)
        else:
            raise AssertionError(f"{verb} {args} was served")


def test_a_bug_of_ours_is_a_reply_too(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    ids = world.call()

    def fail(self: object, *args: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("tests.core.fake_media.FakePeer.set_remote_offer", fail)
    got = world.say("message", **ids, body={}, jsep={"type": "offer", "sdp": "v=0"})
    assert got["error"] == {"code": 490, "reason": "Unknown error"}
    assert "request message failed" in caplog.text
    monkeypatch.setattr("appliance.core.handle.Handle.hangup", fail)
    assert world.say("hangup", **ids)["janus"] == "success"
    world.settle()
    assert "deferred work failed" in caplog.text
    assert world.say("keepalive", **ids)["janus"] == "ack"


def test_deferred_work_that_defers_itself_does_not_go_round_for_ever() -> None:
    world = World()
    turns = []

    def again() -> None:
        turns.append(1)
        world.gateway.context.defer(again)

    world.gateway.context.defer(again)
    world.say("ping")
    world.say("ping")
    assert len(turns) == 2
