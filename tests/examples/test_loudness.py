"""The example plugin: a package of its own, found through its entry point, by itself and inside the real appliance."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from appliance.components import Components
from appliance.core import events
from appliance.core.peer import Medium
from appliance.core.plugin import Plugin
from appliance.wire.rtp import RtpHeader, build_extensions
from tests.core.fake_media import OFFER
from tests.core.world import World
from tests.examples.install import install
from tests.peers.appliance import appliance

MEDIA = (Medium(mid="0", mindex=0, kind="audio", direction="recvonly", codec="opus"),)
ANSWER = "\r\n".join(
    (
        "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0", "a=recvonly",
        "a=rtpmap:111 opus/48000/2", "a=extmap:3 urn:ietf:params:rtp-hdrext:ssrc-audio-level", "",
    )
)  # fmt: skip


@pytest.fixture
def loudness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Any]]:
    for path in install("loudness", tmp_path):
        monkeypatch.syspath_prepend(path)
    importlib.invalidate_caches()
    yield Components("plugins").load("loudness")
    sys.modules.pop("loudness_plugin", None)


def level(dbov: int) -> memoryview:
    profile, data = build_extensions({3: bytes((-dbov,))})
    header = RtpHeader(111, 1, 2, 3, extension_profile=profile, extension=data)
    return memoryview(header.build() + b"opus")


@pytest.fixture
def call(loudness: type[Any], monkeypatch: pytest.MonkeyPatch) -> World:
    """Somebody whose audio is measured, three packets at a time."""
    monkeypatch.setattr("tests.core.fake_media.MEDIA", MEDIA)
    monkeypatch.setattr("tests.core.fake_media.ANSWER", ANSWER)
    plugin: Plugin = loudness(loudness.Config(packets=3))
    world = World(plugins={plugin.package: plugin})
    session_id = world.session()
    handle_id = world.say("attach", session_id=session_id, plugin=plugin.package)["data"]["id"]
    ids = {"session_id": session_id, "handle_id": handle_id}
    offer = {"type": "offer", "sdp": OFFER}
    assert world.say("message", **ids, body={"request": "measure"}, jsep=offer)["janus"] == "ack"
    world.settle()
    world.media.peer.up = True
    world.media.peer.tell(events.Connection(connection="webrtcup"))
    return world


def test_a_caller_is_told_how_loud_it_is(call: World) -> None:
    listener = call.media.peer.listeners["0"]
    assert listener is not None
    for dbov in (-10, -20, -30):
        listener(level(dbov))
    said = [one["plugindata"]["data"] for one in call.client.sent if "plugindata" in one]
    assert said[-1] == {"loudness": "event", "dBov": -20.0}
    assert ("send_data", "loudness", "", '{"loudness": "event", "dBov": -20.0}') in call.media.peer.calls
    told = [item.event.data for item in call.events if isinstance(item.event, events.Plugin)]
    assert told == [{"event": "loudness", "dBov": -20.0}]


def test_packets_without_a_level_are_left_out(call: World) -> None:
    listener = call.media.peer.listeners["0"]
    assert listener is not None
    before = len(call.client.sent)
    for _ in range(9):
        listener(memoryview(RtpHeader(111, 1, 2, 3).build()))
    assert len(call.client.sent) == before


@pytest.mark.parametrize(
    ("body", "code"), [({"request": "measure"}, 414), ({"request": "sing"}, 413), ({}, 413)], ids=str
)
def test_a_request_that_is_refused_says_why(call: World, body: dict[str, Any], code: int) -> None:
    session_id = call.session()
    handle_id = call.say("attach", session_id=session_id, plugin="example.plugin.loudness")["data"]["id"]
    reply = call.say("message", session_id=session_id, handle_id=handle_id, body=body)
    assert reply["plugindata"]["data"]["error_code"] == code


async def test_the_appliance_finds_it_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.setenv("PYTHONPATH", ":".join(install("loudness", site)))
    async with (
        appliance(tmp_path / "data", ["plugins.loudness.packets=7"]) as running,
        aiohttp.ClientSession() as http,
        http.get(f"{running.janus}/info") as reply,
    ):
        assert (await reply.json())["plugins"]["example.plugin.loudness"]["name"] == "Loudness plugin"
