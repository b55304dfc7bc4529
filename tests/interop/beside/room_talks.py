"""What both are asked of VideoRoom while nobody is connected."""

import re

from tests.interop.beside.core_talks import OFFER
from tests.interop.beside.side import JsonObject, Side

MANDATORY: dict[str, JsonObject] = {
    "allowed": {"action": "enable"}, "kick": {"id": 5}, "moderate": {"id": 5, "mid": "0", "mute": True},
    "rtp_forward": {"publisher_id": 5, "host": "127.0.0.1", "streams": [{"mid": "0", "port": 5000}]},
    "stop_rtp_forward": {"publisher_id": 5, "stream_id": 5}, "enable_recording": {"record": False},
}  # fmt: skip


async def rooms(side: Side) -> None:
    """VideoRoom's synchronous requests."""
    await side.session()
    ids = await side.attach()
    bad: dict[str, JsonObject] = {
        "request missing": {}, "request no string": {"request": 5}, "nonsense": {"request": "nonsense"},
        "room no integer": {"request": "create", "room": "x"}, "room below 0": {"request": "create", "room": -1},
        "publishers no integer": {"request": "create", "publishers": "x"},
        "publishers below 0": {"request": "create", "publishers": -1},
        "audiocodec": {"request": "create", "audiocodec": "mp3"},
        "videocodec": {"request": "create", "videocodec": "x"},
        "videocodec no string": {"request": "create", "videocodec": 5},
        "six codecs": {"request": "create", "room": 72, "audiocodec": "opus,opus,opus,opus,opus,opus"},
        "description no string": {"request": "create", "description": 5},
        "is_private no boolean": {"request": "create", "is_private": 5},
        "allowed no array": {"request": "create", "allowed": 5},
        "allowed no strings": {"request": "create", "room": 71, "allowed": [5]},
        "permanent no boolean": {"request": "create", "permanent": 5},
        "room there": {"request": "create", "room": 1234},
    }  # fmt: skip
    for name, body in bad.items():
        await side.say(name, "message", **ids, body=body)
    await side.room("create", ids, "create", room=70, description="seventy", secret="s", pin="p", publishers=2,
                    audiocodec="opus,g722", videocodec="vp9,vp8", bitrate=10000, bitrate_cap=True, fir_freq=5,
                    notify_joining=True, require_pvtid=True, is_private=False, allowed=["token"], opus_fec=False,
                    opus_dtx=True, audiolevel_event=True, vp9_profile="2", h264_profile="42e01f")  # fmt: skip
    await side.room("create without a number", ids, "create")
    await side.say("destroy six codecs", "message", **ids, body={"request": "destroy", "room": 72})
    await side.room("list", ids, "list")
    for request in ("edit", "destroy", "exists", "listparticipants", "allowed", "kick", "moderate", "rtp_forward",
                    "stop_rtp_forward", "listforwarders", "enable_recording"):  # fmt: skip
        await side.room(f"{request} nothing", ids, request)
        await side.room(f"{request} no room", ids, request, room=999, **MANDATORY.get(request, {}))
        await side.room(f"{request} bad room", ids, request, room="x", **MANDATORY.get(request, {}))
        await side.room(f"{request} without secret", ids, request, room=70, **MANDATORY.get(request, {}))
        await side.room(f"{request} wrong secret", ids, request, room=70, secret="x", **MANDATORY.get(request, {}))
        await side.room(f"{request} secret no string", ids, request, room=70, secret=5, **MANDATORY.get(request, {}))
        if request not in {"destroy", "enable_recording"}:
            await side.room(request, ids, request, room=70, secret="s", **MANDATORY.get(request, {}))
        for name in MANDATORY.get(request, {}):
            rest = {key: value for key, value in MANDATORY[request].items() if key != name}
            await side.room(f"{request} without {name}", ids, request, room=70, secret="s", **rest)
            await side.room(f"{request} bad {name}", ids, request, room=70, secret="s", **rest, **{name: {}})
    for action in ("enable", "add", "remove", "disable", "nonsense"):
        await side.room(f"allowed {action}", ids, "allowed", room=70, secret="s", action=action, allowed=["a", "b"])
    await side.room("allowed no strings", ids, "allowed", room=70, secret="s", action="add", allowed=[5])
    edits: JsonObject = {
        "description": "x", "is_private": True, "secret": "s", "pin": "q", "require_pvtid": False, "bitrate": 1,
        "fir_freq": 0, "publishers": 4, "lock_record": True, "rec_dir": "x",
    }  # fmt: skip
    for name in edits:
        await side.room(f"edit bad {name}", ids, "edit", room=70, secret="s", **{f"new_{name}": {}})
    for name, value in edits.items():
        await side.room(f"edit {name}", ids, "edit", room=70, secret="s", **{f"new_{name}": value})
    await side.room("list without private", ids, "list")
    await side.room("list with a key", ids, "list", admin_key="x")
    await side.room("destroy", ids, "destroy", room=70, secret="s")
    await side.room("exists no more", ids, "exists", room=70)
    await side.say("destroy session", "destroy", session_id=side.session_id)
    side.notified("notified")


