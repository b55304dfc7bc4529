"""The system's limits, and a log that stays readable when they are reached."""

import asyncio
import errno
import logging
import resource

import pytest

from appliance.net import limits
from appliance.net.limits import QUIET_S, QuietLoop, is_scarce, raise_descriptor_limit
from tests.clock import FakeClock


def test_the_soft_limit_becomes_the_hard_one() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = 512
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, before[1]))
    try:
        assert raise_descriptor_limit() == before[1]
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_limit_that_can_not_be_raised_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(which: int, values: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_descriptor_limit() == 1024
    assert "the limit of open files stays at 1024: not allowed" in caplog.text


@pytest.mark.parametrize(
    ("descriptor", "limit", "scarce"),
    [(895, 1024, False), (896, 1024, True), (99, 200, False), (100, 200, True), (500_000, 2**31 - 1, False)],
)
def test_the_last_descriptors_are_kept(descriptor: int, limit: int, scarce: bool) -> None:
    assert is_scarce(descriptor, limit) is scarce


async def test_one_line_for_a_thousand_refused_accepts(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    handler = QuietLoop(clock.monotonic)
    loop = asyncio.get_running_loop()
    context = {
        "message": "socket.accept() out of system resource",
        "exception": OSError(errno.EMFILE, "Too many open files"),
    }
    with caplog.at_level(logging.ERROR):
        for _ in range(1_000):
            handler(loop, context)
        assert len(caplog.records) == 1
        assert "no connection can be taken: Too many open files (the limit is" in caplog.text
        handler(loop, {"message": "Task exception was never retrieved", "exception": KeyError("x")})
        assert len(caplog.records) == 2
        clock.advance(QUIET_S)
        handler(loop, context)
    assert "socket.accept() out of system resource (OSError): 999 more were not logged" in caplog.text
    assert handler.problems == 1_002


async def test_ever_new_messages_do_not_flood_the_log_either(caplog: pytest.LogCaptureFixture) -> None:
    handler = QuietLoop(FakeClock().monotonic)
    with caplog.at_level(logging.ERROR):
        for number in range(1_000):
            handler(asyncio.get_running_loop(), {"message": f"problem {number}"})
    assert len(caplog.records) == limits.MAX_KINDS + 1
