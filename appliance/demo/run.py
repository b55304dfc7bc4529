"""``appliance demo``: starts the appliance on free ports, places one real call, and shows what everyone got from it."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp
import msgspec

from appliance.demo.client import CallError, EchoCall
from appliance.demo.report import missing_from, report
from appliance.hep.listener import HepListener
from appliance.supervisor import StartError, Supervisor

VERDICT_TIMEOUT = 15.0
HEP_TIMEOUT = 5.0
SHOWN_METRICS = ("appliance_peerconnections{", "appliance_rtp_packets_total", "appliance_hep_packets_sent_total")
Say = Callable[[str], Any]


class DemoFailedError(RuntimeError):
    """Something that the demo is to show did not happen; the message says what."""


def _settings(folder: str, hep_port: int, homer: str | None) -> list[str]:
    values = {
        "server.data_dir": folder,
        "server.name": "demo",
        "transports.http.port": "0",
        "transports.websocket.port": "0",
        "admin.enabled": "false",
        "media.port": "0",
        "console.port": "0",
        "intake.http.port": "0",
        "listener.enabled": "false",
        "handlers.hep.server": f"udp://127.0.0.1:{hep_port}",
    }
    if homer:
        values["handlers.hep.also"] = f'["{homer}"]'
    return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]


async def run_demo(arguments: Sequence[str], *, homer: str | None, seconds: float, say: Say) -> None:
    """Do it all, and print it. :raises DemoFailedError: not all of it happened."""
    decoded: Counter[int] = Counter()
    said_bye = asyncio.Event()

    def received(message: Any) -> None:
        decoded[message.payload_type] += 1
        if message.payload_type == 1 and message.payload.startswith(b"BYE "):
            said_bye.set()

    async with HepListener(received, port=0) as listener:
        with tempfile.TemporaryDirectory(prefix="appliance-demo-") as folder:
            supervisor = Supervisor([*arguments, *_settings(folder, listener.port, homer)])
            try:
                addresses = await supervisor.start()
                say(f"Started: Janus API {addresses['http']}, media {addresses['media']}, console {addresses['web']}")
                explained, metrics = await _call(addresses, seconds, say)
                try:
                    async with asyncio.timeout(HEP_TIMEOUT):
                        await said_bye.wait()
                except TimeoutError:
                    raise DemoFailedError("the call's BYE did not reach the HEP listener") from None
            except (StartError, CallError) as problem:
                raise DemoFailedError(str(problem)) from None
            finally:
                await supervisor.stop()
    for line in report(explained, decoded, metrics):
        say(line)
    if homer:
        say(f"The same went to {homer}.")
    missing = missing_from(explained, decoded, metrics)
    if missing:
        raise DemoFailedError("missing: " + "; ".join(missing))


async def _call(addresses: dict[str, str], seconds: float, say: Say) -> tuple[dict[str, Any], list[str]]:
    """Place the call, and return its explanation and the metrics while it was up."""
    async with EchoCall(addresses["http"]) as call, aiohttp.ClientSession(addresses["web"]) as web:
        await call.place()
        say(f"Call is up: session {call.session_id}, handle {call.handle_id}; {seconds:.0f} s of audio, video and data")
        await call.wait_for_data()
        await asyncio.sleep(seconds)
        metrics = await _metrics(web, call.session_id)
        verdict = asyncio.create_task(_final_verdict(web, call.session_id), name="verdict")
        await call.hang_up()
        say(f"Hung up. The data channel said: {call.data_received[0]!r}; frames back: {call.frames_received}")
        correlation_id = await verdict
        async with web.get(f"/api/calls/{correlation_id}") as reply:
            explained: dict[str, Any] = await reply.json()
    return explained, metrics


async def _metrics(web: aiohttp.ClientSession, session_id: int) -> list[str]:
    """The lines of both expositions that are about this call."""
    async with web.get("/metrics") as reply:
        bounded = (await reply.text()).splitlines()
    async with web.get("/metrics/handles") as reply:
        handles = (await reply.text()).splitlines()
    about_all = [line for line in bounded if line.startswith(SHOWN_METRICS) and not line.endswith(" 0")]
    return about_all + [line for line in handles if f'session_id="{session_id}"' in line]


async def _final_verdict(web: aiohttp.ClientSession, session_id: int) -> str:
    """Wait for the last verdict of the session's call in the event stream; returns its correlation id."""
    try:
        async with (
            asyncio.timeout(VERDICT_TIMEOUT),
            web.get("/events", params={"types": "external", "session": str(session_id)}) as reply,
        ):
            async for line in reply.content:
                if b'"final":true' in line:
                    return str(msgspec.json.decode(line)["correlation_id"])
    except TimeoutError:
        pass
    raise DemoFailedError(f"no verdict within {VERDICT_TIMEOUT:.0f} s of the hangup")
