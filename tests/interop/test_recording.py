"""What a browser sent, recorded, made playable by Janus's own tool and decoded."""

import asyncio
from pathlib import Path

import av
import pytest

from appliance.plugins.recordings import Limits, Recordings
from tests.clock import FakeClock
from tests.console.test_room import create, running_appliance
from tests.interop.test_simulcast import ROOM, person
from tests.peers.chromium import chromium
from tests.programs import need

pytestmark = pytest.mark.interop


async def playable(recording: Path, suffix: str) -> Path:
    """Converted by janus-pp-rec."""
    target = recording.with_suffix(suffix)
    process = await asyncio.create_subprocess_exec(
        need("janus-pp-rec"), str(recording), str(target),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, said.decode()
    return target


async def test_a_room_records_the_highest_encoding_and_the_voice(tmp_path: Path) -> None:
    async with running_appliance(tmp_path) as running, chromium() as browser:
        await create(running.janus, room=ROOM, record=True, rec_dir="takes")
        async with person(browser, running, width=960) as ann:
            async with asyncio.timeout(30):
                # Chromium begins with the lowest, and adds the others as the way turns out to carry them.
                again = "new Promise((done) => setTimeout(done, 100))"
                await ann.evaluate(f"(async () => {{ while (!((await encoded()).h > 30)) await {again}; }})()")
    audio, video = sorted((tmp_path / "plugins" / "videoroom" / "recordings" / "takes").iterdir())
    assert (audio.name[-12:], video.name[-12:]) == ("-audio-0.mjr", "-video-1.mjr")
    with av.open(str(await playable(video, ".webm"))) as film:
        sizes = [(frame.width, frame.height) for frame in film.decode(video=0)]
        assert film.streams.video[0].codec_context.name == "vp8"
    assert max(sizes) == (960, 540)
    assert len(sizes) > 30
    with av.open(str(await playable(audio, ".opus"))) as sound:
        seconds = sum(frame.samples / frame.sample_rate for frame in sound.decode(audio=0))
    # As long as the pictures took, at 15 a second.
    assert seconds == pytest.approx(len(sizes) / 15, rel=0.5)


async def test_messages_become_subtitles(tmp_path: Path) -> None:
    need("janus-pp-rec")
    clock = FakeClock()
    limits = Limits(file_bytes=1 << 20, total_bytes=1 << 20, files=1)
    recordings = Recordings("echotest", limits, clock=clock, write=lambda work: work())
    recordings.keep_in(tmp_path)
    recording = recordings.start("chat", "data", "text")
    assert recording is not None
    for text in ("hello", "grüße"):
        clock.advance(2)
        recording.text(text)
    recording.close()
    subtitles = (await playable(tmp_path / "chat.mjr", ".srt")).read_text("utf-8")
    assert "hello" in subtitles
    assert "00:00:02.000 --> " in subtitles.replace(",", ".")
    assert "grüße" in subtitles
