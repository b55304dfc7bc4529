"""Phases of a PeerConnection's beginning, by table."""

from collections.abc import Callable

import pytest

from appliance.core.events import UNTOLD
from appliance.metrics.setup import Setup, directions

SENDS = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=sendrecv\r\n"
LISTENS = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=recvonly\r\n"
MS = 1000

Step = Callable[[Setup], None]


def offer(at: int, sdp: str = SENDS) -> Step:
    return lambda setup: setup.described("remote", sdp, at * MS)


def answer(at: int, sdp: str = SENDS) -> Step:
    return lambda setup: setup.described("local", sdp, at * MS)


def ice(state: str, at: int) -> Step:
    return lambda setup: setup.ice(state, at * MS)


def dtls(state: str, at: int) -> Step:
    return lambda setup: setup.dtls(state, at * MS)


def up(at: int) -> Step:
    return lambda setup: setup.up(at * MS)


def media(at: int) -> Step:
    return lambda setup: setup.media(at * MS)


def end(reason: str | None, at: int) -> Step:
    return lambda setup: setup.end(reason, at * MS)


DESCRIBED = [offer(0), ice("gathering", 1), answer(3), ice("connecting", 4)]
OPENED = [("gathering", "ok", 2), ("signalling", "ok", 3)]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param(
            [*DESCRIBED, ice("connected", 24), ice("ready", 24), dtls("trying", 25), dtls("connected", 55), up(56),
             media(66), media(90), end("Janus API", 9000)],
            [*OPENED, ("ice", "ok", 20), ("dtls", "ok", 30), ("first_media", "ok", 10)],
            id="all is well",
        ),
        pytest.param(
            [*DESCRIBED, ice("failed", 7004), end("ICE failed", 12000)], [*OPENED, ("ice", "failed", 7000)],
            id="ice fails, and the time is that of the failure",
        ),
        pytest.param(
            [*DESCRIBED, ice("failed", 7004), ice("connected", 8004), end(None, 9000)], [*OPENED, ("ice", "ok", 8000)],
            id="a late candidate mends it",
        ),
        pytest.param([*DESCRIBED, end(None, 104)], [*OPENED, ("ice", "abandoned", 100)], id="the client went"),
        pytest.param(
            [*DESCRIBED, ice("connected", 5), dtls("trying", 5), end("DTLS timeout", 20005)],
            [*OPENED, ("ice", "ok", 1), ("dtls", "timeout", 20000)], id="dtls times out",
        ),
        pytest.param(
            [*DESCRIBED, ice("connected", 5), dtls("trying", 5), dtls("failed", 15), end("DTLS alert", 16)],
            [*OPENED, ("ice", "ok", 1), ("dtls", "failed", 10)], id="dtls fails",
        ),
        pytest.param(
            [*DESCRIBED, ice("connected", 5), up(10), end("Janus API", 6010)],
            [*OPENED, ("ice", "ok", 1), ("first_media", "timeout", 6000)], id="no media ever came",
        ),
        pytest.param(
            [*DESCRIBED, ice("connected", 5), up(10), end("Janus API", 900)],
            [*OPENED, ("ice", "ok", 1), ("first_media", "abandoned", 890)], id="no media yet",
        ),
        pytest.param(
            [offer(0, LISTENS), answer(3), up(10), end("Janus API", 9000)], [("signalling", "ok", 3)],
            id="a client that only listens owes no media",
        ),
        pytest.param([offer(0), end(None, 50)], [("signalling", "abandoned", 50)], id="never answered"),
        pytest.param([*DESCRIBED, end(UNTOLD, 90_000)], OPENED, id="nobody told what became of it"),
        pytest.param(
            [offer(0), ice("gathering", 1), end("Gathering error", 6)],
            [("signalling", "abandoned", 6), ("gathering", "failed", 5)], id="gathering fails",
        ),
        pytest.param(
            [*DESCRIBED, ice("connected", 5), offer(5000), answer(5009), ice("gathering", 5010),
             ice("connecting", 5011), ice("connected", 5030), end("Janus API", 6000)],
            [*OPENED, ("ice", "ok", 1)], id="a restart is no second beginning",
        ),
        pytest.param(
            [offer(100), answer(40), end(None, 0)], [("signalling", "ok", 0)], id="a clock that steps back"
        ),
    ],
)  # fmt: skip
def test_phases(steps: list[Step], expected: list[tuple[str, str, float]]) -> None:
    found: list[tuple[str, str, float]] = []
    setup = Setup(lambda phase, outcome, seconds: found.append((phase, outcome, round(seconds * 1000, 3))))
    for step in steps:
        step(setup)
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize(
    ("sdp", "expected"),
    [
        ("v=0\r\n", []),
        ("m=audio 9 X 0\nm=video 9 X 96\na=recvonly\n", ["sendrecv", "recvonly"]),
        ("a=sendonly\r\nm=audio 9 X 0\r\nm=video 9 X 96\r\na=inactive\r\n", ["sendonly", "inactive"]),
        ("m=audio 0 X 0\r\na=sendrecv\r\n", ["inactive"]),
        ("m=audio 0 X 0\r\na=bundle-only\r\na=sendrecv\r\n", ["sendrecv"]),
        ("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=sendrecv\r\n", ["inactive"]),
        ("m=\r\nm", ["inactive"]),
    ],
)
def test_directions(sdp: str, expected: list[str]) -> None:
    assert directions(sdp) == expected
