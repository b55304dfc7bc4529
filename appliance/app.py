"""The composition root: builds the gateway and the collector from settings, and runs each until it is told to end.

The only module that knows everyone. Start and stop are paired on one ``AsyncExitStack`` a process, so what was opened
last closes first, and a start that fails closes what had been opened.
"""

import gc
import logging
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from appliance import __version__
from appliance.components import Components
from appliance.config import (
    ConfigError,
    ConsoleConfig,
    ListenerConfig,
    ServerConfig,
    Settings,
    is_secret,
)
from appliance.core.alive import Alive
from appliance.core.bus import EventBus
from appliance.core.clock import LoopClock
from appliance.core.deliveries import Deliveries
from appliance.core.events import Body, Counter, Event, event
from appliance.core.handler import EventHandler, HandlerContext, KeepsCalls, KeepsRecordings
from appliance.core.handler_queries import HandlerQueries
from appliance.core.intake import AdminApi, AsksServers, CanWait, Intake, KeepsJournal
from appliance.core.measure import Measured
from appliance.core.recordings import RECORDING_VERBS, Recordings, serve_recordings
from appliance.core.selection import selector_of
from appliance.core.stamp import COLLECTORS, Stamper
from appliance.core.transport import ApiTransport, ServesAdmin
from appliance.folder import data_dir, server_name
from appliance.health import Health
from appliance.intake.stream import StreamIntake
from appliance.net.http_server import HttpServer
from appliance.net.link import LinkError, parse_address, socket_path
from appliance.process import begin
from appliance.supervisor import Ready, announce, until_signalled

if TYPE_CHECKING:
    from appliance.hep.listener import ListenerTally

logger = logging.getLogger(__name__)


def http_url(host: str, port: int) -> str:
    """As people type it."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def link_address(config: ServerConfig) -> str:
    """Where gateway and collector meet."""
    try:
        return str(parse_address(config.link or f"unix:{socket_path(data_dir(config))}"))
    except LinkError as problem:
        raise ConfigError(f"server.link: {config.link!r}: {problem}") from None


def link_token(config: ServerConfig) -> str:
    """What a gateway shows a collector on another machine. :raises ConfigError: the file can't be read or is empty."""
    if not config.link_token_file:
        return ""
    try:
        token = Path(config.link_token_file).read_text("utf-8").strip()
    except OSError as problem:
        raise ConfigError(f"server.link_token_file: {config.link_token_file}: {problem.strerror or problem}") from None
    if not token:
        raise ConfigError(f"server.link_token_file: {config.link_token_file}: is empty")
    return token


def _enabled(settings: Settings, kind: str) -> Iterator[tuple[str, Any, Any]]:
    """Section name, class and settings of every component of a kind that is switched on."""
    components = Components(kind)
    for section in components.names:
        component = components.load(section)
        config = settings.section(f"{kind}.{section}", component.Config)
        if getattr(config, "enabled", True):
            yield section, component, config


def _make(what: str, component: Any, *arguments: Any, **options: Any) -> Any:
    """Build one component. :raises ConfigError: it finds a value of its settings wrong."""
    try:
        return component(*arguments, **options)
    except ValueError as problem:
        raise ConfigError(f"{what}: {problem}") from None


def _plugin(section: str, made_by: type[Any], config: Any, folder: Path) -> Any:
    plugin = _make(f"plugins.{section}", made_by, config)
    _make(f"plugins.{section}", plugin.open, folder / "plugins" / section)
    return plugin


