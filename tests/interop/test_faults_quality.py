"""Calls that go on, but badly: pictures that never come, full lines, paths that change; judged live and recorded."""

import asyncio
import re
import secrets
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tests.interop.faults.case import LIVE_S, Case, Line, check, run
from tests.interop.faults.house import house
from tests.interop.faults.phone import Phone, Voice
from tests.interop.faults.way import Bottleneck, Way, is_rtp, losing, losing_first_frame
from tests.peers.phone import SmallVideo
from tests.peers.relay import relay

pytestmark = pytest.mark.interop

DELAY_S = 0.2
"""Of the round trip, each way has half."""


class Still(SmallVideo):
    """One picture all the time: an encoder makes no key frames of its own of it."""

    _picture = secrets.token_bytes(160 * 120)

    async def recv(self) -> Any:
        frame = await super().recv()
        for plane in frame.planes:
            plane.update(self._picture[: plane.buffer_size])
        return frame


async def pictureless(line: Line) -> None:
    """The first frame is lost for good, and the encoder is deaf to requests for another key frame."""
    phone = line.phone(Voice(), Still())
    phone.pc.getSenders()[1]._send_keyframe = lambda: None

    def offer(sdp: str) -> str:
        formats = re.findall(r"^a=rtpmap:(\d+) (?:VP8|rtx)/", sdp, re.MULTILINE)
        phone.way.to_server = losing_first_frame(tuple(map(int, formats)))
        # Told another bitrate, aiortc would begin with a new encoder.
        return re.sub(r"a=rtcp-fb:\d+ goog-remb\r\n", "", sdp)

    await phone.call(line.api, offer=offer)
    await line.up()


async def full_line(line: Line) -> None:
    phone = line.phone(Voice(), way=Way(to_server=losing(8), to_client=losing(8)))
    await phone.call(line.api)
    await line.up()
    await asyncio.sleep(2.5)
    phone.way.delay_s = phone.way.delay_to_client_s = lambda _data: DELAY_S / 2


async def bloated(line: Line) -> None:
    phone = line.phone(SmallVideo())
    await phone.call(line.api)
    await line.up()
    await asyncio.sleep(7)
    # Less than half of what is sent, and enough that a report's way through the queue takes no longer than the case.
    phone.way.delay_to_client_s = Bottleneck(80_000)


async def never_content(line: Line) -> None:
    """Asks for key frames all the time."""
    phone = line.phone(Voice(), SmallVideo())
    await phone.call(line.api)
    await line.up()
    asking = asyncio.create_task(ask(phone), name="asking")
    try:
        await line.house.heard(line.session_id, lambda one: one["code"] == "keyframe_storm", LIVE_S)
    finally:
        asking.cancel()


async def ask(phone: Phone) -> None:
    receiver = phone.pc.getReceivers()[1]
    while True:
        for source in receiver.getSynchronizationSources():
            await receiver._send_rtcp_pli(source.source)
        await asyncio.sleep(0.7)


async def moving(line: Line) -> None:
    """A NAT gives it another port every few seconds."""
    # Else the client would tell of its new address within five seconds alone.
    with patch("aioice.ice.CONSENT_INTERVAL", 0.05):
        await move(line)


async def move(line: Line) -> None:
    async with relay() as way:
        await line.phone(Voice()).call(line.api, offer=way.hide, answer=way.divert)
        await line.up()
        for _ in range(3):
            await asyncio.sleep(2.5)
            way.move()
        await line.house.heard(line.session_id, lambda one: one["code"] == "unstable_path", LIVE_S)


async def repaired(line: Line) -> None:
    lossy = losing(7)

    def some(data: bytes) -> bytes | None:
        return lossy(data) if is_rtp(data) and len(data) > 300 else data

    await line.phone(SmallVideo(), way=Way(to_server=some)).call(line.api)
    await line.up()


QUALITY = [
    Case(name="no picture", play=pictureless, code="no_keyframe", live="no_keyframe"),
    Case(name="full line", play=full_line, code="congestion", live="congestion"),
    Case(name="key frames asked for", play=never_content, code="keyframe_storm", live="keyframe_storm"),
    Case(name="path that changes", play=moving, code="unstable_path", live="unstable_path"),
    Case(name="loss repaired", play=repaired, code="loss_repaired", live="loss_repaired"),
]
BLOAT = [Case(name="bufferbloat", play=bloated, code="bandwidth_drop", live="bandwidth_drop")]


async def test_what_goes_badly(tmp_path: Path) -> None:
    async with house(tmp_path, ice_timeout=13.0) as gateway:
        outcomes = await run(gateway, QUALITY)
    check(QUALITY, outcomes)


async def test_a_buffer_that_fills(tmp_path: Path) -> None:
    """By itself: the client's estimate is made of arrival times, which other calls on a busy machine spoil."""
    async with house(tmp_path, ice_timeout=13.0) as gateway:
        outcomes = await run(gateway, BLOAT)
    check(BLOAT, outcomes)
