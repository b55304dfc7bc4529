"""Every refusal, in Janus's words: those a real Janus 1.4.1 was recorded with, and those its code has besides."""

import json
import re
import secrets
from pathlib import Path
from typing import Any

import pytest

from appliance.core import events
from appliance.core.gateway import GatewayConfig
from tests.core.fake_media import OFFER
from tests.core.world import JsonObject, World

RECORDED = Path(__file__).parent.parent / "data" / "janus-1.4" / "http_errors.api.jsonl"


def recorded() -> list[JsonObject]:
    return [json.loads(line) for line in RECORDED.read_text().splitlines()]


def test_the_recorded_catalogue_word_for_word() -> None:
    """Every POST of the recording, its path turned into ids: same reply, key order included."""
    world = World()
    ids: dict[str, str] = {}
    seen: set[int] = set()
    for line in recorded():
        if line["method"] != "POST" or not isinstance(line["request"], dict):
            continue
        text = json.dumps(line)
        for theirs, ours in ids.items():
            text = text.replace(theirs, ours)
        exchange = json.loads(text)
        request, wanted = exchange["request"], exchange["reply"]
        for key, part in zip(("session_id", "handle_id"), exchange["path"].split("/")[2:], strict=False):
            request[key] = int(part) if part.isdigit() else part
        got = world.gateway.request(request, world.client)
        world.settle()
        if "data" in got:
            ids[str(wanted["data"]["id"])] = str(got["data"]["id"])
            wanted["data"]["id"] = got["data"]["id"]
        assert json.dumps(got) == json.dumps(wanted), request
        seen.add(wanted.get("error", {}).get("code", 0))
    assert seen == {0, 456, 457, 458, 459, 460, 464, 465, 467, 468, 469}


SESSION, HANDLE = {"session_id": "S"}, {"session_id": "S", "handle_id": "H"}
ECHO = {"plugin": "janus.plugin.echotest"}


@pytest.mark.parametrize(
    ("request_", "code", "reason"),
    [
        ({"janus": "destroy"}, 457, "Unhandled request 'destroy' at this path"),
        ({"janus": "attach", **ECHO}, 457, "Unhandled request 'attach' at this path"),
        ({"janus": "keepalive", "session_id": -5}, 458, "Session not found"),
        ({"janus": "keepalive", "handle_id": 5}, 458, "Session not found"),
        ({"janus": "keepalive", "session_id": 1}, 458, "No such session 1"),
        ({"janus": "keepalive", **SESSION, "handle_id": "x"}, 459, "Handle not found"),
        ({"janus": "keepalive", **SESSION, "handle_id": 0}, 459, "Handle not found"),
        ({"janus": "keepalive", **SESSION, "handle_id": 1}, 459, "No such handle 1 in session S"),
        ({"janus": "create", "id": -1}, 467, "Invalid element type (id should be a positive integer)"),
        (
            {"janus": "create", "id": 2**53},
            467,
            "Invalid element type (id should be a positive integer below 2^53, not 9007199254740992)",
        ),
        ({"janus": "info", **SESSION}, 453, "Unknown request 'info'"),
        ({"janus": "create", **SESSION}, 453, "Unknown request 'create'"),
        ({"janus": "Nope", **SESSION}, 453, "Unknown request 'Nope'"),
        ({"janus": "nope", **HANDLE}, 453, "Unknown request 'nope'"),
        ({"janus": "attach", **HANDLE, **ECHO}, 457, "Unhandled request 'attach' at this path"),
        ({"janus": "destroy", **HANDLE}, 457, "Unhandled request 'destroy' at this path"),
        ({"janus": "message", **SESSION, "body": {}}, 457, "Unhandled request 'message' at this path"),
        ({"janus": "trickle", **SESSION}, 457, "Unhandled request 'trickle' at this path"),
        ({"janus": "hangup", **SESSION}, 457, "Unhandled request 'hangup' at this path"),
        ({"janus": "attach", **SESSION, "plugin": 5}, 467, "Invalid element type (plugin should be a string)"),
        (
            {"janus": "attach", **SESSION, **ECHO, "opaque_id": None},
            467,
            "Invalid element type (opaque_id should be a string)",
        ),
        (
            {"janus": "attach", **SESSION, **ECHO, "opaque_id": "x" * 1025},
            467,
            "Invalid element type (opaque_id should be at most 1024 characters)",
        ),
        (
            {"janus": "attach", **SESSION, **ECHO, "loop_index": -1},
            467,
            "Invalid element type (loop_index should be a positive integer)",
        ),
        ({"janus": "message", **HANDLE, "body": []}, 467, "Invalid element type (body should be an object)"),
        ({"janus": "message", **HANDLE, "body": {}, "jsep": "x"}, 455, "Invalid jsep object"),
        (
            {"janus": "message", **HANDLE, "body": {}, "jsep": {"type": "offer", "sdp": "refuse"}},
            465,
            "Invalid SDP (doesn't start with v=)",
        ),
        (
            {"janus": "message", **HANDLE, "body": {}, "jsep": {"type": "offer", "sdp": "v=0\r\nrefuse"}},
            465,
            "line 7: refuse: wanted something else",
        ),
        ({"janus": "trickle", **HANDLE}, 456, "Missing mandatory element (candidate|candidates)"),
        (
            {"janus": "trickle", **HANDLE, "candidate": {}, "candidates": []},
            454,
            "Can't have both candidate and candidates",
        ),
        ({"janus": "trickle", **HANDLE, "candidates": {}}, 467, "candidates is not an array"),
    ],
)
def test_a_refusal(request_: JsonObject, code: int, reason: str) -> None:
    world = World()
    session_id = world.session()
    handle_id = world.handle(session_id)
    names = {"S": session_id, "H": handle_id}
    message = {key: names.get(value, value) if isinstance(value, str) else value for key, value in request_.items()}
    got = world.gateway.request({"transaction": "tx", **message}, world.client)
    assert got["error"] == {"code": code, "reason": re.sub(" S$", f" {session_id}", reason)}
    echoed = code != 467 or request_["janus"] != "create" or request_["id"] > 0
    assert got.get("transaction") == ("tx" if echoed else None)
    told = world.bodies()[-1]
    assert isinstance(told, events.ApiError)
    assert (told.code, told.transaction) == (code, "tx" if echoed else "")
    # Only what exists is named in the envelope.
    assert world.events[-1].session_id == (session_id if message.get("session_id") == session_id else None)


