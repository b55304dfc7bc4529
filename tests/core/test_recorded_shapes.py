"""Every call that a real Janus was recorded with, 1.1.2 and 1.4.1, asked again: what ours says to each request, and
without one, has the shape of what Janus said. What only a connection brings (``webrtcup``, ``media``, ``slowlink``,
the end of it) is told to the handle where Janus had told it, so that the words which follow are compared too.
"""

import asyncio
import gzip
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from appliance.core import events
from appliance.core.handle import Handle
from appliance.media.config import MediaConfig
from appliance.media.engine import Engine
from appliance.plugins.videoroom import VideoRoom
from appliance.plugins.videoroom.config import RoomConfig
from tests.core.admin_world import AdminWorld
from tests.core.world import JsonObject
from tests.shapes import Difference, shapes

DATA = Path(__file__).parent.parent / "data"
GONE = "ours is told, too; the recording's client had stopped to listen"
LEFT = "who leaves loses its PeerConnection at once; Janus waits for the client, which was gone before"
PROVOKED = {"webrtcup", "media", "slowlink", "hangup", "detached"}
MADE_UP = 1 << 20
"""An id that large was made up by the server; what a client chose is smaller."""
ROOMS = [RoomConfig(room=1234, description="Demo Room"), RoomConfig(room=5678, description="VP9-SVC Demo Room")]
"""Of the real server's configuration."""
DIFFERENT = [
    Difference("*/janode|*/unix_and_errors", '["janus", "server_info"]', "its keys are compared in test_admin.py"),
    Difference("1.1.2/janode", "VP9-SVC Demo Room", "video_svc left the list of rooms before 1.4"),
    Difference("1.1.2/videoroom_http", '"unpublished", "number"', "who it was (display) is told since 1.4"),
    Difference("1.1.2/videoroom_http", '"leaving", "number"', "who it was (display) is told since 1.4"),
    Difference("1.1.2/videoroom_http", '"configured", "ok"', "extension ids of streams are told since 1.4"),
    Difference("*/videoroom_http", '["videoroom", "updated"]', LEFT),
    Difference("*/videoroom_http", '["janus", "hangup"]', LEFT),
    Difference("*/videoroom_http", '["videoroom", "destroyed"]', "subscribers of a closed room are told, too"),
    Difference("1.1.2/unix_and_errors", '"result", "done"', "1.1.2 says it without a PeerConnection too, 1.4 does not"),
    Difference("*/unix_and_errors", '["sessions", ', "its socket had been closed: tests/transports/test_unix.py"),
    Difference("*/unix_and_errors", '["janus", "detached"]', GONE),
    Difference("1.4/unix_and_errors", '["janus", "hangup"]', GONE),
]


def recorded() -> dict[str, list[JsonObject]]:
    cases: dict[str, list[JsonObject]] = defaultdict(list)
    for version in ("1.1.2", "1.4"):
        text = gzip.decompress((DATA / f"janus-{version}" / "api.jsonl.gz").read_bytes())
        for read in map(json.loads, text.splitlines()):
            cases[f"{version}/{read.pop('case')}"].append(read)
    return dict(cases)


RECORDED = recorded()