async def participants(side: Side) -> None:
    """Who joins, and who may not; nobody is connected."""
    await side.session()
    ids = await side.attach()
    for verb in ("configure", "publish", "unpublish", "start", "pause", "switch", "leave", "subscribe", "update"):
        await side.room(f"{verb} before joining", ids, verb)
    joins: dict[str, JsonObject] = {
        "nothing": {}, "no ptype": {"room": 1234}, "ptype": {"room": 1234, "ptype": "nonsense"},
        "ptype no string": {"room": 1234, "ptype": 5}, "no room": {"ptype": "publisher"},
        "unknown room": {"room": 9, "ptype": "publisher"}, "bad room": {"room": "x", "ptype": "publisher"},
        "display no string": {"room": 1234, "ptype": "publisher", "display": 5},
        "id no integer": {"room": 1234, "ptype": "publisher", "id": "x"},
        "metadata no object": {"room": 1234, "ptype": "publisher", "metadata": 5},
        "token no string": {"room": 1234, "ptype": "publisher", "token": 5},
        "subscriber of nothing": {"room": 1234, "ptype": "subscriber"},
        "subscriber of an empty list": {"room": 1234, "ptype": "subscriber", "streams": []},
        "subscriber no array": {"room": 1234, "ptype": "subscriber", "streams": 5},
        "subscriber without feed": {"room": 1234, "ptype": "subscriber", "streams": [{}]},
        "subscriber of nobody": {"room": 1234, "ptype": "subscriber", "streams": [{"feed": 5}]},
        "subscriber of a bad feed": {"room": 1234, "ptype": "subscriber", "streams": [{"feed": "x"}]},
        "legacy subscriber of nobody": {"room": 1234, "ptype": "subscriber", "feed": 5},
        "listener": {"room": 1234, "ptype": "listener", "feed": 5},
    }  # fmt: skip
    for name, body in joins.items():
        await side.room(f"join {name}", await side.attach(), "join", **body)
    offer = {"type": "offer", "sdp": OFFER}
    await side.room("subscriber with an offer", await side.attach(), "join", room=1234, ptype="subscriber", jsep=offer)
    joined = await side.room("join", ids, "join", room=1234, ptype="publisher", display="ann", metadata={"a": 1})
    await side.room("join again", ids, "join", room=1234, ptype="publisher")
    await side.room("join as subscriber too", ids, "join", room=1234, ptype="subscriber", streams=[{"feed": 5}])
    for verb in ("start", "pause", "switch", "subscribe", "unsubscribe", "update", "unpublish", "nonsense"):
        await side.room(f"{verb} of a publisher", ids, verb)
    configured: dict[str, JsonObject] = {
        "nothing": {}, "bitrate": {"bitrate": 100000}, "bitrate no integer": {"bitrate": "x"},
        "audio no boolean": {"audio": 5}, "display": {"display": "anna"}, "display no string": {"display": 5},
        "streams no array": {"streams": 5}, "streams": {"streams": [{"mid": "0", "send": True}]},
        "stream without mid": {"streams": [{"send": True}]}, "keyframe": {"keyframe": True},
        "descriptions": {"descriptions": [{"mid": "0", "description": "d"}]},
        "description without mid": {"descriptions": [{"description": "d"}]}, "audiocodec": {"audiocodec": "pcmu"},
        "audiocodec unknown": {"audiocodec": "nonsense"}, "videocodec": {"videocodec": "h264"},
        "record no boolean": {"record": 5}, "filename no string": {"filename": 5},
        "audio_level_average no integer": {"audio_level_average": "x"},
    }  # fmt: skip
    for name, body in configured.items():
        await side.room(f"configure {name}", ids, "configure", **body)
    await side.room("publish without offer", ids, "publish")
    await side.room("publish an answer", ids, "publish", jsep={"type": "answer", "sdp": OFFER})
    await side.room("listparticipants", ids, "listparticipants", room=1234)
    other = await side.attach()
    await side.room("id taken", other, "join", room=1234, ptype="publisher", id=joined.get("id"))
    await side.room("own id", other, "join", room=1234, ptype="publisher", id=55)
    third = await side.attach()
    silent = [{"feed": 55}]
    await side.room("subscriber of who is silent", third, "join", room=1234, ptype="subscriber", streams=silent)
    await side.room("publish", ids, "publish", jsep=offer, audio=True, video=True, display="annie")
    await side.room("publish again", ids, "publish", jsep=offer)
    await side.room("kick", ids, "kick", room=1234, id=55)
    await side.room("after the kick", other, "configure")
    await side.room("kick nobody", ids, "kick", room=1234, id=56)
    await side.room("moderate nobody", ids, "moderate", room=1234, id=56, mid="0", mute=True)
    await side.room("leave", ids, "leave")
    await side.room("leave again", ids, "leave")
    await side.room("join after leaving", ids, "join", room=1234, ptype="publisher")
    others: dict[str, JsonObject] = {
        "pin": {"pin": "p"}, "private": {"is_private": True}, "pvtid": {"require_pvtid": True},
        "full": {"publishers": 1},
    }  # fmt: skip
    for name, body in others.items():
        await side.room(f"create {name}", ids, "create", room=80, **body)
        guest = await side.attach()
        await side.room(f"{name}: join", guest, "join", room=80, ptype="publisher")
        await side.room(f"{name}: join wrongly", guest, "join", room=80, ptype="publisher", pin="x")
        await side.room(f"{name}: join rightly", guest, "join", room=80, ptype="publisher", pin="p")
        await side.room(f"{name}: destroy", ids, "destroy", room=80)
        await side.room(f"{name}: after the end", guest, "configure")
    await side.say("destroy", "destroy", session_id=side.session_id)
    side.unasked.clear()


