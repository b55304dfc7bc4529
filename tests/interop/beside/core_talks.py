"""What both are asked of the core: the Janus API, HTTP, the Admin API. Each step has a name."""

from pathlib import Path
from typing import Any

from tests.interop.beside.side import JsonObject, Side

ROOM, ECHO = "janus.plugin.videoroom", "janus.plugin.echotest"
SDP = Path(__file__).parent.parent.parent / "data" / "sdp"
OFFER = (SDP / "chrome_offer.sdp").read_text()


async def core_errors(side: Side) -> None:
    """Every code of the core that a request can bring about."""
    await side.raw("no json", "this is none")
    await side.raw("no object", "[1, 2]")
    await side.raw("no transaction", '{"janus": "create"}')
    await side.raw("no janus", '{"transaction": "x"}')
    await side.raw("janus no string", '{"janus": 5, "transaction": "x"}')
    await side.raw("id no integer", '{"janus": "create", "transaction": "x", "id": "a"}')
    await side.say("ping", "ping")
    await side.say("root attach", "attach", plugin=ECHO)
    await side.say("root nonsense", "nonsense")
    await side.say("session unknown", "keepalive", session_id=999)
    await side.say("session below 1", "keepalive", session_id=-1)
    await side.say("handle alone", "keepalive", handle_id=5)
    session = await side.session()
    await side.say("id taken", "create", id=session)
    own = {"session_id": session}
    await side.say("capitals", "KeepAlive", **own)
    for verb in ("info", "create", "nonsense", "message", "trickle", "hangup", "detach", "ping"):
        await side.say(f"session {verb}", verb, **own, body={}, plugin=ECHO)
    await side.say("plugin missing", "attach", **own)
    await side.say("plugin no string", "attach", **own, plugin=5)
    await side.say("plugin unknown", "attach", **own, plugin="janus.plugin.nonsense")
    await side.say("opaque_id no string", "attach", **own, plugin=ECHO, opaque_id=5)
    await side.say("loop_index below 0", "attach", **own, plugin=ECHO, loop_index=-1)
    ids = await side.attach(ECHO, opaque_id="opaque")
    for verb in ("info", "create", "attach", "destroy", "claim", "nonsense", "ping"):
        await side.say(f"handle {verb}", verb, **ids, plugin=ECHO)
    await side.say("handle keepalive", "keepalive", **ids)
    await side.say("handle unknown", "keepalive", session_id=session, handle_id=999)
    await side.say("handle below 1", "keepalive", session_id=session, handle_id=-1)
    await side.say("handle no integer", "keepalive", session_id=session, handle_id="x")
    await side.say("body missing", "message", **ids)
    await side.say("body no object", "message", **ids, body=[])
    jseps: dict[str, Any] = {
        "empty": {}, "no object": "x", "no type": {"sdp": OFFER}, "no sdp": {"type": "offer"},
        "type no string": {"type": 5, "sdp": OFFER}, "sdp no string": {"type": "offer", "sdp": 5},
        "type unknown": {"type": "guess", "sdp": OFFER}, "bad sdp": {"type": "offer", "sdp": "nonsense"},
        "empty sdp": {"type": "offer", "sdp": ""}, "trickle no boolean": {"type": "offer", "sdp": OFFER, "trickle": 5},
        "answer": {"type": "answer", "sdp": OFFER},
        "rid_order no string": {"type": "offer", "sdp": OFFER, "rid_order": 5},
        "e2ee no boolean": {"type": "offer", "sdp": OFFER, "e2ee": "x"},
    }  # fmt: skip
    for name, jsep in jseps.items():
        await side.say(f"jsep {name}", "message", **ids, body={"audio": True}, jsep=jsep)
    candidate = {"candidate": "candidate:1 1 udp 1 127.0.0.1 9 typ host", "sdpMid": "0"}
    tricks: dict[str, Any] = {
        "nothing": {}, "both": {"candidate": candidate, "candidates": [candidate]}, "no array": {"candidates": {}},
        "empty array": {"candidates": []}, "early": {"candidate": candidate}, "null": {"candidate": None},
        "no object": {"candidate": 5}, "empty": {"candidate": {}}, "mid no string": {"candidate": {"sdpMid": 5}},
        "no candidate": {"candidate": {"sdpMid": "0"}}, "completed": {"candidate": {"completed": True}},
        "several": {"candidates": [candidate, {"completed": True}]},
    }  # fmt: skip
    for name, rest in tricks.items():
        await side.say(f"trickle {name}", "trickle", **ids, **rest)
    await side.say("hangup of nothing", "hangup", **ids)
    await side.say("echo offer", "message", **ids, body={"audio": True}, jsep={"type": "offer", "sdp": OFFER})
    for name, rest in tricks.items():
        await side.say(f"later trickle {name}", "trickle", **ids, **rest)
    bodies: dict[str, JsonObject] = {
        "nothing": {}, "nonsense": {"nonsense": 1}, "no boolean": {"audio": 5}, "bitrate below 0": {"bitrate": -1},
        "substream 9": {"substream": 9}, "temporal 9": {"temporal": 9}, "record no boolean": {"record": 1},
        "fallback no integer": {"fallback": "x"}, "audiocodec": {"audiocodec": "opus"}, "well": {"video": False},
        "bitrate": {"bitrate": 128000}, "substream": {"substream": 1}, "temporal": {"temporal": 1},
        "videocodec": {"videocodec": "vp8"}, "filename": {"filename": "x"}, "spatial 9": {"spatial_layer": 9},
    }  # fmt: skip
    for name, body in bodies.items():
        await side.say(f"echo {name}", "message", **ids, body=body)
    await side.say("hangup", "hangup", **ids)
    await side.heard(lambda one: one["janus"] == "hangup")
    await side.say("detach", "detach", **ids)
    await side.heard(lambda one: one["janus"] == "detached")
    await side.say("detach again", "detach", **ids)
    await side.say("claim own", "claim", **own)
    await side.attach(ECHO)
    await side.say("destroy", "destroy", **own)
    await side.say("destroy again", "destroy", **own)
    side.notified("notified")


