"""``appliance check``: tries the configuration and every peer that it names, and says in words what is wrong."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from appliance.config import (
    ConfigError,
    ConsoleConfig,
    ListenerConfig,
    ServerConfig,
    Settings,
    UnknownComponentError,
    section_struct,
)

CONNECT_TIMEOUT = 5.0


class Port(msgspec.Struct, frozen=True):
    """An address that a section wants to listen on."""

    setting: str
    host: str
    number: int
    udp: bool = False


def wanted_ports(settings: Settings) -> Iterator[Port]:
    """Every address that ``appliance run`` would listen on; port 0 (any free one) is left out."""
    media = msgspec.to_builtins(settings.section("media", section_struct("media")))
    for host in media["addresses"]:
        yield Port("media.port", host, media["port"], udp=True)
    for path in ("transports.http", "transports.websocket", "intake.http"):
        section = msgspec.to_builtins(settings.section(path, section_struct(path)))
        if section.get("enabled", True):
            yield Port(f"{path}.port", section["host"], section["port"])
    admin = msgspec.to_builtins(settings.section("admin", section_struct("admin")))
    if admin["enabled"]:
        for name in ("http_port", "websocket_port"):
            yield Port(f"admin.{name}", admin["host"], admin[name])
    console = settings.section("console", ConsoleConfig)
    yield Port("console.port", console.host, console.port)
    listener = settings.section("listener", ListenerConfig)
    if listener.enabled:
        yield Port("listener.port", listener.host, listener.port)
        yield Port("listener.port", listener.host, listener.port, udp=True)


def why_not(port: Port) -> str | None:
    """Try to listen there; the reason in words when it can't be."""
    try:
        family, _, _, _, address = socket.getaddrinfo(port.host, port.number)[0]
        kind = socket.SOCK_DGRAM if port.udp else socket.SOCK_STREAM
        with socket.socket(family, kind) as probe:
            if not port.udp:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as problem:
        return problem.strerror or str(problem)
    return None


async def why_unreachable(url: str) -> str | None:
    """Try a capture server; the reason in words when it can't be reached, ``None`` when it could."""
    parts = urlsplit(url)
    try:
        host, number = parts.hostname, parts.port
    except ValueError as problem:
        return str(problem)
    if not host or not number:
        return "wanted scheme://host:port"
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            if parts.scheme == "udp":
                loop = asyncio.get_running_loop()
                await loop.getaddrinfo(host, number, type=socket.SOCK_DGRAM)
                return None
            _, writer = await asyncio.open_connection(host, number, ssl=True if parts.scheme == "tls" else None)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
    except TimeoutError:
        return f"no answer within {CONNECT_TIMEOUT:.0f} s: a firewall, or nothing there"
    except OSError as problem:
        return problem.strerror or str(problem)
    return None


async def _runs_already(settings: Settings) -> bool:
    console = settings.section("console", ConsoleConfig)
    timeout = aiohttp.ClientTimeout(total=2)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.get(f"http://{console.host}:{console.port}/healthz") as reply,
        ):
            return "handlers_left_out" in await reply.text()
    except (aiohttp.ClientError, TimeoutError):
        return False


async def check_everything(settings: Settings, *, say: Callable[[str], Any]) -> int:
    """Say what is right and wrong, a line each, and return the number of problems."""
    problems = 0

    def tell(good: bool, text: str) -> None:
        nonlocal problems
        problems += not good
        say(f"{'ok     ' if good else 'PROBLEM'}  {text}")

    try:
        settings.check()
        tell(True, "every setting is known and has a value of its kind")
    except (ConfigError, UnknownComponentError) as problem:
        tell(False, str(problem))
        return problems
    from appliance.folder import data_dir

    try:
        tell(True, f"server.data_dir: {data_dir(settings.section('server', ServerConfig))} can be written to")
    except ConfigError as problem:
        tell(False, str(problem))
    if await _runs_already(settings):
        tell(True, "the appliance is running: its ports are taken by itself")
    else:
        for port in wanted_ports(settings):
            reason = why_not(port)
            where = f"{port.setting}: {'UDP' if port.udp else 'TCP'} {port.host}:{port.number}"
            tell(reason is None, f"{where} {'is free' if reason is None else 'can not be had: ' + reason}")
    hep = msgspec.to_builtins(settings.section("handlers.hep", section_struct("handlers.hep")))
    if hep["enabled"]:
        reason = await why_unreachable(hep["server"])
        listener = settings.section("listener", ListenerConfig)
        if reason is None and hep["server"].startswith("udp:"):
            note = "" if listener.enabled else " (UDP never tells whether anyone listens; tcp:// would)"
            tell(True, f"handlers.hep.server: {hep['server']} can be sent to{note}")
        else:
            text = "answers" if reason is None else f"can't be reached: {reason}"
            tell(reason is None, f"handlers.hep.server: {hep['server']} {text}")
    return problems
