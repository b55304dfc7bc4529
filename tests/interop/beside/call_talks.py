"""A room with two who publish and one who watches, each a PeerConnection of aiortc."""

from contextlib import AsyncExitStack

from tests.interop.beside.side import JsonObject, Phone, Side, Wanted

ROOM = 1234


def up(ids: JsonObject) -> Wanted:
    return lambda one: one["janus"] == "webrtcup" and one["sender"] == ids["handle_id"]


async def publishing(side: Side, phone: Phone, name: str) -> tuple[JsonObject, int]:
    """A publisher's handle and its id."""
    ids = await side.attach()
    data = await side.room(f"{name} joins", ids, "joinandconfigure", room=ROOM, ptype="publisher", display=name,
                           jsep=await phone.offer())  # fmt: skip
    await phone.take(data["jsep"])
    await side.heard(up(ids))
    return ids, data["id"]


async def call(side: Side) -> None:
    """Publish, subscribe, switch, moderate, forward, leave."""
    await side.session()
    async with AsyncExitStack() as stack:
        first, second, watcher, legacy = [await stack.enter_async_context(Phone()) for _ in range(4)]
        first.send("audio", "video")
        second.send("audio")
        ann, ann_id = await publishing(side, first, "ann")
        bob, bob_id = await publishing(side, second, "bob")
        control = await side.attach()
        await side.room("listparticipants", control, "listparticipants", room=ROOM)
        await side.room("publish twice", ann, "publish", jsep=await first.offer())
        ids = await side.attach()
        streams = [{"feed": ann_id}]
        await side.room("subscribe to no mid", await side.attach(), "join", room=ROOM, ptype="subscriber",
                        streams=[{"feed": ann_id, "mid": "nonsense"}])  # fmt: skip
        offered = await side.room("subscribe", ids, "join", room=ROOM, ptype="subscriber", streams=streams)
        await side.room("configure before the answer", ids, "configure", streams=[{"mid": "0", "send": True}])
        await side.room("subscribe before the answer", ids, "subscribe", streams=[{"feed": bob_id}])
        await side.room("start", ids, "start", jsep=await watcher.answer(offered["jsep"]))
        await side.heard(up(ids))
        further = await side.heard(lambda one: "jsep" in one and one["sender"] == ids["handle_id"])
        if "jsep" in further:
            await side.room("start further", ids, "start", jsep=await watcher.answer(further["jsep"]))
        for verb in ("pause", "start"):
            await side.room(f"{verb} again", ids, verb)
        configured: dict[str, list[JsonObject]] = {
            "send": [{"mid": "1", "send": False}], "substream": [{"mid": "1", "substream": 1}],
            "temporal": [{"mid": "1", "temporal": 1}], "substream 9": [{"mid": "1", "substream": 9}],
            "temporal 9": [{"mid": "1", "temporal": 9}], "no mid": [{"send": True}],
            "unknown mid": [{"mid": "9", "send": True}], "send no boolean": [{"mid": "1", "send": 5}],
            "delay": [{"mid": "1", "min_delay": 1, "max_delay": 2}], "send again": [{"mid": "1", "send": True}],
        }  # fmt: skip
        for name, wanted in configured.items():
            await side.room(f"configure {name}", ids, "configure", streams=wanted)
        await side.room("configure nothing", ids, "configure")
        await side.room("unsubscribe from what is not named", ids, "unsubscribe", streams=[{}])
        offered = await side.room("configure update", ids, "configure", update=True)
        if "jsep" in offered:
            await side.room("start updated", ids, "start", jsep=await watcher.answer(offered["jsep"]))
        named = await side.room("tracks named after their feed", await side.attach(), "join", room=ROOM,
                                ptype="subscriber", use_msid=True, streams=[{"feed": ann_id}])  # fmt: skip
        lines = named["jsep"]["sdp"].replace(str(ann_id), "<ann>").split("\r\n") if "jsep" in named else []
        side.steps["msid"] = [{"status": line} for line in lines if line.startswith("a=msid:")]
        bad: dict[str, tuple[str, JsonObject]] = {
            "subscribe nothing": ("subscribe", {}), "subscribe empty": ("subscribe", {"streams": []}),
            "subscribe nobody": ("subscribe", {"streams": [{"feed": 5}]}),
            "subscribe no mid": ("subscribe", {"streams": [{"feed": ann_id, "mid": "nonsense"}]}),
            "unsubscribe nothing": ("unsubscribe", {}), "unsubscribe empty": ("unsubscribe", {"streams": []}),
            "unsubscribe nobody": ("unsubscribe", {"streams": [{"feed": 5}]}),
            "update nothing": ("update", {}), "update empty": ("update", {"subscribe": [], "unsubscribe": []}),
            "switch nothing": ("switch", {}), "switch empty": ("switch", {"streams": []}),
            "switch no feed": ("switch", {"streams": [{"mid": "0", "sub_mid": "0"}]}),
            "switch no sub_mid": ("switch", {"streams": [{"feed": bob_id, "mid": "0"}]}),
            "switch nobody": ("switch", {"streams": [{"feed": 5, "mid": "0", "sub_mid": "0"}]}),
            "switch no such mid": ("switch", {"streams": [{"feed": bob_id, "mid": "9", "sub_mid": "0"}]}),
            "switch no such sub_mid": ("switch", {"streams": [{"feed": bob_id, "mid": "0", "sub_mid": "9"}]}),
            "switch kinds": ("switch", {"streams": [{"feed": bob_id, "mid": "0", "sub_mid": "1"}]}),
            "publish": ("publish", {}), "unpublish": ("unpublish", {}), "nonsense": ("nonsense", {}),
            "join again": ("join", {"room": ROOM, "ptype": "subscriber", "streams": streams}),
        }  # fmt: skip
        for name, (verb, body) in bad.items():
            await side.room(f"watcher: {name}", ids, verb, **body)
        await side.room("switch", ids, "switch", streams=[{"feed": bob_id, "mid": "0", "sub_mid": "0"}])
        await side.room("switch back", ids, "switch", streams=[{"feed": ann_id, "mid": "0", "sub_mid": "0"}])
        offered = await side.room("unsubscribe", ids, "unsubscribe", streams=[{"sub_mid": "1"}])
        if "jsep" in offered:
            await side.room("start less", ids, "start", jsep=await watcher.answer(offered["jsep"]))
        for mute in (True, True, False):
            await side.room(f"moderate {mute}", control, "moderate", room=ROOM, id=ann_id, mid="0", mute=mute)
        await side.room("moderate no mid", control, "moderate", room=ROOM, id=ann_id, mid="9", mute=True)
        await side.room("enable_recording", control, "enable_recording", room=ROOM, record=False)
        await forwarding(side, control, ann_id)
        old = await side.attach()
        offered = await side.room("legacy", old, "join", room=ROOM, ptype="subscriber", feed=ann_id, offer_video=False)
        if "jsep" in offered:
            await side.room("legacy start", old, "start", jsep=await legacy.answer(offered["jsep"]))
            await side.heard(up(old))
        await side.room("legacy configure", old, "configure", video=False, audio=True)
        await side.room("legacy switch", old, "switch", feed=bob_id)
        await side.admin("watcher", "handle_info", f"/{side.session_id}/{ids['handle_id']}", plugin_only=True)
        await side.admin("ann", "handle_info", f"/{side.session_id}/{ann['handle_id']}", plugin_only=True)
        await side.room("start with an offer", old, "start", jsep=await legacy.offer())
        await side.room("restart", ids, "configure", restart=True)
        await side.room("subscribe again", ids, "subscribe", streams=[{"feed": ann_id, "mid": "0"}])
        await side.room("watcher leaves", ids, "leave")
        await side.room("rename", ann, "configure", display="anna", audio=False)
        await side.room("unpublish", ann, "unpublish")
        await side.heard(lambda one: one["janus"] == "hangup" and one["sender"] == ann["handle_id"])
        await side.room("kick", control, "kick", room=ROOM, id=bob_id)
        await side.heard(lambda one: one["janus"] == "hangup" and one["sender"] == bob["handle_id"])
        await side.room("ann leaves", ann, "leave")
        await side.say("destroy", "destroy", session_id=side.session_id)
        # When a PeerConnection has ended is a matter of threads.
        side.notified("notified", without=frozenset({"media", "hangup", "detached"}))