async def run_gateway(settings: Settings) -> None:
    """The process that carries calls. :raises ConfigError, OSError: it can't start; the message says why."""
    from appliance.core.gateway import Gateway, GatewayConfig
    from appliance.gateway_admin import AdminDoors, make_recorder
    from appliance.handlers.link import LinkHandler
    from appliance.media.config import MediaConfig
    from appliance.media.engine import Engine
    from appliance.transports.admin import AdminConfig

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
            section: _make(f"transports.{section}", transport_class, config)
            for section, transport_class, config in _enabled(settings, "transports")
        }
        plugins = {
            plugin.package: _plugin(section, plugin, config, data_dir(server))
            for section, plugin, config in _enabled(settings, "plugins")
        }
        for plugin in plugins.values():
            stack.callback(plugin.close)
        gateway = _make(
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
            await transport.start(gateway)
            stack.push_async_callback(transport.stop)
            addresses[section] = transport.url
        if doors is not None:
            addresses |= await doors.start(stack)
        announce(Ready(role="gateway", addresses=addresses))
        logger.info("gateway %s %s serves %s", server_name(server), __version__, ", ".join(addresses.values()))
        ended_by = await until_signalled()
        gateway.shutdown()


class _ListenerCounts:
    """What the embedded listener received, for the exporter."""

    def __init__(self, tally: "ListenerTally") -> None:
        self._tally = tally

    def measure(self) -> Iterable[Counter]:
        for transport, count in self._tally.packets.items():
            yield Counter("hep_packets_received_total", count, {"transport": transport})
        for transport, count in self._tally.malformed.items():
            yield Counter("hep_packets_malformed_total", count, {"transport": transport})


class _ConnectedGateways:
    """Implements :class:`appliance.core.handler.Gateways`, once there is a link."""

    def __init__(self) -> None:
        self.stream: StreamIntake | None = None

    def is_connected(self, server: str) -> bool:
        """Whether a gateway of that name is."""
        return self.stream is not None and server in self.stream.gateways

    async def request(self, server: str, verb: str, args: dict[str, Any]) -> dict[str, Any]:
        if self.stream is None:
            raise LookupError("there is no link to gateways")
        return await self.stream.request(server, verb, args)


class Collector:
    """Takes events in, gives each its id and correlation, and hands it to every handler."""

    def __init__(self, settings: Settings, *, with_listener: bool = False) -> None:
        self.settings = settings
        self.server = settings.section("server", ServerConfig)
        self.name = server_name(self.server)
        self.data_dir = data_dir(self.server)
        self.clock = LoopClock()
        if not 0 <= self.server.collector <= COLLECTORS:
            raise ConfigError(f"server.collector: {self.server.collector} came, wanted 0 to {COLLECTORS}")
        self.stamper = Stamper(self.clock, collector=self.server.collector)
        self.bus = EventBus(self.clock, self.stamper.stamp)
        self.deliveries = Deliveries()
        self.queries = HandlerQueries(self.bus, is_secret)
        self.gateways = _ConnectedGateways()
        self.measured: list[Measured] = [self.bus]
        self.health = Health(self.clock, self.measured, self._left_out)
        self.handlers: list[EventHandler] = []
        self.intakes: list[Intake] = []
        self.alive: Alive | None = None
        """What the events say is there, where servers are asked for it too."""
        self._with_listener = with_listener

    def deliver(self, item: Event) -> None:
        """An event has come in."""
        if self.alive is not None:
            self.alive.take(item)
        self.bus.publish(self.stamper.stamp(item))

    def publish(self, body: Body, about: Event) -> None:
        """A handler adds an event of its own, about what another event is about."""
        follow_up = event(
            body,
            emitter=about.emitter,
            timestamp=self.clock.wall_us(),
            session_id=about.session_id,
            handle_id=about.handle_id,
            opaque_id=about.opaque_id,
        )
        self.bus.publish(self.stamper.follow_up(follow_up, about))

    def _make_handlers(self) -> None:
        context = HandlerContext(
            clock=self.clock,
            data_dir=self.data_dir,
            server_name=self.name,
            publish=self.publish,
            bus=self.bus,
            measured=self.measured,
            deliveries=self.deliveries,
            gateways=self.gateways,
        )
        for section, handler_class, config in _enabled(self.settings, "handlers"):
            handler: EventHandler = _make(f"handlers.{section}", handler_class, config, context)
            self.handlers.append(handler)
            self.queries.add(handler, config)
            self.bus.add(handler, selector=_make(f"handlers.{section}", selector_of, config))

    def _serve(self, verb: str, args: dict[str, Any]) -> dict[str, Any]:
        """What a gateway asks of its collector."""
        if verb in RECORDING_VERBS:
            return serve_recordings(self._recordings(), verb, args)
        return self.queries.serve(verb, args)

    def _recordings(self) -> Recordings | None:
        return next((h.recordings for h in self.handlers if isinstance(h, KeepsRecordings)), None)

    async def _start_intakes(self, stack: AsyncExitStack) -> None:
        for section, intake_class, config in _enabled(self.settings, "intake"):
            intake = _make(f"intake.{section}", intake_class, config, self.clock)
            if isinstance(intake, StreamIntake):
                try:
                    intake.listen_on(link_address(self.server), token=link_token(self.server))
                except LinkError as problem:
                    raise ConfigError(f"server.link, server.link_token_file: {problem}") from None
                intake.on_request = self._serve
                self.gateways.stream = intake
            if isinstance(intake, CanWait):
                intake.progress, intake.deliveries = self.bus, self.deliveries
            if isinstance(intake, KeepsJournal):
                intake.keep_in(self.data_dir / "journal" / section, self.bus, self.deliveries)
            if isinstance(intake, AsksServers):
                self.alive = Alive(self.clock)
                _make(f"intake.{section}", intake.lend, self._admin_apis(), self.alive)
            await intake.start(self.deliver)
            stack.push_async_callback(intake.stop)
            self.intakes.append(intake)
            self.measured.append(intake)

    def _admin_apis(self) -> list[AdminApi]:
        from appliance.console.servers import client_of

        addresses = self.settings.section("console", ConsoleConfig).admin
        return [_make("console", client_of, address) for address in addresses]

    async def _start_listener(self, stack: AsyncExitStack) -> str | None:
        config = self.settings.section("listener", ListenerConfig)
        if not (self._with_listener and config.enabled):
            return None
        from appliance.hep.listener import HepListener

        listener = HepListener(lambda _message: None, host=config.host, port=config.port)
        try:
            await listener.start()
        except OSError as problem:
            # Somebody's real capture server may be there already: that is fine, and better.
            logger.warning("the embedded HEP listener can't have port %d: %s", config.port, problem.strerror)
            return None
        stack.push_async_callback(listener.stop)
        self.measured.append(_ListenerCounts(listener.tally))
        return f"{config.host}:{listener.port}"

    def _web(self) -> web.Application:
        from appliance.collector_web import make_web

        return make_web(
            self.settings,
            self.clock,
            server_name=self.name,
            handlers=self.handlers,
            health=self.health,
            recordings=self._recordings(),
            measured=self.measured,
            is_connected=self.gateways.is_connected,
            gateways=self.gateways,
            publish=self.publish,
        )

    def _left_out(self) -> list[str]:
        running = {subscription.name for subscription in self.bus.subscriptions}
        return [handler.name for handler in self.handlers if handler.name not in running]

    async def run(self) -> None:
        """Serve until told to end. :raises ConfigError, OSError: it can't start; the message says why."""
        async with AsyncExitStack() as stack:
            own = begin("collector", self.server, stack)
            self.measured.append(own)
            listening = await self._start_listener(stack)
            self._make_handlers()
            await stack.enter_async_context(self.bus)
            for handler in self.handlers:
                if isinstance(handler, KeepsCalls):
                    # A wall clock that was set back meanwhile must not give old numbers to new events.
                    self.stamper.advance(handler.last_id)
            config = self.settings.section("console", ConsoleConfig)
            server = HttpServer(self._web(), host=config.host, port=config.port, what="console")
            await server.start()
            own.listeners["console"] = server
            stack.push_async_callback(server.stop)
            await self._start_intakes(stack)
            self.health.start()
            stack.callback(self.health.stop)
            url = http_url(config.host, server.port)
            addresses = {"web": url}
            if listening:
                addresses["hep"] = listening
            # What is here now stays: a later search for garbage would hold the loop for a twentieth of a second.
            gc.collect()
            gc.freeze()
            announce(Ready(role="collector", addresses=addresses))
            logger.info("collector %s %s serves %s", self.name, __version__, url)
            await until_signalled()


def set_up_logging(level: str) -> None:
    """To standard error. :raises ConfigError: no such level."""
    numbers = logging.getLevelNamesMapping()
    if level.upper() not in numbers:
        raise ConfigError(f"server.log_level: {level!r}: wanted debug, info, warning or error")
    logging.basicConfig(level=numbers[level.upper()], format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # A request a line is what the transport events are for.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(max(numbers[level.upper()], logging.WARNING))
