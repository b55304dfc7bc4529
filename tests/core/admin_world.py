"""An Admin API over a world of fakes: captures in memory, a collector that answers what the test says."""

import asyncio
from typing import Any

from appliance.core.admin import AdminApi
from appliance.core.admin_tools import AdminTools, Capture
from appliance.core.events import PairAddresses
from appliance.core.gateway import GatewayConfig
from tests.core.world import JsonObject, World


class FakeCapture:
    def __init__(self, path: str, *, text: bool) -> None:
        self.path = path
        self.text = text
        self.packets: list[tuple[bytes, bool]] = []
        self.closed = False

    def packet(self, data: bytes, *, incoming: bool, pair: PairAddresses | None) -> None:
        self.packets.append((data, incoming))

    def close(self) -> None:
        self.closed = True


class FakeCaptures:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int, str]] = []
        self.capture: FakeCapture | None = None

    def start(self, *, text: bool, folder: str, filename: str, truncate: int, about: str) -> Capture:
        if folder.startswith("/"):
            raise ValueError(f"{folder} is outside of the data directory")
        self.asked.append((folder, filename, truncate, about))
        self.capture = FakeCapture(f"/data/{filename}", text=text)
        return self.capture


class FakeNetwork:
    async def resolve(self, address: str) -> str:
        if address != "127.0.0.1":
            raise OSError("no such name")
        return address

    async def test_stun(self, address: str, port: int, local_port: int) -> tuple[str, int]:
        if port != 3479:
            raise OSError("no answer")
        return "192.0.2.1", 4000 + local_port


class FakeCollector:
    """Has a handler ``hep``; ``away`` says why it can't be asked."""

    def __init__(self) -> None:
        self.away = ""
        self.asked: list[tuple[str, JsonObject]] = []

    async def ask(self, verb: str, args: dict[str, Any]) -> dict[str, Any]:
        if self.away:
            raise ConnectionError(self.away)
        self.asked.append((verb, args))
        if verb == "list_eventhandlers":
            return {"handlers": ["hep"]}
        if verb.endswith(("_recording", "_recordings")):
            return {"rules": [args["rule"]], "recording": []}
        return {"response": {"result": 200}} if args["handler"].endswith("hep") else {}


class FakeLogs:
    level = 4
    timestamps = True


class AdminWorld(World):
    """``ask`` sends a request of the Admin API."""

    def __init__(self, config: GatewayConfig | None = None, secret: str = "") -> None:
        super().__init__(config)
        self.captures, self.collector, self.logs = FakeCaptures(), FakeCollector(), FakeLogs()
        tools = AdminTools(captures=self.captures, network=FakeNetwork(), collector=self.collector, logs=self.logs)
        self.admin = AdminApi(self.gateway, tools, secret)

    def ask(self, janus: str, **rest: Any) -> JsonObject:
        return self.serve({"janus": janus, "transaction": "t"} | rest)

    def serve(self, message: object) -> JsonObject:
        answer = asyncio.run(self.admin.request(message))
        self.settle()
        return answer
