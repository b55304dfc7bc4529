"""A real call is recorded as it goes, and its bundle tells the same as the live call did."""

import asyncio
import json
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.commands.replay import explain_recording
from appliance.core import events
from appliance.core.bus import EventBus
from appliance.core.clock import LoopClock
from appliance.core.events import Event
from appliance.core.gateway import Gateway, GatewayConfig
from appliance.core.handler import HandlerContext
from appliance.core.stamp import Stamper
from appliance.diagnosis.explain import Explanation, explain
from appliance.handlers.recording import RecordingHandler
from appliance.handlers.recording.config import RecordingRules
from appliance.handlers.recording.live import LiveCall
from appliance.intake.recorded import read_recording
from appliance.media.config import MediaConfig
from appliance.media.engine import Engine
from appliance.plugins.echotest import EchoTest
from appliance.recording.config import RecordingConfig
from appliance.recording.recorder import GatewayRecorder
from appliance.transports.websocket import WebSocketTransport
from appliance.wire.capture import ip_packets, segment
from appliance.wire.pcap import Skipped
from tests.peers.caller import Journal, Server, caller
from tests.peers.phone import Phone


class Told(RecordingHandler):
    """Says when the first bundle is made, or has failed."""

    def __init__(self, config: RecordingRules, context: HandlerContext) -> None:
        super().__init__(config, context)
        self.finished = asyncio.Event()

    async def _finish(self, call: LiveCall, *, final: bool | None = None) -> Path | None:
        path = await super()._finish(call, final=final)
        self.finished.set()
        return path


class House:
    """A gateway and a recording handler in one process, the link between them a function call."""

    def __init__(self, folder: Path, rules: RecordingRules, kept: RecordingConfig) -> None:
        self.folder = folder
        self.clock = LoopClock()
        self.stamper = Stamper(self.clock)
        self.journal = Journal()
        loop = asyncio.get_running_loop()
        self.engine = Engine(MediaConfig(port=0), self.clock)
        plugins = {EchoTest.package: EchoTest(EchoTest.Config())}
        self.gateway = Gateway(GatewayConfig(), self.clock, self.publish, self.engine, plugins, server_name="rec")
        self.recorder = GatewayRecorder(kept, self.clock, folder, lambda work: _run(loop, work))
        self.gateway.context.recorder = self.recorder
        context = HandlerContext(
            clock=self.clock,
            data_dir=folder,
            server_name="rec",
            publish=lambda _body, _about: None,
            bus=EventBus(self.clock),
            measured=[],
            gateways=self,
        )
        self.handler = Told(rules, context)
        self.server: Server
        self._batches: asyncio.Queue[Event] = asyncio.Queue()

    def publish(self, item: Event) -> None:
        stamped = self.stamper.stamp(item)
        self.journal.add(stamped)
        self._batches.put_nowait(stamped)

    async def pump(self) -> None:
        while True:
            await self.handler.handle([await self._batches.get()])

    async def request(self, server: str, verb: str, args: dict[str, Any]) -> dict[str, Any]:
        assert server == "rec"
        return self.gateway.command(verb, args)

    def live(self) -> Explanation:
        return explain([item for item in self.journal.items if not isinstance(item.body, events.Counters)], final=True)


def _run(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    loop.run_in_executor(None, work)


@asynccontextmanager
async def house(
    folder: Path, rules: RecordingRules | None = None, kept: RecordingConfig | None = None
) -> AsyncIterator[House]:
    made = House(folder, rules or RecordingRules(), kept or RecordingConfig())
    await made.engine.start()
    transport = WebSocketTransport(WebSocketTransport.Config(port=0))
    made.gateway.start([transport])
    await transport.start(made.gateway)
    made.server = Server(made.journal, {transport.name: transport.url})
    pump = asyncio.create_task(made.pump(), name="pump")
    try:
        yield made
    finally:
        made.gateway.shutdown()
        await transport.stop()
        await made.engine.stop()
        await made.handler.stop()
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)


async def place_call(made: House, ask: Callable[[dict[str, Any]], None] = lambda ids: None) -> None:
    """Set up, let media flow, hang up from the client."""
    phone = Phone()
    try:
        async with caller(made.server, "websocket") as client:
            await client.begin(opaque_id="somebody")
            ask(client.ids)
            body = {"audio": True, "video": True, "pin": "pin-of-nobody"}
            await client.ask("message", body=body, jsep=await phone.offer())
            answered = await client.next("event")
            await phone.answer(answered["jsep"])
            await client.next("webrtcup")
            async with asyncio.timeout(15):
                await phone.frames["audio"].wait()
                await phone.frames["video"].wait()
            await made.journal.media_flow()
            await client.ask("hangup")
            await made.journal.until(lambda one: isinstance(one, events.Connection) and one.connection == "hangup")
    finally:
        await phone.close()


async def first_bundle(made: House) -> Path:
    async with asyncio.timeout(10):
        await made.handler.finished.wait()
    path = made.handler.path(made.handler.bundles()[0].name)
    assert path is not None
    return path


def names_in(folder: Path) -> list[str]:
    return [path.name for path in (folder / "recordings").iterdir()]


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def datagrams(capture: bytes) -> list[bytes]:
    found = []
    skipped = Skipped()
    for _, start, end in ip_packets(capture, skipped):
        inner = segment(capture, start, end, skipped)
        assert inner is not None
        found.append(capture[inner.start + 8 : inner.end])
    return found


