"""The process that carries calls, built from settings and run until it is told to end.

Start and stop are paired on one ``AsyncExitStack``, so what was opened last closes first, and a start that fails closes
what had been opened.
"""

import logging
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from appliance import __version__
from appliance.assembly import enabled, link_address, link_token, make
from appliance.config import ServerConfig, Settings
from appliance.core.bus import EventBus
from appliance.core.clock import LoopClock
from appliance.core.gateway import Gateway, GatewayConfig
from appliance.core.transport import ApiTransport, KeepsFiles, ServesAdmin
from appliance.folder import data_dir, server_name
from appliance.gateway_admin import AdminDoors, make_recorder
from appliance.handlers.link import LinkHandler
from appliance.media.config import MediaConfig
from appliance.media.engine import Engine
from appliance.process import begin
from appliance.supervisor import Ready, announce, until_signalled
from appliance.transports.admin import AdminConfig

logger = logging.getLogger(__name__)


def _plugin(section: str, made_by: type[Any], config: Any, folder: Path) -> Any:
    plugin = make(f"plugins.{section}", made_by, config)
    make(f"plugins.{section}", plugin.open, folder / "plugins" / section)
    return plugin


async def run_gateway(settings: Settings) -> None:
    """Serve until told to end. :raises ConfigError, OSError: it can't start; the message says why."""
    server = settings.section("server", ServerConfig)
    media = settings.section("media", MediaConfig)
    clock = LoopClock()
    async with AsyncExitStack() as stack:
        own = begin("gateway", server, stack)
        bus = EventBus(clock)
        link = LinkHandler(link_address(server), server_name=server_name(server), clock=clock, token=link_token(server))
        bus.add(link)
        await stack.enter_async_context(bus)

        engine = Engine(media, clock)
        await engine.start()
        stack.push_async_callback(engine.stop)

        recorder = make_recorder(settings, clock, data_dir(server))
        transports: dict[str, ApiTransport] = {
            section: make(f"transports.{section}", transport_class, config)
            for section, transport_class, config in enabled(settings, "transports")
        }
        plugins = {
            plugin.package: _plugin(section, plugin, config, data_dir(server))
            for section, plugin, config in enabled(settings, "plugins")
        }
        for plugin in plugins.values():
            stack.callback(plugin.close)
        gateway = make(
            "api",
            Gateway,
            settings.section("api", GatewayConfig),
            clock,
            bus.publish,
            engine,
            plugins,
            server_name=server_name(server),
            stats_period_s=media.stats_period,
            measured=[bus, engine, link, own, recorder, *plugins.values()],
            info={
                "local-ip": engine.addresses[0][0],
                "ice-lite": media.ice == "lite",
                "ice-tcp": media.ice_tcp,
            },
        )
        link.on_request = gateway.command
        gateway.context.recorder = recorder
        doors = None
        if settings.section("admin", AdminConfig).enabled:
            doors = AdminDoors(settings, gateway, link, clock, data_dir(server))
            for section, transport in transports.items():
                if isinstance(transport, ServesAdmin):
                    doors.lend(section, transport)
        gateway.start(transports.values(), [] if doors is None else [doors.api])
        listening = [f"{host}:{port} (UDP)" for host, port in engine.addresses]
        listening += [f"{tcp.host}:{tcp.port} (TCP)" for tcp in engine.tcp_ports]
        addresses = {"media": ", ".join(listening)}
        # Sessions end while their clients can still be told; then the transports tell that each connection is gone,
        # and the core's goodbye is the last event: whoever reads the stream may take everything to be over.
        ended_by = 0
        stack.callback(lambda: gateway.say_goodbye(ended_by))
        for section, transport in transports.items():
            if isinstance(transport, KeepsFiles):
                transport.open(data_dir(server))
            await transport.start(gateway)
            stack.push_async_callback(transport.stop)
            addresses[section] = transport.url
        if doors is not None:
            addresses |= await doors.start(stack)
        announce(Ready(role="gateway", addresses=addresses))
        logger.info("gateway %s %s serves %s", server_name(server), __version__, ", ".join(addresses.values()))
        ended_by = await until_signalled()
        gateway.shutdown()