async def guests(side: Side) -> None:
    """A room's list of tokens, in force and not, and a pin that nobody asked for."""
    await side.session()
    ids = await side.attach()
    await side.room("create", ids, "create", room=92)
    for number, action in enumerate(("add", "enable", "disable", "enable", "remove")):
        await side.room(f"{number} {action}", ids, "allowed", room=92, action=action, allowed=["a"])
        await side.room(f"{number} join", await side.attach(), "join", room=92, ptype="publisher")
        await side.room(f"{number} with a token", await side.attach(), "join", room=92, ptype="publisher", token="a")
    await side.room("add nothing", ids, "allowed", room=92, action="add")
    await side.room("destroy", ids, "destroy", room=92)
    body = {"request": "join", "room": 1234, "ptype": "publisher", "pin": None}
    late = await side.attach()
    await side.say("no pin", "message", **late, body=body)
    await side.room("leave", late, "leave")
    await side.room("create for one", ids, "create", room=93)
    guest = await side.attach()
    await side.room("join", guest, "join", room=93, ptype="publisher")
    await side.room("destroy with one", ids, "destroy", room=93)
    await side.room("join after the end", guest, "join", room=1234, ptype="publisher")
    await side.say("destroy session", "destroy", session_id=side.session_id)
    side.unasked.clear()


async def codec_lists(side: Side) -> None:
    """Which of a room's codecs, and which of their profiles, an answer takes."""
    await side.session()
    choices: dict[str, tuple[JsonObject, JsonObject]] = {
        "first": ({"audiocodec": "g722,opus", "videocodec": "vp9,vp8"}, {}),
        "second": ({"audiocodec": "isac32,pcma", "videocodec": "h265,h264"}, {}),
        "none": ({"audiocodec": "isac16", "videocodec": "h265"}, {}),
        "asked": ({"audiocodec": "opus,pcmu", "videocodec": "vp8,av1"}, {"audiocodec": "pcmu", "videocodec": "av1"}),
        "asked in vain": ({"audiocodec": "opus,isac32", "videocodec": "vp8,h265"},
                          {"audiocodec": "isac32", "videocodec": "h265"}),
        "asked of another room": ({"videocodec": "vp8"}, {"videocodec": "vp9"}),
        "vp9 profile": ({"videocodec": "vp9", "vp9_profile": "2"}, {}),
        "unknown vp9 profile": ({"videocodec": "vp9,vp8", "vp9_profile": "3"}, {}),
        "h264 profile": ({"videocodec": "h264", "h264_profile": "4d001f"}, {}),
        "unknown h264 profile": ({"videocodec": "h264", "h264_profile": "640c1f"}, {}),
    }  # fmt: skip
    for name, (properties, body) in choices.items():
        ids = await side.attach()
        await side.room(f"{name}: create", ids, "create", room=90, **properties)
        offer = {"type": "offer", "sdp": OFFER}
        said = await side.room(
            f"{name}: publish", ids, "joinandconfigure", room=90, ptype="publisher", jsep=offer, **body
        )
        side.steps[f"{name}: answer"] = [{"media": taken(said.get("jsep", {}).get("sdp", ""))}]
        await side.room(f"{name}: destroy", ids, "destroy", room=90)
    await side.say("destroy", "destroy", session_id=side.session_id)
    side.unasked.clear()


def taken(answer: str) -> list[JsonObject]:
    """Of each m-line, whether it is there, its codec and profile."""
    lines: list[JsonObject] = []
    for section in answer.replace("\r\n", "\n").split("\nm=")[1:]:
        head, *rest = section.split("\n")
        kind, port, _, number = head.split()[:4]
        codec = next((each.split()[1] for each in rest if each.startswith(f"a=rtpmap:{number} ")), "")
        profile = re.search(rf"a=fmtp:{number} .*\b((?:profile-id|profile-level-id)=\w+)", section)
        # Janus leaves the port of what it rejects first, and names no codec.
        there = port != "0" and (codec != "" or kind == "application")
        lines.append({"kind": f"{kind} {codec} {profile[1] if profile else ''}".lower() if there else f"no {kind}"})
    return lines
