"""The Admin API beside a real Janus 1.4.1: its recorded session, request by request and shape by shape."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.core import events
from appliance.core.gateway import GatewayConfig
from appliance.transports.http import HttpTransport
from appliance.transports.websocket import WebSocketTransport
from tests.core.admin_world import AdminWorld
from tests.core.world import JsonObject

RECORDED = Path(__file__).parent.parent / "data" / "janus-1.4" / "admin.api.jsonl"
SECRET = "janusoverlord"
ECHO = "janus.plugin.echotest"
NOT_OURS = {
    "info": {
        "commit-hash", "compile-time", "dependencies", "ice-nomination", "ice-consent-freshness",
        "ice-keepalive-conncheck", "hangup-on-failed", "mdns-enabled", "min-nack-queue", "nack-optimizations",
        "twcc-period", "dtls-mtu", "local-ip", "ipv6",
    },
    "handle_info": {"webrtc"},
}  # fmt: skip
"""Keys of Janus's replies that have no counterpart here, or that only the real engine fills (tests/test_admin.py)."""
OUR_OWN = {"info": {"appliance-version"}}
OTHER_HANDLERS = {"adm27", "adm28", "adm30"}
"""Ask for Janus's own event handlers."""
OTHER_PLUGINS = {"adm35"}


def recorded() -> list[JsonObject]:
    lines = [json.loads(line) for line in RECORDED.read_text().splitlines()]
    return [line for line in lines if "request" in line]