class Replay:
    """Asks again what was asked, ids translated, and keeps both sides' words by transaction."""

    def __init__(self) -> None:
        self.world = AdminWorld(secret="janusoverlord")
        self.world.gateway.plugins[VideoRoom.package] = VideoRoom(VideoRoom.Config(rooms=ROOMS))
        self.engine = Engine(MediaConfig(), self.world.clock)
        self.world.gateway.context.media = self.engine
        self.ids: dict[int, int] = {}
        self.theirs: dict[str, list[JsonObject]] = defaultdict(list)
        self.ours: dict[str, list[JsonObject]] = defaultdict(list)
        self.times: Counter[str] = Counter()
        """How often a transaction was used: some clients repeat them."""
        self.provoked: list[JsonObject] = []
        self.up: dict[int, JsonObject] = {}
        """By their handle, who came up in the recording and not yet here."""

    def run(self, lines: list[JsonObject]) -> None:
        self.read(lines)
        self.times.clear()
        for line in lines:
            message = line["msg"]
            if line["dir"] != "s2c":
                self.times[message.get("transaction", "")] += 1
                self.ask(line["dir"], message)
                if "jsep" in message and message["handle_id"] in self.up:
                    # Over HTTP one client may hear of it later than another client does something about it.
                    self.befall(self.handle(message), self.up.pop(message["handle_id"]))
                    self.hear()
            elif "transaction" not in message and message["janus"] in PROVOKED:
                self.provoke(message)

    def read(self, lines: list[JsonObject]) -> None:
        """What Janus said, in the places where ours will be."""
        for line in lines:
            message = line["msg"]
            if line["dir"] != "s2c":
                self.times[message.get("transaction", "")] += 1
            else:
                self.theirs[self.place(message)].append(message)
                if message["janus"] == "webrtcup":
                    self.up[message["sender"]] = message

    def place(self, message: JsonObject) -> str:
        transaction = message.get("transaction", "")
        return f"{transaction}#{self.times[transaction]}" if transaction else "unasked"

    def translated(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.translated(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self.translated(inner) for inner in value)
        return self.ids.get(value, value) if isinstance(value, int) else value

    def learn(self, place: str) -> None:
        """Ids that both sides made up stand in the same places."""
        for one in self.theirs[place]:
            for other in self.ours[place]:
                if [key for key in one if key != "jsep"] == [key for key in other if key != "jsep"]:
                    self.pair(one, other)

    def pair(self, theirs: Any, ours: Any) -> None:
        if isinstance(theirs, dict) and isinstance(ours, dict):
            for key in theirs.keys() & ours.keys():
                self.pair(theirs[key], ours[key])
        elif isinstance(theirs, list) and isinstance(ours, list):
            for one, other in zip(theirs, ours, strict=False):
                self.pair(one, other)
        elif isinstance(theirs, int) and isinstance(ours, int) and theirs > MADE_UP:
            self.ids.setdefault(theirs, ours)

    def handle(self, message: JsonObject) -> Handle:
        session = self.world.gateway.sessions[self.translated(message["session_id"])]
        return session.handles[self.translated(message["handle_id"])]

    def ask(self, way: str, message: JsonObject) -> None:
        request, place = self.translated(message), self.place(message)
        if any(one.get("error", {}).get("code") == 458 for one in self.theirs[place]):
            # Time or the Admin API had ended it.
            self.world.say("destroy", session_id=request["session_id"])
            self.world.settle()
        if way == "admin":
            answer = asyncio.run(self.world.admin.request(request))
        else:
            answer = self.world.gateway.request(request, self.world.client)
        self.ours[self.place(answer)].append(answer)
        self.hear()
        self.learn(place)

    def hear(self) -> None:
        self.world.settle()
        for told in self.world.told():
            self.ours[self.place(told)].append(told)

    def provoke(self, theirs: JsonObject) -> None:
        """Let happen what had happened to the real Janus, unless ours has told of it already."""
        self.provoked.append(theirs)
        of = (theirs["janus"], theirs["sender"])
        told = sum((one["janus"], one.get("sender")) == self.translated(of) for one in self.ours["unasked"])
        session = self.world.gateway.sessions.get(self.translated(theirs["session_id"]))
        if told < sum((one["janus"], one["sender"]) == of for one in self.provoked) and session is not None:
            self.befall(session.handles[self.translated(theirs["sender"])], theirs)
            self.hear()

    def befall(self, handle: Handle, theirs: JsonObject) -> None:
        match theirs["janus"]:
            case "webrtcup":
                handle.fact(events.Connection(connection="webrtcup"))
            case "media":
                handle.fact(events.MediaState(mid=theirs["mid"], media=theirs["type"], receiving=theirs["receiving"]))
            case "slowlink":
                way: Any = "uplink" if theirs["uplink"] else "downlink"
                handle.fact(events.SlowLink(mid=theirs["mid"], media=theirs["media"], slow_link=way, lost_lastsec=5))
            case "hangup":
                handle.hangup(theirs["reason"])
            case "detached":
                ids = {"session_id": handle.session_id, "handle_id": handle.handle_id}
                self.world.ask("detach_handle", admin_secret="janusoverlord", **ids)


def test_every_word_has_the_shape_of_what_janus_said() -> None:
    used: set[Difference] = set()
    compared = 0
    for case, lines in RECORDED.items():
        replay = Replay()
        replay.run(lines)
        for place in replay.theirs.keys() | replay.ours.keys():
            theirs, ours = shapes(replay.theirs[place]), shapes(replay.ours[place])
            compared += (theirs & ours).total()
            for other in (theirs - ours) | (ours - theirs):
                known = [one for one in DIFFERENT if one.explains(case, other)]
                assert known, f"{case}, {place}: {'Janus' if other in theirs - ours else 'ours'}: {other}"
                used.update(known)
    assert used == set(DIFFERENT)
    assert compared > 600