async def forwarding(side: Side, control: JsonObject, feed: int) -> None:
    """RTP forwarders, new ways and old."""
    to: JsonObject = {"room": ROOM, "publisher_id": feed, "host": "127.0.0.1"}
    bad: dict[str, JsonObject] = {
        "no host": {"room": ROOM, "publisher_id": feed, "streams": [{"mid": "0", "port": 5000}]},
        "nobody": {**to, "publisher_id": 5, "streams": [{"mid": "0", "port": 5000}]},
        "no streams": to, "empty streams": {**to, "streams": []}, "no port": {**to, "streams": [{"mid": "0"}]},
        "no mid": {**to, "streams": [{"port": 5000}]}, "bad mid": {**to, "streams": [{"mid": "9", "port": 5000}]},
        "bad port": {**to, "streams": [{"mid": "0", "port": "x"}]},
        "bad srtp_suite": {**to, "srtp_suite": 5, "srtp_crypto": "x", "streams": [{"mid": "0", "port": 5000}]},
        "bad ssrc": {**to, "streams": [{"mid": "0", "port": 5000, "ssrc": "x"}]},
    }  # fmt: skip
    for name, body in bad.items():
        await side.room(f"rtp_forward {name}", control, "rtp_forward", **body)
    streams = [{"mid": "0", "port": 5000, "pt": 100, "ssrc": 7}, {"mid": "1", "port": 5002}]
    made = await side.room("rtp_forward", control, "rtp_forward", **to, streams=streams)
    await side.room("rtp_forward legacy", control, "rtp_forward", **to, audio_port=5004, video_port=5006)
    await side.room("listforwarders", control, "listforwarders", room=ROOM)
    for name, stream_id in {"none": 5, "": made.get("forwarders", [{"stream_id": 0}])[0]["stream_id"]}.items():
        await side.room(f"stop_rtp_forward {name}", control, "stop_rtp_forward", room=ROOM, publisher_id=feed,
                        stream_id=stream_id)  # fmt: skip
