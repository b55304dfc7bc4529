"""Run inside a namespace: a call through Debian's Janus, whose events go to our collector; prints what it explains."""

import asyncio
import json
import sys
from pathlib import Path

from appliance.demo.client import EchoCall
from tests.peers.appliance import appliance
from tests.peers.janus import free_port, janus
from tests.peers.namespace import ADDRESS


async def main(folder: Path) -> None:
    port = free_port()
    options = [f"intake.http.port={port}"]
    async with (
        appliance(folder / "data", options) as running,
        janus(folder / "janus", events_to=f"http://127.0.0.1:{port}/any/path") as server,
    ):
        async with EchoCall(server.url, address=ADDRESS) as call:
            await call.place()
            await call.wait_for_data()
            await call.wait_for_frames("video", 45)
            await call.hang_up()
        explained = await running.call(call.session_id)
        metrics = await running.get("/metrics")
    print(json.dumps({"explained": explained, "metrics": metrics}))


asyncio.run(main(Path(sys.argv[1])))
