"""What wsevh pushes, over real sockets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from appliance.core.events import Event
from appliance.intake.websocket import WebSocketIntake, WebSocketIntakeConfig
from tests.clock import FakeClock
from tests.intake.pushed import BAD, GOOD, LIMIT, outcomes, recorded, until


@asynccontextmanager
async def listening(**settings: Any) -> AsyncIterator[tuple[WebSocketIntake, list[Event]]]:
    got: list[Event] = []
    intake = WebSocketIntake(WebSocketIntakeConfig(port=0, max_message_bytes=LIMIT, **settings), FakeClock())
    await intake.start(got.append)
    try:
        yield intake, got
    finally:
        await intake.stop()


@asynccontextmanager
async def pushing(
    intake: WebSocketIntake, path: str = "/", **options: Any
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as session, session.ws_connect(intake.url + path, **options) as socket:
        yield socket


async def test_a_janus_servers_frames_arrive_as_they_were() -> None:
    frames, expected = recorded()
    async with listening() as (intake, got), pushing(intake) as socket:
        for number, frame in enumerate(frames):
            await (socket.send_str(frame.decode()) if number % 2 else socket.send_bytes(frame))
        await until(lambda: len(got) >= len(expected))
        assert got == expected
        assert outcomes(list(intake.measure())) == {
            "ok": len(expected), "malformed": 0, "refused": 0, "duplicate": 0,
        }  # fmt: skip


@pytest.mark.parametrize("path", ["/", "/janus/events?x=y", "//x", "/%2e%2e/y"])
@pytest.mark.parametrize("protocols", [(), ("janus-event-handlers",), ("a", "b")])
async def test_any_path_and_any_subprotocol_will_do(path: str, protocols: tuple[str, ...]) -> None:
    async with listening() as (intake, got), pushing(intake, path, protocols=protocols) as socket:
        assert socket.protocol == (protocols[0] if protocols else None)
        await socket.send_bytes(GOOD)
        await until(lambda: len(got) == 1)


@pytest.mark.parametrize("bad", BAD, ids=BAD)
async def test_what_is_no_event_is_counted_and_the_rest_goes_on(bad: str) -> None:
    async with listening() as (intake, got):
        async with pushing(intake) as socket:
            await socket.send_bytes(BAD[bad])
            await until(lambda: intake.reader.malformed + intake.reader.refused > 0)
        async with pushing(intake) as socket:
            await socket.send_bytes(GOOD)
            await until(lambda: len(got) == 1)


async def test_a_frame_that_is_no_text_ends_its_connection_alone() -> None:
    async with listening() as (intake, got), pushing(intake) as other, pushing(intake) as socket:
        await socket.send_frame(b"\xff\xfe", aiohttp.WSMsgType.TEXT)
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        await other.send_bytes(GOOD)
        await until(lambda: len(got) == 1)
        assert intake.reader.refused == 1


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"User-Agent": "Mozilla/5.0 (X11)", "Origin": "http://x"}],
)
async def test_a_web_page_pushes_nothing(headers: dict[str, str]) -> None:
    async with listening() as (intake, _):
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            async with pushing(intake, headers=headers):
                pass
        assert intake.reader.refused == 1


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth(user, password)}


async def test_who_shows_no_secret_stays_outside() -> None:
    async with listening(secret_path="/e-5f3a", user="u", password="p") as (intake, got):
        right, wrong = basic("u", "p"), basic("u", "q")
        for path, headers, status in (("/", right, "404"), ("/e-5f3a", {}, "401"), ("/e-5f3a", wrong, "401")):
            with pytest.raises(aiohttp.WSServerHandshakeError, match=status):
                async with pushing(intake, path, headers=headers):
                    pass
        async with pushing(intake, "/e-5f3a", headers=right) as socket:
            await socket.send_bytes(GOOD)
            await until(lambda: len(got) == 1)
        assert intake.unauthorized == 3


async def test_who_speaks_plain_http_is_told_what_this_is() -> None:
    async with (
        listening() as (intake, _),
        aiohttp.ClientSession() as session,
        session.post(intake.url.replace("ws:", "http:"), data=GOOD) as response,
    ):
        assert response.status == 426
        assert "wsevh" in await response.text()


@pytest.mark.parametrize("settings", [{"user": "u"}, {"password": "p"}, {"secret_path": "x"}])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="wanted"):
        WebSocketIntake(WebSocketIntakeConfig(**settings), FakeClock())
