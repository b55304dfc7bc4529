"""One of two gateways that are asked the same: what it says is kept by the step of the conversation."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

JsonObject = dict[str, Any]
Wanted = Callable[[JsonObject], bool]
PATIENCE_S = 5.0
NOTHING: JsonObject = {"nothing": True}


class Side:
    """``steps``: by name, everything that a step brought."""

    def __init__(self, http: aiohttp.ClientSession, url: str, socket_url: str, admin_url: str, secret: str) -> None:
        self.http = http
        self.url = url
        self.admin_url = admin_url
        self.steps: dict[str, list[JsonObject]] = {}
        self.unasked: list[JsonObject] = []
        self.session_id = 0
        self.common: JsonObject = {}
        """Added to every request of the Janus API: a secret, a token."""
        self._admin_secret = secret
        self._socket_url = socket_url
        self._pending: dict[str, asyncio.Queue[JsonObject]] = {}
        self._came = asyncio.Condition()
        self._count = 0

    async def __aenter__(self) -> "Side":
        await self.connect()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.disconnect()

    async def connect(self) -> None:
        self._socket = await self.http.ws_connect(self._socket_url, protocols=["janus-protocol"])
        self._reader = asyncio.create_task(self._read(), name="messages of a gateway")

    async def disconnect(self) -> None:
        await self._socket.close()
        await self._reader

    async def _read(self) -> None:
        async for frame in self._socket:
            message = json.loads(frame.data)
            queue = self._pending.get(message.get("transaction", ""))
            if queue is not None:
                queue.put_nowait(message)
                continue
            async with self._came:
                self.unasked.append(message)
                self._came.notify_all()

    async def say(self, step: str, janus: str, **rest: Any) -> JsonObject:
        """Ask over the WebSocket; where a plugin acknowledges, its event is what counts. Returns what came last."""
        self._count += 1
        transaction = f"t{self._count}"
        queue = self._pending[transaction] = asyncio.Queue()
        rest = {key: value for key, value in rest.items() if value is not None}
        await self._socket.send_str(json.dumps({"janus": janus, "transaction": transaction, **self.common, **rest}))
        said = self.steps[step] = [await _soon(queue)]
        if janus == "message" and said[0].get("janus") in {"ack", "event"}:
            # Janus's threads may tell the event first.
            said.append(await _soon(queue))
        return max(said, key=lambda one: one.get("janus") == "event")

    async def raw(self, step: str, text: str) -> None:
        """Send what may be no request, which is answered without a transaction."""
        before = len(self.unasked)
        await self._socket.send_str(text)
        async with asyncio.timeout(PATIENCE_S), self._came:
            await self._came.wait_for(lambda: len(self.unasked) > before)
            self.steps[step] = [self.unasked.pop()]

    async def heard(self, wanted: Wanted) -> JsonObject:
        """What nobody asked for, once it is there."""

        def found() -> JsonObject | None:
            return next((one for one in self.unasked if wanted(one)), None)

        try:
            async with asyncio.timeout(PATIENCE_S), self._came:
                await self._came.wait_for(lambda: found() is not None)
                return found() or NOTHING
        except TimeoutError:
            return NOTHING

    def notified(self, step: str, *, without: frozenset[str] = frozenset({"media"})) -> None:
        """Close the books on what nobody asked for."""
        self.steps[step] = [one for one in self.unasked if one["janus"] not in without]
        self.unasked = []

    async def ask_http(self, step: str, method: str, path: str, **options: Any) -> JsonObject:
        """Ask over HTTP; the status is part of what was said."""
        return await self._http(step, method, self.url + path, **options)

    async def admin(self, step: str, janus: str, path: str = "", **rest: Any) -> JsonObject:
        message = {"janus": janus, "transaction": "a", "admin_secret": self._admin_secret, **rest}
        return await self._http(step, "POST", self.admin_url + path, json=message)

    async def _http(self, step: str, method: str, url: str, **options: Any) -> JsonObject:
        try:
            async with self.http.request(method, url, allow_redirects=False, **options) as reply:
                status, text = reply.status, await reply.text()
        except aiohttp.ClientError:
            self.steps[step] = [{"closed": True}]
            return {}
        body = json.loads(text) if text.startswith(("{", "[")) else text
        self.steps[step] = [{"status": status, "body": body}]
        return body if isinstance(body, dict) else {}

    # --- short for what every conversation does -----------------------------------------------------------------

    async def session(self) -> int:
        created = await self.say("create", "create")
        self.session_id = int(created["data"]["id"])
        return self.session_id

    async def attach(self, plugin: str = "janus.plugin.videoroom", **rest: Any) -> JsonObject:
        """A new handle's ids."""
        attached = await self.say("attach", "attach", session_id=self.session_id, plugin=plugin, **rest)
        return {"session_id": self.session_id, "handle_id": attached["data"]["id"]}

    async def room(self, step: str, ids: JsonObject, request: str, *, jsep: Any = None, **body: Any) -> JsonObject:
        """A request of VideoRoom; its data, with the description where there is one."""
        answer = await self.say(step, "message", **ids, body={"request": request, **body}, jsep=jsep)
        data: JsonObject = answer.get("plugindata", {}).get("data", {})
        return {**data, "jsep": answer["jsep"]} if "jsep" in answer else data


async def _soon(queue: "asyncio.Queue[JsonObject]") -> JsonObject:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await queue.get()
    except TimeoutError:
        return NOTHING


class Phone:
    """A PeerConnection of aiortc: silence and a still picture, as far as it sends."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))

    async def __aenter__(self) -> "Phone":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.connection.close()

    def send(self, *kinds: str) -> None:
        for kind in kinds:
            self.connection.addTrack(AudioStreamTrack() if kind == "audio" else VideoStreamTrack())

    async def offer(self) -> JsonObject:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return {"type": "offer", "sdp": self.connection.localDescription.sdp, "trickle": False}

    async def take(self, jsep: JsonObject) -> None:
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp=jsep["sdp"], type=jsep["type"]))

    async def answer(self, jsep: JsonObject) -> JsonObject:
        await self.take(jsep)
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        return {"type": "answer", "sdp": self.connection.localDescription.sdp, "trickle": False}