def shape(value: Any) -> Any:
    """Keys in their order, and types; of a list that of its first element."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def without(reply: JsonObject, keys: set[str]) -> JsonObject:
    reply = {key: value for key, value in reply.items() if key not in keys}
    if "info" in reply:
        reply["info"] = {key: value for key, value in reply["info"].items() if key not in keys}
    return reply


def test_the_recorded_session() -> None:
    world = AdminWorld(secret=SECRET)
    http = HttpTransport(HttpTransport.Config(), world.clock)
    socket = WebSocketTransport(WebSocketTransport.Config(), world.clock)
    world.gateway.start([http, socket])
    ids: JsonObject = {}
    for line in recorded():
        request, wanted = line["request"], line["response"]
        name = request["transaction"]
        if name == "adm5":
            # Here a call began.
            ids = world.call(opaque_id="opaque-echo")
            world.media.peer.connect()
        for key, part in zip(("session_id", "handle_id"), line["path"].split("/")[2:], strict=False):
            request[key] = ids[key] if len(part) > 5 else int(part)
        got = world.serve(request)
        text = json.dumps(wanted).replace("7624429535209244", str(ids.get("session_id")))
        wanted = json.loads(text.replace("2492544362644531", str(ids.get("handle_id"))))
        if name in OTHER_HANDLERS | OTHER_PLUGINS:
            assert got["error"]["code"] == 460
        elif "error" in wanted:
            assert json.dumps(got) == json.dumps(wanted), request
        elif request["janus"] in {"info", "handle_info"}:
            compare(request["janus"], got, wanted, opaque=name)
        elif request["janus"] in {"loops_info", "resolve_address"}:
            assert list(got) == list(wanted)
        elif request["janus"] == "get_status":
            # No colours here to begin with.
            got["status"]["log_colors"] = wanted["status"]["log_colors"]
            assert json.dumps(got) == json.dumps(wanted)
        else:
            assert json.dumps(got) == json.dumps(wanted), request


def compare(verb: str, got: JsonObject, wanted: JsonObject, *, opaque: str) -> None:
    missing, added = NOT_OURS[verb], OUR_OWN.get(verb, set())
    theirs, ours = without(wanted, missing), without(got, missing | added)
    for modules in ("transports", "events", "plugins", "loggers"):
        theirs.pop(modules, None)
        ours.pop(modules, None)
    if verb == "handle_info":
        for reply in (theirs, ours):
            # What a plugin tells is its own affair.
            reply["info"].pop("plugin_specific")
            if "sdps" in reply["info"]:
                reply["info"]["sdps"] = sorted(reply["info"]["sdps"])
    assert json.dumps(shape(ours)) == json.dumps(shape(theirs)), opaque


def refusals() -> Iterator[tuple[JsonObject, int, str]]:
    yield {"janus": "nope"}, 457, "Unhandled request 'nope' at this path"
    yield {"janus": "list_handles"}, 457, "Unhandled request 'list_handles' at this path"
    yield {"janus": "list_sessions", "session_id": "S"}, 457, "Unhandled request 'list_sessions' at this path"
    yield {"janus": "list_handles", "session_id": "S", "handle_id": "H"}, 457, "Unhandled request 'list_handles'"
    yield {"janus": "handle_info", "handle_id": 5}, 458, "Session not found"
    yield {"janus": "handle_info", "session_id": -1}, 458, "Session not found"
    handle = {"session_id": "S", "handle_id": "H"}
    yield {"janus": "handle_info", **handle, "plugin_only": 1}, 467, "(plugin_only should be a boolean)"
    yield {"janus": "start_pcap", **handle, "truncate": -1}, 467, "(truncate should be a positive integer)"
    yield {"janus": "set_session_timeout"}, 456, "Missing mandatory element (timeout)"
    yield {"janus": "set_session_timeout", "timeout": -1}, 467, "(timeout should be a positive integer)"
    yield {"janus": "set_session_timeout", "timeout": 2**40}, 467, "(timeout should be at most"
    yield {"janus": "set_session_timeout", "session_id": "S", "timeout": -2}, 467, "a non-negative integer or -1)"
    yield {"janus": "accept_new_sessions", "accept": 1}, 467, "(accept should be a boolean)"
    yield {"janus": "message_plugin", "plugin": "x", "request": {}}, 460, "Invalid plugin"
    yield {"janus": "message_plugin", "plugin": ECHO, "request": []}, 467, "(request should be an object)"
    yield {"janus": "query_transport", "transport": "x", "request": {}}, 460, "Invalid transport"
    yield {"janus": "query_logger", "logger": "x", "request": {}}, 460, "Invalid logger"
    yield {"janus": "custom_event", "schema": "x"}, 456, "Missing mandatory element (data)"
    yield {"janus": "custom_event", "schema": "appliance.verdict", "data": {}}, 467, "verdicts are the diagnosis's"
    yield {"janus": "custom_event", "schema": "x" * 300, "data": {}}, 467, "at most 256"
    yield {"janus": "custom_logline"}, 456, "Missing mandatory element (line)"
    yield {"janus": "test_stun", "address": "a", "port": 65536}, 467, "(port should be at most 65535)"
    yield {"janus": "resolve_address", "address": "nowhere.invalid"}, 490, "Could not resolve address"
    yield {"janus": 5}, 467, "(janus should be a string)"


@pytest.mark.parametrize(("request_", "code", "reason"), list(refusals()))
def test_a_refusal(request_: JsonObject, code: int, reason: str) -> None:
    world = AdminWorld()
    ids = world.call()
    names = {"S": ids["session_id"], "H": ids["handle_id"]}
    message = {key: names.get(value, value) if isinstance(value, str) else value for key, value in request_.items()}
    got = world.serve({"transaction": "tx", **message})
    assert (got["error"]["code"], reason in got["error"]["reason"]) == (code, True), got


def test_the_secret_is_asked_for_before_anything_is_looked_up() -> None:
    world = AdminWorld(secret="right")
    for wrong in ({}, {"admin_secret": "wrong"}, {"admin_secret": 5}, {"admin_secret": "é"}):
        for ids in ({}, {"session_id": 1}, {"session_id": 1, "handle_id": 1}):
            assert world.ask("list_sessions", **ids, **wrong)["error"]["code"] == 403
    assert world.ask("list_sessions", admin_secret="right")["sessions"] == []
    assert [(c.labels["api"], c.value) for c in world.admin.measure()] == [("admin", 12)]


def test_a_request_is_no_keepalive() -> None:
    world = AdminWorld()
    session_id = world.session()
    world.clock.advance(30)
    world.ask("list_handles", session_id=session_id)
    assert world.gateway.sessions[session_id].last_activity == 1000


def test_a_sessions_own_timeout() -> None:
    world = AdminWorld()
    world.gateway.start()
    own, other = world.session(), world.session()
    answer = {"janus": "success", "session_id": own, "transaction": "t", "timeout": 10}
    assert world.ask("set_session_timeout", session_id=own, timeout=10) == answer
    world.clock.advance(13)
    assert list(world.gateway.sessions) == [other]
    world.ask("set_session_timeout", session_id=other, timeout=0)
    world.clock.advance(1000)
    assert list(world.gateway.sessions) == [other]
    world.ask("set_session_timeout", session_id=other, timeout=-1)
    world.clock.advance(3)
    assert not world.gateway.sessions


def test_settings_are_in_force() -> None:
    world = AdminWorld()
    world.gateway.start()
    session_id = world.session()
    assert world.ask("set_session_timeout", timeout=5)["timeout"] == 5
    world.ask("set_no_media_timer", no_media_timer=3)
    world.ask("set_slowlink_threshold", slowlink_threshold=7)
    assert world.media.config == {"no_media_timer": 3.0, "slowlink_threshold": 7}
    world.ask("set_log_level", level=7)
    world.ask("set_log_timestamps", timestamps=False)
    assert (world.logs.level, world.logs.timestamps) == (7, False)
    world.clock.advance(8)
    assert session_id not in world.gateway.sessions
    world.ask("accept_new_sessions", accept=False)
    assert world.say("create")["error"]["code"] == 472
    world.ask("set_min_nack_queue", min_nack_queue=500)
    status = world.ask("get_status")["status"]
    assert (status["session_timeout"], status["no_media_timer"], status["min_nack_queue"]) == (5, 3, 500)


def test_hanging_up_and_detaching_tell_the_client() -> None:
    world = AdminWorld()
    ids = world.call()
    world.media.peer.connect()
    world.told()
    assert world.ask("hangup_webrtc", **ids)["janus"] == "success"
    told = world.told()
    assert told[-1] == {"janus": "hangup", "session_id": ids["session_id"], "sender": ids["handle_id"]} | {
        "reason": "Admin API"
    }
    world.ask("detach_handle", **ids)
    assert [message["janus"] for message in world.told()] == ["detached"]
    world.ask("destroy_session", session_id=ids["session_id"])
    assert world.client.over == [(ids["session_id"], False)]
    assert (1, "destroyed") in world.kinds()


def test_the_flags_of_a_call_as_it_goes() -> None:
    world = AdminWorld()
    session_id = world.session()
    ids: Any = {"session_id": session_id, "handle_id": world.handle(session_id)}

    def info() -> JsonObject:
        found: JsonObject = world.ask("handle_info", **ids)["info"]
        return found

    def raised() -> set[str]:
        return {name for name, value in info()["flags"].items() if value}

    assert raised() == set()
    assert (info()["sdps"], "webrtc" in info()) == ({}, False)
    world.say("trickle", **ids, candidate={"completed": True})
    assert info()["pending-trickles"] == 1
    jsep = {"type": "offer", "sdp": "v=0\r\n", "trickle": False, "e2ee": True}
    world.say("message", **ids, body={"audio": True}, jsep=jsep)
    assert raised() == {"got-offer", "processing-offer", "all-trickles", "e2ee"}
    world.settle()
    media = {"data-channels", "has-audio", "has-video", "new-datachan-sdp"}
    answered = {"got-offer", "got-answer", "negotiated", "all-trickles", "e2ee"} | media
    assert raised() == answered | {"starting"}
    assert sorted(info()["sdps"]) == ["local", "profile", "remote"]
    world.clock.advance(0.5)
    world.media.peer.connect()
    assert raised() == answered | {"ready"}
    found = info()
    assert found["plugin_specific"]["e2ee"] is True
    assert found["current_time"] - found["agent-started"] == 500_000
    assert (found["ice-mode"], found["ice-role"]) == ("lite", "controlled")
    world.media.peer.tell(events.Connection(connection="hangup", reason="DTLS alert"))
    assert raised() == {"alert", "e2ee"}


def test_a_capture_goes_on_with_the_next_peerconnection() -> None:
    world = AdminWorld()
    session_id = world.session()
    ids: Any = {"session_id": session_id, "handle_id": world.handle(session_id)}
    assert world.ask("start_pcap", **ids, filename="x.pcap", truncate=60) == {"janus": "success", "transaction": "t"}
    assert world.captures.asked == [("", "x.pcap", 60, f"[session={session_id}][handle={ids['handle_id']}]")]
    assert world.ask("start_text2pcap", **ids)["error"] == {"code": 490, "reason": "pcap already started"}
    capture = world.captures.capture
    assert capture is not None
    world.say("message", **ids, body={}, jsep={"type": "offer", "sdp": "v=0\r\n"})
    world.settle()
    tap = world.media.peer.tap
    assert tap is not None
    tap(b"rtp", True)
    info = world.ask("handle_info", **ids)["info"]
    assert (info["dump-to-pcap"], info["pcap-file"]) == (True, "/data/x.pcap")
    assert world.ask("stop_text2pcap", **ids)["janus"] == "success"
    assert (capture.packets, capture.closed, world.media.peer.tap) == ([(b"rtp", True)], True, None)
    world.ask("start_text2pcap", **ids)
    assert world.ask("handle_info", **ids)["info"]["dump-to-text2pcap"] is True
    again = world.captures.capture
    world.ask("detach_handle", **ids)
    assert again is not None
    assert again.closed


def test_what_others_answer() -> None:
    world = AdminWorld()
    query = {"handler": "hep", "request": {"request": "info"}}
    assert world.ask("query_eventhandler", **query)["response"] == {"result": 200}
    assert world.collector.asked == [("query_eventhandler", query)]
    assert list(world.ask("info")["events"]) == ["janus.eventhandler.hep"]
    world.collector.away = "it is not connected"
    reason = "The collector, where event handlers run: it is not connected"
    assert world.ask("query_eventhandler", **query)["error"] == {"code": 490, "reason": reason}
    assert world.ask("info")["events"] == {}
    stun = world.ask("test_stun", address="stun.example", port=3479, localport=5)
    assert (stun["public_ip"], stun["public_port"]) == ("192.0.2.1", 4005)


def test_a_custom_event_enters_the_stream_and_a_line_the_log(caplog: pytest.LogCaptureFixture) -> None:
    world = AdminWorld()
    world.ask("custom_event", schema="ref.test", data={"n": 1})
    assert world.bodies() == [events.External(schema="ref.test", data={"n": 1})]
    caplog.set_level("DEBUG", "appliance.admin")
    world.ask("custom_logline", line="one\nERROR two", level=2)
    world.ask("custom_logline", line="silent", level=0)
    world.ask("custom_logline", line="plain", level=99)
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [("ERROR", "one\\nERROR two"), ("INFO", "plain")]


def test_tokens() -> None:
    world = AdminWorld(GatewayConfig(token_auth=True))
    assert world.ask("add_token", token="a", plugins=[ECHO, "janus.plugin.nope"])["data"] == {"plugins": [ECHO]}
    assert world.ask("add_token", token="b")["data"] == {"plugins": [ECHO]}
    assert world.ask("disallow_token", token="b", plugins=[ECHO])["data"] == {"plugins": []}
    assert world.ask("list_tokens")["data"]["tokens"] == [{"token": "a", "allowed_plugins": [ECHO]}]
    session_id = world.session(token="b")
    assert world.say("attach", session_id=session_id, plugin=ECHO, token="b")["error"]["code"] == 405
    assert world.ask("allow_token", token="b", plugins=[ECHO])["data"] == {"plugins": [ECHO]}
    assert world.say("attach", session_id=session_id, plugin=ECHO, token="b")["janus"] == "success"
    invalid = "Invalid element type (some of the provided plugins are invalid)"
    for request, code, reason in (
        ({"janus": "allow_token", "token": "c", "plugins": [ECHO]}, 470, "Token c not found"),
        ({"janus": "allow_token", "token": "b", "plugins": ["x"]}, 467, invalid),
        ({"janus": "allow_token", "token": "b", "plugins": []}, 467, "(plugins should be a non-empty array)"),
        ({"janus": "allow_token", "token": "b", "plugins": [5]}, 467, "(plugins should be an array of strings)"),
        ({"janus": "allow_token", "token": "b"}, 456, "Missing mandatory element (plugins)"),
        ({"janus": "remove_token", "token": "c"}, 490, "Error removing token"),
    ):
        error = world.serve({"transaction": "t", **request})["error"]
        assert (error["code"], reason in error["reason"]) == (code, True), error
    assert world.ask("remove_token", token="b") == {"janus": "success", "transaction": "t"}
    assert world.say("keepalive", session_id=session_id, token="b")["error"]["code"] == 403
