"""``python -m tests.console.serve [PORT]``: the console with recorded calls, to look at and for pictures.

Calls of a real Janus at today's times, one of which is still going on.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Sequence

from aiohttp import web

from appliance.console.api import Console
from appliance.console.gate import Gate
from appliance.console.guard import host_guard
from appliance.console.login import Login
from appliance.console.nettest import NetworkTests
from appliance.console.servers import ServerRoutes
from appliance.console.settings import Options
from appliance.core.clock import Clock, LoopClock
from appliance.health import Health
from tests.clock import FakeClock
from tests.console.recorded import MemoryArchive, MemoryJournal, another, moved, recorded

CALLS = (
    ("reneg_icerestart", 5_400), ("vanish_http", 3_900), ("chrome_echo_http", 2_520), ("dtls_badfp", 1_500),
    ("ice_wrongcand", 1_260), ("loss_slowlink", 640),
)  # fmt: skip
"""Recording, and how many seconds ago it began."""
ROOM = ("videoroom_http", 300)
LIVE = "chrome_echo_http"


def filled_archive(now_us: int) -> MemoryArchive:
    """Every recorded call, ended."""
    archive = MemoryArchive()
    for name, ago in (*CALLS, ROOM):
        archive.add(moved(recorded(name), now_us - ago * 1_000_000))
    return archive


def application(
    archive: MemoryArchive,
    options: Options | None = None,
    *,
    live_interval_s: float = 1.0,
    max_watchers: int = 32,
    left_out: Sequence[str] = (),
    clock: Clock | None = None,
    servers: ServerRoutes | None = None,
    tests: NetworkTests | None = None,
) -> web.Application:
    """What the collector mounts. ``left_out``: handlers that could not start; ``clock``: that of everything here."""
    clock = clock or LoopClock()
    console = Console(
        archive,
        MemoryJournal(archive),
        options,
        servers=servers,
        tests=tests,
        clock=clock,
        live_interval_s=live_interval_s,
        max_watchers=max_watchers,
    )
    gate = Gate(Login(options or Options(), clock))
    app = web.Application(middlewares=[host_guard((options or Options()).allowed_hosts), gate.middleware()])
    app.add_routes(gate.routes())
    app.add_routes(console.routes())
    app.add_routes(Health(FakeClock(), [], lambda: left_out).routes())

    async def close(_app: web.Application) -> None:
        await console.close()

    app.on_shutdown.append(close)
    return app


async def play(archive: MemoryArchive) -> None:
    """One recorded call at its own pace, again and again."""
    while True:
        events = moved(recorded(LIVE), time.time_ns() // 1000)
        renumber = len(archive.kept)
        for item in events:
            await asyncio.sleep(max(0.0, item.timestamp / 1e6 - time.time()))
            archive.add([another(item, renumber)])
        await asyncio.sleep(20)


async def main(port: int) -> None:
    """Serve until interrupted."""
    archive = filled_archive(time.time_ns() // 1000)
    runner = web.AppRunner(application(archive, Options(homer_url="http://127.0.0.1:9080/call?id={correlation_id}")))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(f"http://127.0.0.1:{port}/", flush=True)
    try:
        await play(archive)
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8080))
