"""Key frames as they are counted: those that came, and those that were passed on."""

import pytest

from tests.clock import FakeClock
from tests.media.conftest import Call
from tests.media.test_reports import stats

KEY, DELTA, LATER = b"\x10\x00" + b"k" * 50, b"\x10\x01" + b"d" * 50, b"\x00" + b"l" * 50
Sent = tuple[int, int, bytes]
"""Sequence number, timestamp, payload."""


@pytest.mark.parametrize(
    ("sent", "keyframes"),
    [
        pytest.param([(1, 0, KEY), (2, 0, LATER), (3, 3000, DELTA), (4, 6000, KEY)], 2, id="among others"),
        pytest.param([(1, 0, KEY), (2, 0, KEY)], 1, id="one of two partitions that look like beginnings"),
        pytest.param([(1, 0, DELTA), (3, 3000, LATER), (2, 3000, KEY)], 1, id="its beginning comes late"),
        pytest.param([(1, 0, DELTA), (3, 6000, DELTA), (2, 3000, KEY)], 1, id="and later than the next frame"),
        pytest.param([(1, 0, DELTA), (2, 3000, LATER), (3, 6000, DELTA)], 0, id="none"),
        pytest.param([(1, 0, b"")], 0, id="empty"),
    ],
)
async def test_those_that_came(call: Call, clock: FakeClock, sent: list[Sent], keyframes: int) -> None:
    client, handle = call()
    for sequence, timestamp, payload in sent:
        client.send_rtp("video", sequence, timestamp, payload)
        client.pump()
    clock.advance(1.0)
    shown = stats(handle, "video")
    assert (shown.keyframes_received, shown.keyframes_sent) == (keyframes, keyframes)
    found = handle.peer.describe()["media"]["1"]["stats"]
    assert (found["in"]["keyframes"], found["out"]["keyframes"]) == (keyframes, keyframes)


async def test_what_is_held_back_is_not_sent(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    handle.peer.set_sending("1", active=False)
    client.send_rtp("video", 1, 0, KEY)
    client.pump()
    handle.peer.set_sending("1", active=True)
    client.send_rtp("video", 2, 3000, KEY)
    client.pump()
    clock.advance(1.0)
    shown = stats(handle, "video")
    assert (shown.keyframes_received, shown.keyframes_sent) == (2, 1)


async def test_audio_has_none(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    client.send_rtp("audio", 1, 0)
    client.pump()
    clock.advance(1.0)
    assert (stats(handle, "audio").keyframes_received, stats(handle, "audio").keyframes_sent) == (None, None)
    assert "keyframes" not in handle.peer.describe()["media"]["0"]["stats"]["in"]