def test_what_is_no_object() -> None:
    world = World()
    for value in ([1], None, 5, "x"):
        wanted = {"janus": "error", "error": {"code": 455, "reason": "JSON error: not an object"}}
        assert world.gateway.request(value, world.client) == wanted


def test_the_secret() -> None:
    secret = secrets.token_hex()
    world = World(GatewayConfig(api_secret=secret))
    reason = "Unauthorized request (wrong or missing secret/token)"
    assert world.say("info")["api_secret"] is True
    assert world.say("ping")["janus"] == "pong"
    for wrong in ({}, {"apisecret": "x"}, {"apisecret": 5}, {"token": secret}, {"apisecret": "é" + secret}):
        assert world.say("create", **wrong)["error"] == {"code": 403, "reason": reason}
    session_id = world.session(apisecret=secret)
    # Before the session is looked up, so that nobody can find out which exist; and no keepalive either.
    world.clock.advance(30)
    assert world.say("keepalive", session_id=1)["error"]["code"] == 403
    assert world.say("keepalive", session_id=session_id)["error"]["code"] == 403
    assert world.gateway.sessions[session_id].last_activity == 1000
    assert world.say("keepalive", session_id=session_id, apisecret=secret)["janus"] == "ack"
    assert {c.name: c.value for c in world.gateway.measure()}["auth_failures_total"] == 7
    assert not any(secret in str(item) for item in world.events)
    assert not world.gateway.authorized(None, None)
    assert world.gateway.authorized(secret, None)


def test_the_secret_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    with pytest.raises(ValueError, match=r"api.api_secret_file: .*: No such file"):
        World(GatewayConfig(api_secret_file=str(file)))
    file.write_text("\n")
    with pytest.raises(ValueError, match="empty, wanted a secret"):
        World(GatewayConfig(api_secret_file=str(file)))
    file.write_text("hush\n")
    assert World(GatewayConfig(api_secret_file=str(file))).say("create", apisecret="hush")["janus"] == "success"
    with pytest.raises(ValueError, match="both set"):
        World(GatewayConfig(api_secret_file=str(file), api_secret="hush"))


def test_limits() -> None:
    world = World(GatewayConfig(max_sessions=2, max_handles=1, max_sdp_bytes=10))
    first, _ = world.session(), world.session()
    assert world.say("create")["error"] == {
        "code": 472,
        "reason": "Currently not accepting new sessions: there are 2, as many as there may be",
    }
    handle_id = world.handle(first)
    assert world.say("attach", session_id=first, plugin="janus.plugin.echotest")["error"] == {
        "code": 461,
        "reason": "Couldn't attach to plugin: the session has 1 handles, as many as it may",
    }
    ids: Any = {"session_id": first, "handle_id": handle_id}
    assert world.say("message", **ids, body={}, jsep={"type": "offer", "sdp": OFFER})["error"]["code"] == 465
    limited = {c.labels["limit"]: c.value for c in world.gateway.measure() if c.name == "api_limits_total"}
    assert limited == {"sessions": 1, "handles": 1}


def test_draining() -> None:
    world = World()
    world.gateway.accepting = False
    assert world.say("create")["error"] == {"code": 472, "reason": "Currently not accepting new sessions"}


def test_long_words_are_cut_where_they_are_repeated() -> None:
    world = World()
    got = world.say("x" * 100_000)
    assert got["error"]["reason"] == f"Unhandled request '{'x' * 100}...' at this path"
    told = world.bodies()[-1]
    assert isinstance(told, events.ApiError)
    assert len(told.request) < 70
