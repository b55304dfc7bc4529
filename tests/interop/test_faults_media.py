"""Calls that come up and then lack something, each broken on purpose: judged as they go, and from their recordings."""

import asyncio
import re
from pathlib import Path

import pytest
from aiortc.mediastreams import AudioStreamTrack

from tests.interop.faults.case import LIVE_S, Case, Line, check, leave, run, stay
from tests.interop.faults.house import house
from tests.interop.faults.phone import Voice, Withheld
from tests.interop.faults.way import Way, damaged, is_rtp, losing
from tests.peers.phone import SmallVideo

pytestmark = pytest.mark.interop

NAP_S = 0.3


async def keep(line: Line, seconds: float) -> None:
    """Let it run."""
    await line.up()
    await asyncio.sleep(seconds)


async def broken_keys(line: Line) -> None:
    await line.phone(Voice(), way=Way(to_server=damaged)).call(line.api)
    await line.up()


async def other_payload_type(line: Line) -> None:
    """The client sends by an answer that the server never gave."""

    def other(sdp: str) -> str:
        return re.sub(r"(?<=m=audio )(\d+ \S+) 96", r"\1 113", sdp).replace(":96 ", ":113 ")

    await line.phone(Voice()).call(line.api, answer=other)
    await line.up()


async def silent_tracks(line: Line) -> None:
    await line.phone(Withheld("audio")).call(line.api)
    await line.up()


async def camera_alone(line: Line) -> None:
    await line.phone(Withheld("audio"), SmallVideo()).call(line.api)
    await line.up()


async def microphone_alone(line: Line) -> None:
    await line.phone(Voice(), Withheld("video")).call(line.api)
    await line.up()


async def no_echo(line: Line) -> None:
    """The plugin is told to send nothing back."""
    await line.phone(Voice()).call(line.api, body={"audio": False})
    await line.up()


async def vanishes(line: Line) -> None:
    phone = line.phone(Voice())
    await phone.call(line.api)
    await keep(line, 2.5)
    phone.way.cut()


async def dries_up(line: Line) -> None:
    await line.phone(Voice(seconds=3)).call(line.api)
    await line.up()


async def blacked_out(line: Line) -> None:
    phone = line.phone(Voice())
    await phone.call(line.api)
    await keep(line, 3)
    phone.way.cut()
    await asyncio.sleep(6.5)
    phone.way.mend()


async def lossy_up(line: Line) -> None:
    await line.phone(Voice(), way=Way(to_server=losing(8))).call(line.api)
    await line.up()


async def lossy_down(line: Line) -> None:
    await line.phone(Voice(), way=Way(to_client=losing(8))).call(line.api)
    await line.up()


async def lossy_for_a_while(line: Line) -> None:
    phone = line.phone(Voice(), way=Way(to_server=losing(8)))
    await phone.call(line.api)
    await line.up()
    await line.house.heard(line.session_id, lambda one: one["code"] == "uplink_loss", LIVE_S)
    phone.way.mend()


async def until_it_resolves(line: Line) -> None:
    assert await line.house.heard(line.session_id, lambda one: one["resolves"] == "uplink_loss", LIVE_S)
    await leave(line)


async def uneven(line: Line) -> None:
    phone = line.phone(Voice())
    loop = asyncio.get_running_loop()
    # As a radio does that is asleep most of the time: packets wait, and come together.
    phone.way.delay_s = lambda data: NAP_S - loop.time() % NAP_S if is_rtp(data) else 0.0
    await phone.call(line.api)
    await line.up()


async def wrong_rate(line: Line) -> None:
    await line.phone(Voice(speed=1.25)).call(line.api)
    await line.up()


async def speechless(line: Line) -> None:
    await line.phone(AudioStreamTrack()).call(line.api)
    await line.up()


MEDIA = [
    Case(name="damaged packets", play=broken_keys, code="srtp_decrypt_failed", live="srtp_decrypt_failed"),
    Case(name="another payload type", play=other_payload_type, code="rtp_unroutable", live="rtp_unroutable"),
    Case(name="nothing sent", play=silent_tracks, code="no_media_from_client", live="no_media_from_client"),
    Case(name="no microphone", play=camera_alone, code="no_media_from_client", live="no_media_from_client"),
    Case(name="no camera", play=microphone_alone, code="no_video_from_client", live="no_video_from_client"),
    Case(name="no echo", play=no_echo, code="no_media_to_client", live="no_media_to_client"),
    Case(name="network gone", wire="network_lost", play=vanishes, code="network_lost", live="network_lost", end=stay),
    Case(name="track ended", wire="media_stopped", play=dries_up, code="media_stopped", live="media_stopped"),
]
QUALITY = [
    Case(
        name="black-out",
        wire="network_interrupted",
        play=blacked_out,
        code="network_interrupted",
        live="network_interrupted",
    ),
    Case(name="loss to the server", wire="uplink_loss", play=lossy_up, code="uplink_loss", live="uplink_loss"),
    Case(
        name="loss for a while",
        wire="uplink_loss",
        play=lossy_for_a_while,
        code="uplink_loss",
        live="uplink_loss",
        end=until_it_resolves,
    ),
    Case(name="loss to the client", play=lossy_down, code="downlink_loss", live="downlink_loss"),
    Case(name="uneven arrival", wire="high_jitter", play=uneven, code="high_jitter", live="high_jitter"),
    Case(name="wrong clock rate", play=wrong_rate, code="clock_or_timestamp_fault", live="clock_or_timestamp_fault"),
    Case(name="silence alone", play=speechless, code="ended_by_app", live="silent_source", also=("silent_source",)),
]


async def test_what_goes_wrong_in_a_call(tmp_path: Path) -> None:
    cases = MEDIA + QUALITY
    async with house(tmp_path, ice_timeout=13.0) as gateway:
        outcomes = await run(gateway, cases)
    check(cases, outcomes)