async def test_a_call_is_recorded_whole_and_its_bundle_gets_the_verdict_of_the_live_call(tmp_path: Path) -> None:
    async with house(tmp_path, kept=RecordingConfig(keys=True)) as made:
        await place_call(made, lambda ids: made.handler.start_rule(f"next handle {ids['handle_id']}"))
        path = await first_bundle(made)
        live = made.live()
        assert made.handler.rules == []
    found = members(path)
    manifest = json.loads(found["manifest.json"])
    assert manifest["packets_missing"] is None
    assert (manifest["verdict"], manifest["rule"][:12]) == (live.verdict.code, "next handle ")
    wire = datagrams(found["wire.pcapng"])
    kinds = {"stun" if one[0] < 4 else "dtls" if one[0] < 64 else "srtp" for one in wire}
    assert kinds == {"stun", "dtls", "srtp"}
    plain = datagrams(found["plain.pcapng"])
    headers = [one for one in plain if not 191 < one[1] < 224]
    assert headers
    assert all(len(one) < 100 for one in headers)
    said = [json.loads(line) for line in found["api.jsonl"].splitlines()]
    assert {one["message"]["janus"] for one in said} >= {"message", "ack", "event", "webrtcup", "hangup"}
    assert b"pin-of-nobody" not in found["api.jsonl"]
    assert found["keys.log"].startswith(b"CLIENT_RANDOM ")
    assert {name.partition("-")[2] for name in found if name.startswith("sdp/")} == {
        "remote-offer.sdp", "local-answer.sdp",
    }  # fmt: skip
    (again,) = explain_recording(read_recording(path), Stamper(LoopClock()))
    for name in ("code", "severity", "sentence", "actor", "phase", "detail"):
        assert getattr(again.explanation.verdict, name) == getattr(live.verdict, name)
    assert again.explanation.client_address == live.client_address
    assert [one.name for one in again.explanation.phases] == [one.name for one in live.phases]
    assert names_in(tmp_path) == [path.name]


async def test_the_wire_capture_of_a_bundle_tells_the_same_as_far_as_a_wire_can(tmp_path: Path) -> None:
    async with house(tmp_path, kept=RecordingConfig(keys=True)) as made:
        await place_call(made, lambda ids: made.handler.start_rule(f"handle {ids['handle_id']}"))
        path = await first_bundle(made)
    capture = tmp_path / "wire.pcapng"
    capture.write_bytes(members(path)["wire.pcapng"])
    recording = read_recording(capture)
    # The capture has its keys in it: what both ends reported is what the gateway had from it in clear.
    assert recording.tally is not None
    assert recording.tally.opened == recording.tally.rtcp > 0
    plain = [one for one in datagrams(members(path)["plain.pcapng"]) if 191 < one[1] < 224]
    assert recording.tally.opened == len(plain)
    # The same keys in a file of their own, and without any: the reports stay closed.
    whole = capture.read_bytes()
    first = whole.index(b"KSLT") - 8
    length = int.from_bytes(whole[first + 4 : first + 8], "little")
    closed = tmp_path / "closed.pcapng"
    closed.write_bytes(whole[:first] + whole[first + length :])
    for key_log, opened in ((b"", 0), (members(path)["keys.log"], len(plain))):
        tally = read_recording(closed, key_log).tally
        assert tally is not None
        assert tally.opened == opened
    (call,) = explain_recording(recording, Stamper(LoopClock()))
    # Who asked for the end is said in the API alone.
    assert (call.explanation.verdict.severity, call.explanation.verdict.phase) == ("notice", "end")
    assert call.explanation.up_us is not None
    assert sum(track.packets_in for track in call.explanation.tracks) > 10
    assert sum(track.packets_out for track in call.explanation.tracks) > 10


async def test_a_rule_takes_what_was_kept_in_memory_of_a_call_that_nobody_had_asked_for(tmp_path: Path) -> None:
    rules = RecordingRules(rules=("next verdict normal_close",), mask="all")
    async with house(tmp_path, rules, RecordingConfig(buffer_seconds=10)) as made:
        await place_call(made)
        code = made.live().verdict.code
        made.handler.start_rule(f"verdict {code}")
        path = await first_bundle(made)
    found = members(path)
    assert datagrams(found["wire.pcapng"])
    assert b"somebody" not in b"".join(found.values())
    assert json.loads(found["manifest.json"])["masked"] is True


async def test_a_call_that_failed_has_the_packets_of_its_setting_up(tmp_path: Path) -> None:
    rules = RecordingRules(rules=("next verdict normal_close",))
    async with house(tmp_path, rules, RecordingConfig()) as made:
        await place_call(made)
        made.handler.start_rule(f"verdict {made.live().verdict.code}")
        path = await first_bundle(made)
    found = members(path)
    firsts = {one[0] for one in datagrams(found["wire.pcapng"])}
    assert {0, 22} <= firsts
    assert not [first for first in firsts if 127 < first < 192]
    assert datagrams(found["plain.pcapng"]) == []
    assert b"offer" in found["api.jsonl"]


async def test_a_full_disk_ends_the_recording_and_not_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: Any, **_options: Any) -> Any:
        raise OSError(28, "No space left on device")

    async with house(tmp_path) as made:
        monkeypatch.setattr("appliance.handlers.recording.handler.write_bundle", full)
        await place_call(made, lambda ids: made.handler.start_rule(f"handle {ids['handle_id']}"))
        async with asyncio.timeout(10):
            await made.handler.finished.wait()
        counts = {one.labels.get("outcome"): one.value for one in made.handler.measure()}
        assert (counts["failed"], counts["written"]) == (1, 0)
    assert made.live().verdict.severity == "good"
    assert names_in(tmp_path) == []