async def over_http(side: Side) -> None:
    """What HTTP adds: paths, methods, long polls."""
    created = await side.ask_http("create", "POST", "", json={"janus": "create", "transaction": "t"})
    session = created["data"]["id"]
    attach = {"janus": "attach", "plugin": ECHO, "transaction": "t"}
    attached = await side.ask_http("attach", "POST", f"/{session}", json=attach)
    handle = attached["data"]["id"]
    alive = {"janus": "keepalive", "transaction": "t"}
    await side.ask_http("handle", "POST", f"/{session}/{handle}", json=alive)
    await side.ask_http("too long a path", "POST", f"/{session}/{handle}/1", json=alive)
    await side.ask_http("path no number", "POST", "/nonsense", json=alive)
    await side.ask_http("other path", "GET", "/../nonsense")
    await side.ask_http("conflicting session", "POST", f"/{session}", json={**alive, "session_id": 5})
    await side.ask_http("conflicting handle", "POST", f"/{session}/{handle}", json={**alive, "handle_id": 5})
    await side.ask_http("ids in the body", "POST", "", json={**alive, "session_id": session, "handle_id": handle})
    await side.ask_http("POST info", "POST", "/info", json={})
    await side.ask_http("GET root", "GET", "")
    await side.ask_http("poll of a handle", "GET", f"/{session}/{handle}")
    await side.ask_http("poll of nothing", "GET", "/999")
    await side.ask_http("no json", "POST", "", data="nonsense")
    await side.ask_http("OPTIONS", "OPTIONS", "")
    message = {"janus": "message", "body": {"audio": True}, "transaction": "t"}
    for maxev in ("", "?maxev=1", "?maxev=5", "?maxev=0", "?maxev=x"):
        await side.ask_http("message", "POST", f"/{session}/{handle}", json=message)
        await side.ask_http(f"poll{maxev}", "GET", f"/{session}{maxev}")
    await side.ask_http("destroy", "POST", f"/{session}", json={"janus": "destroy", "transaction": "t"})


