"""Debian's Firefox, headless, with made-up camera and microphone, driven by WebDriver BiDi without a driver between."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp

from tests.peers.leash import hold
from tests.programs import need

PREFERENCES = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    # A machine without any network interface still has a call to place.
    "media.peerconnection.ice.loopback": True,
    # A made-up camera is no permission in Firefox's eyes; with a real one it tells its addresses.
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,none",
}
_LISTENING = re.compile(rb"WebDriver BiDi listening on (ws://\S+)")


class Page:
    """The one tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = count(1)
        self._context = ""

    async def open(self) -> None:
        """Begin the session."""
        await self._ask("session.new", capabilities={})
        tree = await self._ask("browsingContext.getTree")
        self._context = tree["contexts"][0]["context"]

    async def goto(self, url: str) -> None:
        await self._ask("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression, of a promise its outcome."""
        wrapped = f"(async () => JSON.stringify(await ({expression})) ?? 'null')()"
        done = await self._ask(
            "script.evaluate", expression=wrapped, target={"context": self._context}, awaitPromise=True
        )
        assert done["type"] == "success", done["exceptionDetails"]["text"]
        return json.loads(done["result"]["value"])

    async def until(self, condition: str, *, seconds: float = 20.0) -> None:
        """Once an expression holds."""
        look = f"(async () => {{ while (!await ({condition})) await new Promise((next) => setTimeout(next, 50)); }})()"
        async with asyncio.timeout(seconds):
            await self.evaluate(look)

    async def _ask(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async for message in self._socket:
            answer = json.loads(message.data)
            if answer.get("id") == number:
                assert answer["type"] == "success", f"{method}: {answer}"
                return answer["result"]
        raise AssertionError(f"{method}: the browser has gone")


@asynccontextmanager
async def firefox() -> AsyncIterator[Page]:
    program = need("firefox-esr")
    with TemporaryDirectory(prefix="appliance-firefox-", ignore_cleanup_errors=True) as profile:
        lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items())
        (Path(profile) / "user.js").write_text("\n".join(lines))
        process = await asyncio.create_subprocess_exec(
            program, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        hold(process.pid)
        assert process.stderr is not None
        try:
            async with asyncio.timeout(60):
                found = None
                while found is None:
                    line = await process.stderr.readline()
                    assert line, "Firefox ended before it listened"
                    found = _LISTENING.search(line)
            rest = asyncio.create_task(process.stderr.read(), name="firefox's words")
            async with (
                aiohttp.ClientSession() as http,
                http.ws_connect(f"{found[1].decode()}/session", max_msg_size=0) as socket,
            ):
                page = Page(socket)
                await page.open()
                yield page
            rest.cancel()
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
