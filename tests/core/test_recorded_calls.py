"""Whole calls that a real Janus 1.4.1 was recorded with, asked again: browsers' and aiortc's own requests and offers,
the core, EchoTest and the real engine's answers. Nothing connects, so what comes of a connection is left out.
"""

import json
from collections import defaultdict
from pathlib import Path

import pytest

from appliance.media.config import MediaConfig
from appliance.media.engine import Engine
from tests.core.world import JsonObject, World

DATA = Path(__file__).parent.parent / "data" / "janus-1.4"


def recorded(name: str) -> list[JsonObject]:
    """One message a line; long polls bring several, and what is neither side's is left out."""
    lines = []
    for line in map(json.loads, (DATA / f"{name}.api.jsonl").read_text().splitlines()):
        messages = line["msg"] if isinstance(line["msg"], list) else [line["msg"]]
        lines += [line | {"msg": message} for message in messages if line["dir"] in {"c2s", "s2c"} and message]
    return lines


def with_path_ids(line: JsonObject) -> JsonObject:
    message: JsonObject = line["msg"]
    parts = [int(part) for part in line.get("path", "").split("/") if part.isdigit()]
    return message | dict(zip(("session_id", "handle_id"), parts, strict=False))


def media_of(sdp: str) -> list[tuple[str, ...]]:
    """Of each m-line: kind, mid, direction, whether it lives, and its first codec."""
    found: list[tuple[str, ...]] = []
    for section in sdp.replace("\r\n", "\n").split("\nm=")[1:]:
        lines = section.split("\n")
        kind, port, _, *formats = lines[0].split()
        attributes = [line.removeprefix("a=") for line in lines if line.startswith("a=")]
        mid = next((each.removeprefix("mid:") for each in attributes if each.startswith("mid:")), "")
        ways = {"sendrecv", "sendonly", "recvonly", "inactive"}
        way = next((each for each in attributes if each in ways), "")
        codec = next((each.split()[1] for each in attributes if each.startswith(f"rtpmap:{formats[0]} ")), formats[0])
        if port == "0":
            found.append((kind, mid, "rejected"))
        else:
            found.append((kind, mid, way or "sendrecv", codec.lower()))
    return found


def essence(message: JsonObject) -> JsonObject:
    """A message without what is another in every call."""
    rest = {key: value for key, value in message.items() if key not in {"jsep", "transaction"}}
    if "jsep" in message:
        rest["jsep"] = {"type": message["jsep"]["type"], "media": media_of(message["jsep"]["sdp"])}
    return rest


class Replay:
    """Asks again what was asked, ids translated, and keeps both sides' answers by transaction."""

    def __init__(self) -> None:
        self.world = World()
        self.engine = Engine(MediaConfig(), self.world.clock)
        self.world.gateway.context.media = self.engine
        self.ids: dict[int, int] = {}
        self.theirs: dict[str, list[JsonObject]] = defaultdict(list)
        self.ours: dict[str, list[JsonObject]] = defaultdict(list)

    def run(self, lines: list[JsonObject]) -> None:
        made = {
            line["msg"]["transaction"]: line["msg"]["data"]["id"]
            for line in lines
            if line["dir"] == "s2c" and "data" in line["msg"]
        }
        for line in lines:
            if line["dir"] == "s2c":
                self.theirs[line["msg"].get("transaction", "")].append(line["msg"])
                continue
            message = with_path_ids(line)
            if "janus" not in message:
                continue
            for key in ("session_id", "handle_id"):
                if key in message:
                    message[key] = self.ids[message[key]]
            transaction = message["transaction"]
            answer = self.world.gateway.request(message, self.world.client)
            self.ours[transaction].append(answer)
            if "data" in answer:
                self.ids[made[transaction]] = answer["data"]["id"]
            self.world.settle()
            for told in self.world.told():
                self.ours[told.get("transaction", "")].append(told)

    def translated(self, messages: list[JsonObject]) -> list[str]:
        text = json.dumps([essence(message) for message in messages])
        for theirs, ours in self.ids.items():
            text = text.replace(str(theirs), str(ours))
        # Over HTTP an event may overtake the reply to its own request.
        return sorted(json.dumps(each) for each in json.loads(text))


@pytest.mark.parametrize("name", ["chrome_echo_http", "reneg_icerestart", "data_only", "aiortc_echo", "pc_close"])
def test_a_call_is_answered_as_janus_answered_it(name: str) -> None:
    replay = Replay()
    replay.run(recorded(name))
    assert len(replay.ids) == 2
    both = [transaction for transaction in replay.ours if transaction and transaction in replay.theirs]
    assert len(both) > 4
    for transaction in both:
        assert replay.translated(replay.ours[transaction]) == replay.translated(replay.theirs[transaction])
    described = sum("jsep" in message for messages in replay.theirs.values() for message in messages)
    assert described == sum("jsep" in message for messages in replay.ours.values() for message in messages) > 0
    assert not replay.engine.peers
