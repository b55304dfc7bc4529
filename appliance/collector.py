"""The process that explains calls, built from settings and run until it is told to end.

Start and stop are paired as the gateway's are.
"""

import gc
import logging
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from aiohttp import web

from appliance import __version__
from appliance.assembly import enabled, link_address, link_token, make
from appliance.collector_web import make_web
from appliance.config import ConfigError, ConsoleConfig, ListenerConfig, ServerConfig, Settings, is_secret
from appliance.console.servers import client_of
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
from appliance.folder import data_dir, server_name
from appliance.health import Health
from appliance.intake.stream import StreamIntake
from appliance.net.http_server import HttpServer
from appliance.net.link import LinkError
from appliance.process import begin
from appliance.supervisor import Ready, announce, until_signalled

if TYPE_CHECKING:
    from appliance.hep.listener import ListenerTally

logger = logging.getLogger(__name__)


def http_url(host: str, port: int) -> str:
    """As people type it."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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
        for section, handler_class, config in enabled(self.settings, "handlers"):
            handler: EventHandler = make(f"handlers.{section}", handler_class, config, context)
            self.handlers.append(handler)
            self.queries.add(handler, config)
            self.bus.add(handler, selector=make(f"handlers.{section}", selector_of, config))

    def _serve(self, verb: str, args: dict[str, Any]) -> dict[str, Any]:
        """What a gateway asks of its collector."""
        if verb in RECORDING_VERBS:
            return serve_recordings(self._recordings(), verb, args)
        return self.queries.serve(verb, args)

    def _recordings(self) -> Recordings | None:
        return next((h.recordings for h in self.handlers if isinstance(h, KeepsRecordings)), None)

    async def _start_intakes(self, stack: AsyncExitStack) -> None:
        for section, intake_class, config in enabled(self.settings, "intake"):
            intake = make(f"intake.{section}", intake_class, config, self.clock)
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
                make(f"intake.{section}", intake.lend, self._admin_apis(), self.alive)
            await intake.start(self.deliver)
            stack.push_async_callback(intake.stop)
            self.intakes.append(intake)
            self.measured.append(intake)

    def _admin_apis(self) -> list[AdminApi]:
        addresses = self.settings.section("console", ConsoleConfig).admin
        return [make("console", client_of, address) for address in addresses]

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
