"""A client of the Janus API over HTTP or WebSocket, for a gateway of ours in this process, and what that publishes."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from appliance.core import events
from appliance.core.events import Event

JsonObject = dict[str, Any]


class Journal:
    """Everything that was published, and waiting for it."""

    def __init__(self) -> None:
        self.items: list[Event] = []
        self._grown = asyncio.Event()

    def add(self, item: Event) -> None:
        self.items.append(item)
        self._grown.set()

    async def until(self, condition: Callable[[events.Body], bool], count: int = 1) -> None:
        async with asyncio.timeout(15):
            while sum(condition(item.body) for item in self.items) < count:
                self._grown.clear()
                await self._grown.wait()

    async def media_flow(self) -> None:
        """Until more than a few packets of sound and of picture were told to have come and to have gone back."""
        await self.until(lambda one: _flows(one, "audio"))
        await self.until(lambda one: _flows(one, "video"))


def _flows(told: events.Body, medium: str) -> bool:
    if not isinstance(told, events.MediaStats) or told.media != medium:
        return False
    return min(told.packets_received or 0, told.packets_sent or 0) > 5


class Server:
    def __init__(self, journal: Journal, urls: dict[str, str]) -> None:
        self.journal = journal
        self.urls = urls


class Caller:
    """A Janus client: requests are answered, notifications wait in :attr:`told`."""

    def __init__(self) -> None:
        self.ids: JsonObject = {}
        self.told: asyncio.Queue[JsonObject] = asyncio.Queue()
        self.began = asyncio.Event()

    async def begin(self, **rest: Any) -> None:
        """A session, and a handle on EchoTest."""
        self.ids["session_id"] = (await self.ask("create"))["data"]["id"]
        self.began.set()
        self.ids["handle_id"] = (await self.ask("attach", plugin="janus.plugin.echotest", **rest))["data"]["id"]

    async def ask(self, janus: str, **rest: Any) -> JsonObject:
        raise NotImplementedError

    async def next(self, janus: str) -> JsonObject:
        async with asyncio.timeout(15):
            message = await self.told.get()
        assert message["janus"] == janus, message
        return message


class HttpCaller(Caller):
    def __init__(self, url: str, client: aiohttp.ClientSession) -> None:
        super().__init__()
        self._url = url
        self._client = client

    async def ask(self, janus: str, **rest: Any) -> JsonObject:
        path = "".join(f"/{number}" for number in self.ids.values())
        message = {"janus": janus, "transaction": secrets.token_hex(6), **rest}
        async with self._client.post(self._url + path, json=message) as response:
            answer: JsonObject = await response.json()
            assert answer["transaction"] == message["transaction"]
            return answer

    async def listen(self) -> None:
        await self.began.wait()
        while True:
            async with self._client.get(f"{self._url}/{self.ids['session_id']}?maxev=10") as response:
                if response.status == 404:
                    return
                for message in await response.json():
                    if message["janus"] != "keepalive":
                        self.told.put_nowait(message)


class WebSocketCaller(Caller):
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        super().__init__()
        self._socket = socket
        self._answers: dict[str, asyncio.Future[JsonObject]] = {}

    async def ask(self, janus: str, **rest: Any) -> JsonObject:
        transaction = secrets.token_hex(6)
        answer: asyncio.Future[JsonObject] = asyncio.get_running_loop().create_future()
        self._answers[transaction] = answer
        await self._socket.send_json({"janus": janus, "transaction": transaction, **self.ids, **rest})
        async with asyncio.timeout(15):
            return await answer

    async def listen(self) -> None:
        async for frame in self._socket:
            message = json.loads(frame.data)
            answer = self._answers.pop(message.get("transaction"), None)
            if answer is not None:
                answer.set_result(message)
            else:
                self.told.put_nowait(message)


@asynccontextmanager
async def caller(server: Server, kind: str) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as client:
        one: HttpCaller | WebSocketCaller
        if kind == "http":
            one = HttpCaller(server.urls["janus.transport.http"], client)
        else:
            url = server.urls["janus.transport.websockets"]
            one = WebSocketCaller(await client.ws_connect(url, protocols=("janus-protocol",)))
        listener = asyncio.create_task(one.listen(), name="listener")
        try:
            yield one
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)
