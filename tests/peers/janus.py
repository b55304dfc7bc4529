"""Debian's Janus as a peer: its own configuration folder, ports on loopback, no state outside it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp

from tests.peers.leash import hold


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _folder(kind: str) -> str:
    found = next(Path("/usr/lib").glob(f"*/janus/{kind}"), None)
    assert found is not None, f"no janus/{kind} below /usr/lib"
    return str(found)


class Everything(NamedTuple):
    """What a Janus has besides: WebSockets, the Admin API and VideoRoom, with settings of their own files."""

    admin_secret: str = "janusoverlord"
    general: str = ""
    """Of ``general`` in janus.jcfg."""
    videoroom: str = ""
    """Of ``general`` in its file."""
    rooms: str = ""


def write_configuration(
    folder: Path,
    *,
    http_port: int,
    events_to: str | None,
    server_name: str,
    handlers: Mapping[str, str] | None = None,
    everything: Everything | None = None,
) -> tuple[int, int]:
    """EchoTest over HTTP, events by sampleevh to ``events_to`` where given.

    ``handlers``: further event handlers by name (``wsevh``) and the settings of each beside those that all have.
    Returns the ports of WebSockets and of the Admin API, used where there is ``everything``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handlers = handlers or {}
    keep = {"libjanus_echotest.so", "libjanus_http.so", "libjanus_sampleevh.so"}
    general, socket_port, admin_port = "", free_port(), free_port()
    if everything is not None:
        keep |= {"libjanus_videoroom.so", "libjanus_websockets.so"}
        general = f'admin_secret = "{everything.admin_secret}"\n  {everything.general}'
        (folder / "janus.transport.websockets.jcfg").write_text(
            f'general: {{ json = "compact" ws = true ws_port = {socket_port} ws_ip = "127.0.0.1" }}\n'
        )
        (folder / "janus.plugin.videoroom.jcfg").write_text(
            f"general: {{ {everything.videoroom} }}\n{everything.rooms}\n"
        )
    keep |= {f"libjanus_{name}.so" for name in handlers}
    disable = {
        kind: ",".join(sorted(p.name for p in Path(_folder(kind)).glob("*.so") if p.name not in keep))
        for kind in ("plugins", "transports", "events", "loggers")
    }
    (folder / "janus.jcfg").write_text(f"""
general: {{
  configs_folder = "{folder}"
  plugins_folder = "{_folder("plugins")}"
  transports_folder = "{_folder("transports")}"
  events_folder = "{_folder("events")}"
  loggers_folder = "{_folder("loggers")}"
  debug_level = 3
  server_name = "{server_name}"
  {general}
}}
media: {{ rtp_port_range = "20000-40000" }}
nat: {{ full_trickle = false }}
plugins: {{ disable = "{disable["plugins"]}" }}
transports: {{ disable = "{disable["transports"]}" }}
loggers: {{ disable = "{disable["loggers"]}" }}
events: {{
  broadcast = {"true" if events_to else "false"}
  disable = "{disable["events"]}"
}}
""")
    (folder / "janus.transport.http.jcfg").write_text(
        f'general: {{ json = "compact" base_path = "/janus" http = true port = {http_port} ip = "127.0.0.1" '
        f"https = false }}\nadmin: {{ admin_http = {'false' if everything is None else 'true'} "
        f'admin_base_path = "/admin" admin_port = {admin_port} admin_ip = "127.0.0.1" }}\n'
    )
    (folder / "janus.eventhandler.sampleevh.jcfg").write_text(
        f'general: {{ enabled = {"true" if events_to else "false"} events = "all" grouping = true '
        f'json = "compact" backend = "{events_to or "http://127.0.0.1:9/"}" }}\n'
    )
    for name, settings in handlers.items():
        (folder / f"janus.eventhandler.{name}.jcfg").write_text(
            f'general: {{ enabled = true events = "all" json = "compact" {settings} }}\n'
        )
    (folder / "janus.plugin.echotest.jcfg").write_text("general: { }\n")
    return socket_port, admin_port


class Janus:
    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url
        self.websocket = ""
        self.admin = ""

    @property
    def pid(self) -> int:
        return self.process.pid


@asynccontextmanager
async def janus(
    folder: Path,
    *,
    events_to: str | None = None,
    server_name: str = "janus-peer",
    handlers: Mapping[str, str] | None = None,
    everything: Everything | None = None,
) -> AsyncIterator[Janus]:
    """Run Janus until the block ends."""
    port = free_port()
    ports = write_configuration(
        folder,
        http_port=port,
        events_to=events_to,
        server_name=server_name,
        handlers=handlers,
        everything=everything,
    )
    log = (folder / "log.txt").open("wb")
    process = await asyncio.create_subprocess_exec(
        "janus", "-F", str(folder), "-C", str(folder / "janus.jcfg"), stdout=log, stderr=log
    )
    hold(process.pid)
    url = f"http://127.0.0.1:{port}/janus"
    try:
        async with aiohttp.ClientSession() as http, asyncio.timeout(15):
            while True:
                try:
                    async with http.get(f"{url}/info") as reply:
                        await reply.read()
                        break
                except aiohttp.ClientError:
                    assert process.returncode is None, (folder / "log.txt").read_text("utf-8", "replace")[-2000:]
                    await asyncio.sleep(0.05)
        server = Janus(process, url)
        if everything is not None:
            server.websocket, server.admin = f"ws://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}/admin"
        yield server
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        log.close()
