"""The collector's web server put together: who may come in, what the handlers show, the console."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from aiohttp import web
from msgspec.structs import replace

from appliance.config import ConfigError, ConsoleConfig, Settings, section_struct
from appliance.console.api import Console
from appliance.console.gate import Gate
from appliance.console.guard import host_guard
from appliance.console.login import Login
from appliance.console.nettest import NetworkTests, Publish
from appliance.console.servers import ServerRoutes, client_of
from appliance.console.settings import ServerAddress
from appliance.core.archive import Archive, HepJournal
from appliance.core.auth import secret_of
from appliance.core.clock import Clock
from appliance.core.handler import EventHandler, Gateways, KeepsCalls, KeepsJournal, ServesWeb
from appliance.core.measure import Measured
from appliance.core.recordings import Recordings
from appliance.health import Health
from appliance.net.admin_client import AdminClient
from appliance.net.host import authority


def make_web(
    settings: Settings,
    clock: Clock,
    *,
    server_name: str,
    handlers: Sequence[EventHandler],
    health: Health,
    recordings: Recordings | None,
    measured: list[Measured],
    is_connected: Callable[[str], bool],
    gateways: Gateways,
    publish: Publish,
) -> web.Application:
    """``is_connected``: whether a gateway of that name is; the login adds itself to ``measured``; ``publish`` adds an
    event to the call that another one is about.

    :raises ConfigError: a setting of the console is no good, or others could come in unasked.
    """
    config = settings.section("console", ConsoleConfig)
    archive: Archive | None = next((h.archive for h in handlers if isinstance(h, KeepsCalls)), None)
    journal: HepJournal | None = next((h.journal for h in handlers if isinstance(h, KeepsJournal)), None)
    try:
        login = Login(config, clock, host=config.host)
        servers = ServerRoutes(
            _admin_clients(settings, config, server_name),
            archive,
            is_there=lambda name: name != server_name or _is_named(config, name) or is_connected(name),
            gateways=gateways,
        )
        gate = Gate(login)
        console = Console(
            archive,
            journal,
            _with_api_addresses(settings, config),
            recordings=recordings,
            servers=servers,
            tests=NetworkTests(archive, clock, publish, gate.address),
        )
    except ValueError as problem:
        raise ConfigError(f"console: {problem}") from None
    measured.append(login)
    application = web.Application(middlewares=[host_guard(config.allowed_hosts), gate.middleware()])
    for handler in handlers:
        if isinstance(handler, ServesWeb):
            application.add_routes(handler.routes())
    for routes in (health.routes(), gate.routes(), console.routes()):
        application.add_routes(routes)
    application.on_shutdown.append(lambda _application: console.close())
    return application


def _is_named(config: ConsoleConfig, name: str) -> bool:
    return any(address.name == name for address in config.admin)


def _admin_clients(settings: Settings, config: ConsoleConfig, server_name: str) -> list[AdminClient]:
    """Those that are configured, and the gateway that runs beside this collector."""
    if len({address.name for address in config.admin}) < len(config.admin):
        raise ValueError("admin: two servers have the same name")
    clients = [client_of(address) for address in config.admin]
    admin = _section(settings, "admin")
    if admin["enabled"] and admin["http_port"] and not _is_named(config, server_name):
        scheme = "https" if admin["certificate_file"] else "http"
        url = f"{scheme}://{authority(admin['host'], admin['http_port'])}{admin['base_path']}"
        # Its certificate names it for others, not for this machine.
        own = ServerAddress(name=server_name, url=url, verify=False)
        clients.append(client_of(own, secret=secret_of("admin.secret", admin["secret"], admin["secret_file"])))
    return clients


def _with_api_addresses(settings: Settings, config: ConsoleConfig) -> ConsoleConfig:
    """Where the demo page finds the gateway that runs beside this collector, unless the settings say."""
    return replace(
        config,
        janus_http=config.janus_http or _api_url(settings, "transports.http", "http"),
        janus_websocket=config.janus_websocket or _api_url(settings, "transports.websocket", "ws"),
    )


def _api_url(settings: Settings, path: str, scheme: str) -> str:
    section = _section(settings, path)
    if not section["port"]:
        return ""
    return f"{scheme}://{{host}}:{section['port']}{section.get('base_path', '/')}"


def _section(settings: Settings, path: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(settings.section(path, section_struct(path)))
    return found
