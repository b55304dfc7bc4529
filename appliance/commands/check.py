"""``appliance check``: tries the configuration and every peer that it names, and says in words what is wrong."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from appliance.commands.bearer import bearer
from appliance.commands.check_admin import ask_admins
from appliance.commands.check_events import ask_collector, ask_janus
from appliance.commands.check_peers import named_peers
from appliance.config import (
    ConfigError,
    ConsoleConfig,
    ListenerConfig,
    ServerConfig,
    Settings,
    UnknownComponentError,
    known_sections,
    section_struct,
)
from appliance.folder import data_dir, server_name, too_open
from appliance.media.trial import try_servers
from appliance.net.host import authority

CONNECT_TIMEOUT = 5.0


class Port(msgspec.Struct, frozen=True):
    """An address that a section wants to listen on."""

    setting: str
    host: str
    number: int
    udp: bool = False


def wanted_ports(settings: Settings) -> Iterator[Port]:
    """Every address that ``appliance run`` would listen on; port 0 (any free one) is left out."""
    media: Any = settings.section("media", section_struct("media"))
    try:
        hosts = media.hosts()
    except OSError:
        hosts = media.addresses  # trying to listen there says what is wrong
    # Of a range any port will do.
    for host in [] if media.port_last else hosts:
        yield Port("media.port", host, media.port, udp=True)
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


async def why_unreachable(url: str, tls: ssl.SSLContext | None = None, server_name: str = "") -> str | None:
    """Try a capture server; the reason in words when it can't be reached, ``None`` when it could.

    ``server_name``: whom its certificate must name, where it is not the host.
    """
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
            _, writer = await asyncio.open_connection(
                host, number, ssl=tls, server_hostname=(server_name or host) if tls is not None else None
            )
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
            http.get(f"http://{authority(console.host, console.port)}/healthz") as reply,
        ):
            return "handlers_left_out" in await reply.text()
    except (aiohttp.ClientError, TimeoutError):
        return False


def wrong_files(settings: Settings) -> Iterator[str]:
    """Each file of a setting ``..._file`` that can't be read, or should hold a secret and is empty."""
    for path in known_sections():
        section = settings.section(path, section_struct(path))
        if not getattr(section, "enabled", True):
            continue
        for key, name in msgspec.to_builtins(section).items():
            if not key.endswith("_file") or not isinstance(name, str) or not name:
                continue
            try:
                empty = not Path(name).read_bytes().strip()
            except OSError as problem:
                yield f"{path}.{key}: {name}: {problem.strerror or problem}"
                continue
            if empty:
                yield f"{path}.{key}: {name}: is empty"


def capture_servers(hep: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Setting and URL of every capture server."""
    yield "server", hep["server"]
    for index, url in enumerate(hep.get("also", [])):
        yield f"also[{index}]", url
    if hep.get("large_server"):
        yield "large_server", hep["large_server"]


def tls_context(hep: dict[str, Any]) -> ssl.SSLContext:
    """As the handler's. :raises OSError: a file can't be read."""
    context = ssl.create_default_context(cafile=hep.get("tls_ca_file") or None)
    if not hep.get("tls_verify", True):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def check_everything(settings: Settings, *, say: Callable[[str], Any], janus: Sequence[str] = ()) -> int:
    """Say what is right and wrong, a line each, and return the number of problems.

    ``janus``: addresses of Janus servers' APIs, which are asked whether they send events.
    """
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
    server = settings.section("server", ServerConfig)
    try:
        folder = data_dir(server)
        warning = too_open(folder)
        tell(not warning, f"server.data_dir: {warning or f'{folder} can be written to'}")
    except ConfigError as problem:
        tell(False, str(problem))
    for text in wrong_files(settings):
        tell(False, text)
    runs = await _runs_already(settings)
    if runs:
        tell(True, "the appliance is running")
    for port in wanted_ports(settings):
        reason = why_not(port)
        where = f"{port.setting}: {'UDP' if port.udp else 'TCP'} {port.host}:{port.number}"
        if reason is None:
            tell(True, f"{where} is free{', the running appliance does not have it' if runs else ''}")
        elif runs and reason == os.strerror(errno.EADDRINUSE):
            tell(True, f"{where} is taken, as it should be while the appliance runs")
        else:
            tell(False, f"{where} can not be had: {reason}")
    await _check_hep(settings, tell)
    for peer in named_peers(settings):
        where = authority(peer.host, peer.port)
        reason = await why_unreachable(f"tcp://{where}")
        said = "answers" if reason is None else f"can't be reached: {reason}"
        tell(reason is None, f"{peer.setting}: {where} {said}")
    media: Any = settings.section("media", section_struct("media"))
    for trial in await try_servers(media):
        tell(trial.good, trial.text)
    console = settings.section("console", ConsoleConfig)
    for finding in await ask_admins(console.admin, polled=_polled(settings, console)):
        tell(finding.good, finding.text)
    if runs:
        headers: dict[str, str] = {}
        with suppress(ValueError):
            # What is wrong with the file has been said.
            headers = bearer(console.secret_file or console.reader_secret_file)
        backend = msgspec.to_builtins(settings.section("intake.http", section_struct("intake.http")))
        for finding in await ask_collector(
            f"http://{authority(console.host, console.port)}",
            ours=server_name(server),
            backend=f"http://{authority(backend['host'], backend['port'])}",
            headers=headers,
        ):
            tell(finding.good, finding.text)
    for url in janus:
        for finding in await ask_janus(url):
            tell(finding.good, finding.text)
    return problems


def _polled(settings: Settings, console: ConsoleConfig) -> list[str]:
    """The servers that ``[intake.admin]`` asks."""
    poll: dict[str, Any] = msgspec.to_builtins(settings.section("intake.admin", section_struct("intake.admin")))
    if not poll["enabled"]:
        return []
    return poll["servers"] or [address.name for address in console.admin] or ["of any name"]


async def _check_hep(settings: Settings, tell: Callable[[bool, str], None]) -> None:
    hep = msgspec.to_builtins(settings.section("handlers.hep", section_struct("handlers.hep")))
    if not hep["enabled"]:
        return
    listener = settings.section("listener", ListenerConfig)
    for setting, url in capture_servers(hep):
        where = f"handlers.hep.{setting}: {url}"
        try:
            tls = tls_context(hep) if url.startswith("tls:") else None
        except OSError as problem:
            tell(False, f"{where}: handlers.hep.tls_ca_file: {problem.strerror or problem}")
            continue
        reason = await why_unreachable(url, tls, hep.get("tls_server_name", ""))
        if reason is not None:
            tell(False, f"{where} can't be reached: {reason}")
        elif url.startswith("udp:"):
            note = "" if listener.enabled else " (UDP never tells whether anyone listens; tcp:// would)"
            tell(True, f"{where} can be sent to{note}")
        else:
            tell(True, f"{where} answers")