async def admin_api(side: Side) -> None:
    """Every request of the Admin API, well and badly asked."""
    session = await side.session()
    ids = await side.attach(ECHO, opaque_id="opaque")
    offer = {"type": "offer", "sdp": OFFER}
    await side.say("echo", "message", **ids, body={"audio": True}, jsep=offer)
    of_session, of_handle = f"/{session}", f"/{session}/{ids['handle_id']}"
    settings: dict[str, JsonObject] = {
        "set_session_timeout": {"timeout": 60}, "set_log_level": {"level": 4},
        "set_log_timestamps": {"timestamps": False},
        "set_log_colors": {"colors": False}, "set_locking_debug": {"debug": False},
        "set_refcount_debug": {"debug": False}, "set_min_nack_queue": {"min_nack_queue": 200},
        "set_nack_optimizations": {"nack_optimizations": False}, "set_no_media_timer": {"no_media_timer": 1},
        "set_slowlink_threshold": {"slowlink_threshold": 0}, "accept_new_sessions": {"accept": True},
        "custom_event": {"schema": "s", "data": {}}, "custom_logline": {"line": "l"},
        "resolve_address": {"address": "127.0.0.1"}, "test_stun": {"address": "127.0.0.1", "port": 9},
        "add_token": {"token": "x"}, "allow_token": {"token": "x", "plugins": [ECHO]}, "remove_token": {"token": "x"},
        "disallow_token": {"token": "x", "plugins": [ECHO]},
        "message_plugin": {"plugin": ROOM, "request": {"request": "list"}},
        "query_transport": {"transport": "janus.transport.http", "request": {"request": "configure"}},
        "query_eventhandler": {"handler": "janus.eventhandler.nonsense", "request": {}},
        "query_logger": {"logger": "janus.logger.nonsense", "request": {}},
    }  # fmt: skip
    for verb, rest in settings.items():
        if verb != "test_stun":
            await side.admin(verb, verb, **rest)
        for name in rest:
            await side.admin(f"{verb} without {name}", verb, **{key: rest[key] for key in rest if key != name})
            await side.admin(f"{verb} with a bad {name}", verb, **rest | {name: 5.5})
    for verb in ("ping", "get_status", "list_sessions", "list_tokens", "loops_info", "nonsense"):
        await side.admin(verb, verb)
    await side.admin("bad level", "set_log_level", level=99)
    await side.admin("unknown plugin", "message_plugin", plugin="nonsense", request={})
    await side.admin("echotest", "message_plugin", plugin=ECHO, request={})
    await side.admin("unknown transport", "query_transport", transport="nonsense", request={})
    await side.admin("connections", "query_transport", transport="janus.transport.websockets",
                     request={"request": "connections"})  # fmt: skip
    await side.admin("transport nonsense", "query_transport", transport="janus.transport.http",
                     request={"request": "nonsense"})  # fmt: skip
    await side.admin("unresolvable", "resolve_address", address="nonsense.invalid")
    await side.admin("wrong secret", "list_sessions", admin_secret="nonsense")
    await side.admin("secret no string", "list_sessions", admin_secret=5)
    await side.admin("no transaction", "list_sessions", transaction=5)
    for verb in ("list_handles", "nonsense", "list_sessions", "handle_info"):
        await side.admin(f"session {verb}", verb, of_session)
    await side.admin("session timeout", "set_session_timeout", of_session, timeout=30)
    await side.admin("session timeout -1", "set_session_timeout", of_session, timeout=-1)
    await side.admin("session timeout -2", "set_session_timeout", of_session, timeout=-2)
    await side.admin("no session", "list_handles", "/999")
    await side.admin("no handle", "handle_info", f"/{session}/999")
    await side.admin("plugin only", "handle_info", of_handle, plugin_only=True)
    await side.admin("plugin_only no boolean", "handle_info", of_handle, plugin_only=5)
    for verb in ("nonsense", "list_handles", "list_sessions", "stop_pcap", "stop_text2pcap"):
        await side.admin(f"handle {verb}", verb, of_handle)
    for verb in ("start_pcap", "start_text2pcap"):
        await side.admin(f"{verb} outside", verb, of_handle, folder="/proc/nonsense", filename="x")
        await side.admin(f"{verb} folder no string", verb, of_handle, folder=5)
    await side.admin("hangup_webrtc", "hangup_webrtc", of_handle)
    await side.heard(lambda one: one["janus"] == "hangup")
    await side.admin("detach_handle", "detach_handle", of_handle)
    await side.heard(lambda one: one["janus"] == "detached")
    await side.admin("detach_handle again", "detach_handle", of_handle)
    await side.admin("destroy_session", "destroy_session", of_session)
    await side.admin("destroy_session again", "destroy_session", of_session)
    await side.admin("draining", "accept_new_sessions", accept=False)
    await side.say("create while draining", "create")
    await side.admin("open again", "accept_new_sessions", accept=True)
    await side.session()
    await side.admin("short", "set_session_timeout", f"/{side.session_id}", timeout=1)
    await side.heard(lambda one: one["janus"] == "timeout")
    side.notified("notified")
