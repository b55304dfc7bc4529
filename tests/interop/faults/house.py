"""A gateway, live diagnosis and recordings in one process: calls are judged as they go, and from their bundles."""

import asyncio
import json
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from appliance.commands.replay import Options, explain_files
from appliance.core.bus import EventBus
from appliance.core.clock import LoopClock
from appliance.core.events import VERDICT_SCHEMA, Body, Event, External
from appliance.core.gateway import Gateway, GatewayConfig
from appliance.core.handler import HandlerContext
from appliance.core.stamp import Stamper
from appliance.handlers.diagnosis import DiagnosisConfig, DiagnosisHandler
from appliance.handlers.recording import RecordingHandler
from appliance.handlers.recording.config import RecordingRules
from appliance.media.config import MediaConfig
from appliance.media.engine import Engine
from appliance.plugins.echotest import EchoTest
from appliance.plugins.videoroom import VideoRoom
from appliance.recording.bundle import WIRE
from appliance.recording.config import RecordingConfig
from appliance.recording.recorder import GatewayRecorder
from appliance.transports.websocket import WebSocketTransport
from tests.peers.caller import Journal, Server

JsonObject = dict[str, Any]
NAME = "faults"
LOOK_EVERY_S = 1.0
"""At a call that is up: less than usual, so that nobody waits for hysteresis."""


class House:
    """The link between gateway and handlers is a function call."""

    def __init__(self, folder: Path, session_timeout_s: float, media: JsonObject) -> None:
        self.folder = folder
        self.journal = Journal()
        self.verdicts: dict[int, list[JsonObject]] = {}
        """Of each session, in the order in which they were told."""
        self._grown = asyncio.Event()
        self._stamper = Stamper(LoopClock())
        self._batches: asyncio.Queue[Event] = asyncio.Queue()
        clock, loop = LoopClock(), asyncio.get_running_loop()
        settings: JsonObject = {"port": 0, "ice_timeout": 9.0, "dtls_timeout": 9.0} | media
        self.engine = Engine(MediaConfig(**settings), clock)
        self.gateway = Gateway(
            GatewayConfig(session_timeout_s=session_timeout_s),
            clock,
            self._publish,
            self.engine,
            {EchoTest.package: EchoTest(EchoTest.Config()), VideoRoom.package: VideoRoom(VideoRoom.Config())},
            server_name=NAME,
        )

        def run(work: Callable[[], None]) -> None:
            loop.run_in_executor(None, work)

        self.gateway.context.recorder = GatewayRecorder(RecordingConfig(buffer_seconds=120), clock, folder, run)
        context = HandlerContext(
            clock=clock,
            data_dir=folder,
            server_name=NAME,
            publish=self._said,
            bus=EventBus(clock),
            measured=[],
            gateways=self,
        )
        self.diagnosis = DiagnosisHandler(DiagnosisConfig(), context)
        self.recording = RecordingHandler(RecordingRules(), context)
        self.transport = WebSocketTransport(WebSocketTransport.Config(port=0))
        self.server: Server

    def _publish(self, item: Event) -> None:
        stamped = self._stamper.stamp(item)
        self.journal.add(stamped)
        self._batches.put_nowait(stamped)

    def _said(self, body: Body, about: Event) -> None:
        if isinstance(body, External) and body.schema == VERDICT_SCHEMA and about.session_id is not None:
            self.verdicts.setdefault(about.session_id, []).append(body.data)
            self._grown.set()
            self._grown = asyncio.Event()

    async def pump(self) -> None:
        while True:
            item = await self._batches.get()
            await self.diagnosis.handle([item])
            await self.recording.handle([item])

    async def request(self, server: str, verb: str, args: JsonObject) -> JsonObject:
        """What the link to a gateway does."""
        assert server == NAME
        return self.gateway.command(verb, args)

    async def heard(self, session_id: int, wanted: Callable[[JsonObject], bool], seconds: float) -> bool:
        """Whether a verdict of that session was told within so long."""
        try:
            async with asyncio.timeout(seconds):
                while not any(wanted(one) for one in self.verdicts.get(session_id, [])):
                    await self._grown.wait()
        except TimeoutError:
            return False
        return True

    def final(self, session_id: int) -> JsonObject | None:
        """The last verdict of the session's PeerConnection, once it is over."""
        return next((one for one in reversed(self.verdicts.get(session_id, [])) if one["final"]), None)

    async def replayed(self) -> dict[str, tuple[JsonObject, str | None]]:
        """By correlation id: what ``replay --json`` says of each bundle, and the code of its packets alone."""
        await self.recording.stop()
        found: dict[str, tuple[JsonObject, str | None]] = {}
        for info in self.recording.bundles():
            path = self.recording.path(info.name)
            assert path is not None
            for explained in await asyncio.to_thread(explained_by_replay, path):
                if explained["correlation_id"] == info.correlation_id:
                    found[info.correlation_id] = explained, await asyncio.to_thread(self._wire_alone, path)
        return found

    def bundle(self, correlation_id: str) -> Path | None:
        """What was recorded of that call."""
        found = (info for info in self.recording.bundles() if info.correlation_id == correlation_id)
        return next((self.recording.path(info.name) for info in found), None)

    def _wire_alone(self, bundle: Path) -> str | None:
        with zipfile.ZipFile(bundle) as archive:
            if WIRE not in archive.namelist():
                return None
            path = self.folder / f"{bundle.stem}.pcapng"
            path.write_bytes(archive.read(WIRE))
        calls = explained_by_replay(path)
        return str(calls[0]["verdict"]["code"]) if calls else None


def explained_by_replay(path: Path) -> list[JsonObject]:
    """``appliance replay PATH --json``; a capture without packets has no calls."""
    lines: list[str] = []
    explain_files([path], Options(as_json=True), lines.append, lambda _note: None)
    return [json.loads(line) for line in lines]


@asynccontextmanager
async def house(folder: Path, *, session_timeout_s: float = 60.0, **media: Any) -> AsyncIterator[House]:
    """Run one. ``media`` are settings of the engine, beside time-outs that are shorter than usual."""
    made = House(folder, session_timeout_s, media)
    await made.engine.start()
    made.gateway.start([made.transport])
    await made.transport.start(made.gateway)
    await made.diagnosis.start()
    made.server = Server(made.journal, {made.transport.name: made.transport.url})
    pump = asyncio.create_task(made.pump(), name="pump")
    try:
        with patch("appliance.handlers.diagnosis.UP_EVERY_S", LOOK_EVERY_S):
            yield made
    finally:
        made.gateway.shutdown()
        await made.transport.stop()
        await made.engine.stop()
        await made.diagnosis.stop()
        await made.recording.stop()
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)
