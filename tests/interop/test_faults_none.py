"""Calls in which nothing is wrong, whatever they look like, and all the ways to end one: never a fault."""

import asyncio
from pathlib import Path

import pytest
from aiortc import RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from tests.interop.faults.case import Case, Line, check, leave, run, stay
from tests.interop.faults.house import house
from tests.interop.faults.phone import Voice
from tests.interop.faults.way import Way, is_rtp
from tests.peers.phone import SmallVideo

pytestmark = pytest.mark.interop

TALK_S = 7.0
"""Longer than any rule waits for what does not come."""
VIDEOROOM = "janus.plugin.videoroom"
ROOM = 1234


async def audio_and_video(line: Line) -> None:
    await line.phone(Voice(), SmallVideo(), data=True).call(line.api)
    await talk(line)


async def talk(line: Line) -> None:
    await line.up()
    await asyncio.sleep(TALK_S)


async def muted(line: Line) -> None:
    """A track that is disabled goes on as silence."""
    await line.phone(AudioStreamTrack()).call(line.api)
    await talk(line)


async def data_alone(line: Line) -> None:
    phone = line.phone(data=True)
    await phone.call(line.api)
    await talk(line)


async def receives_alone(line: Line) -> None:
    """EchoTest has nothing for it: it agreed to send nothing, and so did the server."""
    await line.phone(receiving=("audio",)).call(line.api)
    await talk(line)


async def discontinuous(line: Line) -> None:
    """DTX: five packets a second while nobody speaks."""
    phone = line.phone(Voice(burst=5))
    await phone.call(line.api)
    await talk(line)


async def swapped(line: Line) -> None:
    """Packets in pairs, the second first: nothing of it is lost."""
    phone = line.phone(Voice(), way=Way())
    odd = False

    def late(data: bytes) -> float:
        nonlocal odd
        odd = odd != is_rtp(data)
        return 0.025 if is_rtp(data) and odd else 0.0

    phone.way.delay_s = late
    await phone.call(line.api)
    await talk(line)


async def sends_alone(line: Line) -> None:
    """A publisher, to whom a room sends nothing."""
    body = {"request": "joinandconfigure", "room": ROOM, "ptype": "publisher"}
    await line.phone(Voice()).call(line.api, body=body)
    await talk(line)


async def short(line: Line) -> None:
    await line.phone(Voice()).call(line.api)
    await line.up()
    await asyncio.sleep(1.5)


async def closes(line: Line) -> None:
    await line.phones[0].close()


async def hangs_up(line: Line) -> None:
    await line.api.ask("hangup")


async def page_closed(line: Line) -> None:
    """Its API connection and its sockets are gone at once, without a word."""
    line.phones[0].way.cut()
    await line.drop()


async def watches(line: Line) -> None:
    """A subscriber, who sends nothing but reports."""
    publisher = await line.another(VIDEOROOM)
    body = {"request": "joinandconfigure", "room": ROOM, "ptype": "publisher"}
    joined = await publisher.phone(Voice()).call(publisher.api, body=body)
    await publisher.up()
    await line.api.ask("message", body={
        "request": "join", "room": ROOM, "ptype": "subscriber",
        "streams": [{"feed": joined["plugindata"]["data"]["id"]}],
    })  # fmt: skip
    offered = await line.api.next("event")
    phone = line.phone()
    await phone.pc.setRemoteDescription(RTCSessionDescription(**offered["jsep"]))
    await phone.pc.setLocalDescription(await phone.pc.createAnswer())
    jsep = {"type": "answer", "sdp": phone.pc.localDescription.sdp}
    await line.api.ask("message", body={"request": "start"}, jsep=jsep)
    await talk(line)


async def publishes_for_a_while(line: Line) -> None:
    body = {"request": "joinandconfigure", "room": ROOM, "ptype": "publisher"}
    await line.phone(Voice()).call(line.api, body=body)
    await line.up()
    await asyncio.sleep(1.5)


async def unpublishes(line: Line) -> None:
    await line.api.ask("message", body={"request": "unpublish"})


async def by_admin(line: Line) -> None:
    line.house.gateway.command("hangup", {"session_id": line.session_id, "handle_id": line.api.ids["handle_id"]})


async def stops(line: Line) -> None:
    line.house.gateway.shutdown()


HEALTHY = [
    Case(name="audio, video, data", play=audio_and_video, code="ended_by_app", live="healthy"),
    Case(name="muted", play=muted, code="ended_by_app", live="healthy"),
    Case(name="data alone", play=data_alone, code="ended_by_app", live="healthy"),
    Case(name="receives alone", play=receives_alone, code="ended_by_app", live="healthy"),
    Case(name="discontinuous", play=discontinuous, code="ended_by_app", live="healthy"),
    Case(name="reordered", play=swapped, code="ended_by_app", live="healthy"),
    Case(name="watches", play=watches, code="ended_by_app", live="healthy", plugin=VIDEOROOM),
    Case(name="sends alone", play=sends_alone, code="ended_by_app", live="healthy", plugin=VIDEOROOM),
]
ENDS = [
    Case(name="close_notify", wire="normal_close", play=short, end=closes, code="normal_close"),
    # Packets alone show that the server closed it, and not who asked for that.
    Case(name="hangup", wire="ended_unknown", play=short, end=hangs_up, code="ended_by_app"),
    Case(name="destroy", wire="ended_unknown", play=short, end=leave, code="ended_by_app"),
    Case(name="unpublish", play=publishes_for_a_while, end=unpublishes, code="ended_by_plugin", plugin=VIDEOROOM),
    Case(name="administrator", play=short, end=by_admin, code="ended_by_admin"),
    Case(name="page closed", play=short, end=page_closed, code="client_gone"),
]


async def test_nothing_is_wrong(tmp_path: Path) -> None:
    async with house(tmp_path) as gateway:
        outcomes = await run(gateway, HEALTHY + ENDS)
    check(HEALTHY + ENDS, outcomes)
    assert [name for name, outcome in outcomes.items() if outcome.final["severity"] == "fault"] == []
    told = [one for outcome in outcomes.values() for one in outcome.live]
    assert [one for one in told if one["severity"] == "fault"] == []


async def test_an_application_that_falls_asleep_and_a_server_that_stops(tmp_path: Path) -> None:
    async with house(tmp_path, session_timeout_s=3.0) as gateway:
        cases = [Case(name="no keep-alive", play=short, end=stay, code="session_timeout")]
        check(cases, await run(gateway, cases))
        cases = [Case(name="the server stops", play=short, end=stops, code="server_shutdown")]
        check(cases, await run(gateway, cases))
