"""The collector's end of the link: events of any number of our gateways, and questions to them.

Sequence numbers make every loss seen: a jump, a gateway that has started anew, and a beginning that this collector
has missed each put a ``Gap`` into the stream. A gateway is told at once what is taken, while the handlers have room,
and later what is kept where a crash does not lose it. What is not, it sends again after a crash, and the store leaves
out what it has.
"""

import asyncio
import contextlib
import errno
import hmac
import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from appliance.core.bus import EventBus
from appliance.core.clock import Clock, Timer
from appliance.core.deliveries import Deliveries, Origin
from appliance.core.events import Counter, EventDecodeError, Gap, decode_msgpack, event
from appliance.core.intake import Deliver, Progress
from appliance.intake.dialect import checked
from appliance.intake.taken import Taken
from appliance.net.host import is_loopback
from appliance.net.link import (
    MAX_HELLO,
    VERSION,
    Ack,
    Events,
    Hello,
    Message,
    Replay,
    TcpAddress,
    UnixAddress,
    Welcome,
    parse_address,
)
from appliance.net.link_connection import REQUEST_TIMEOUT, LinkConnection, OnRequest, RequestRefusedError
from appliance.net.unix import UnixListener

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 256
MAX_BOOTS = 1024
"""Starts of gateways whose next sequence number is remembered."""
HELLO_SECONDS = 5.0
PAUSE = 0.05
"""Seconds until it is asked again what is kept, and whether there is room."""
ALIVE_SECONDS = 1.0
"""A gateway that has to wait for longer hears again that it has to."""
FINISH_SECONDS = 2.0
"""For what was taken to be kept, when we are to end."""
PROBE_SECONDS = 3.0
"""For a gateway to show that it is alive, when another says that it has its name."""


class StreamConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[intake.stream]``; where it listens is ``server.link``."""

    enabled: bool = True


class StreamIntake:
    """Contract: :class:`appliance.core.intake.Intake`."""

    Config = StreamConfig
    name = "stream"

    def __init__(self, config: StreamConfig, clock: Clock) -> None:
        self.on_request: OnRequest | None = None
        """Serves what gateways ask: ``query_eventhandler``, ... May be set at any time."""
        self.received = 0
        self.malformed = 0
        """Events and frames that were none."""
        self.refused = 0
        """Connections turned away."""
        self.progress: Progress = EventBus(clock)
        """Contract: :class:`appliance.core.intake.CanWait`."""
        self.deliveries = Deliveries()
        self._clock = clock
        self._address: UnixAddress | TcpAddress | None = None
        self._token = ""
        self._deliver: Deliver | None = None
        self._server: asyncio.Server | None = None
        self._socket: UnixListener | None = None
        self._connections: dict[LinkConnection, Hello | None] = {}
        self._by_name: dict[str, LinkConnection] = {}
        self._contests: dict[LinkConnection, asyncio.Task[None]] = {}
        """Gateways that wait until it is known whether the one that has their name is alive."""
        self._taken: OrderedDict[tuple[str, str], Taken] = OrderedDict()
        """By server and boot."""
        self._watch: Timer | None = None
        self._spoke_at = 0.0
        """When gateways were last told how far we are."""
        self._boot_of: OrderedDict[str, str] = OrderedDict()

    def listen_on(self, address: str, *, token: str = "") -> None:
        """Before :meth:`start`. A ``token`` is asked of every gateway. :raises LinkError: it is no address."""
        self._address, self._token = parse_address(address), token

    @property
    def address(self) -> str:
        """Where it listens, with the port that was had."""
        if isinstance(self._address, TcpAddress) and self._server is not None:
            return str(TcpAddress(self._address.host, self._server.sockets[0].getsockname()[1]))
        return str(self._address)

    @property
    def gateways(self) -> list[str]:
        """Names of those that are connected."""
        return sorted(self._by_name)

    async def start(self, deliver: Deliver) -> None:
        """Listen. :raises OSError: the address can't be had, or others can reach it and no token guards it."""
        assert self._address is not None, "listen_on() comes first"
        if isinstance(self._address, TcpAddress) and not self._token and not is_loopback(self._address.host):
            raise PermissionError(errno.EPERM, f"link address {self._address}: others can reach it; a token is wanted")
        self._deliver = deliver
        loop = asyncio.get_running_loop()
        try:
            if isinstance(self._address, UnixAddress):
                self._socket = UnixListener(self._address.path)
                self._server = await loop.create_unix_server(self._make_connection, sock=self._socket.bind())
            else:
                self._server = await loop.create_server(self._make_connection, self._address.host, self._address.port)
        except OSError as problem:
            reason = problem.strerror or problem
            raise OSError(problem.errno, f"gateways can't be listened for at {self._address}: {reason}") from None

    async def stop(self) -> None:
        """Close every connection, once what was taken is kept; what is not in time the gateways send to the next."""
        self._deliver = None
        if self._server is None:
            return
        self._server.close()
        await self._finish()
        for contest in list(self._contests.values()):
            contest.cancel()
        for connection in list(self._connections):
            connection.abort("the collector stops")
        await self._server.wait_closed()
        if self._socket is not None:
            self._socket.remove()

    async def request(
        self, server: str, verb: str, args: Mapping[str, Any] | None = None, *, within: float = REQUEST_TIMEOUT
    ) -> dict[str, Any]:
        """Ask a gateway, and wait ``within`` seconds for its answer.

        :raises LookupError: no gateway of that name is connected.
        :raises RequestRefusedError: it refused; the message is its own.
        :raises TimeoutError, ConnectionError: it did not answer.
        """
        connection = self._by_name.get(server)
        if connection is None:
            raise LookupError(f"no gateway {server!r} is connected; there are: {', '.join(self.gateways) or 'none'}")
        return await connection.request(verb, args, within=within)

    def measure(self) -> Iterable[Counter]:
        """Events by outcome."""
        malformed = self.malformed + sum(connection.malformed for connection in self._connections)
        yield Counter("intake_events_total", self.received, {"intake": self.name, "outcome": "ok"})
        yield Counter("intake_events_total", malformed, {"intake": self.name, "outcome": "malformed"})
        yield Counter("auth_failures_total", self.refused, {"api": "intake"})

    # --- connections -----------------------------------------------------------------------------------------

    def _make_connection(self) -> LinkConnection:
        connection = LinkConnection(
            on_open=self._opened,
            on_message=self._message,
            on_writable=lambda: None,
            on_lost=self._lost,
            on_request=lambda verb, args: self._serve(connection, verb, args),
            max_frame=MAX_HELLO,
        )
        return connection

    def _serve(self, connection: LinkConnection, verb: str, args: dict[str, Any]) -> dict[str, Any]:
        if self._connections.get(connection) is None:
            # Its token has not been seen.
            raise LookupError("the first frame was no hello")
        if self.on_request is None:
            raise LookupError("the collector is not ready for requests")
        return self.on_request(verb, args)

    def _opened(self, connection: LinkConnection) -> None:
        connection.peer = "gateway"
        if len(self._connections) >= MAX_CONNECTIONS:
            connection.abort("too many connections")
            return
        self._connections[connection] = None
        self._clock.call_later(HELLO_SECONDS, lambda: self._expect_hello(connection))

    def _expect_hello(self, connection: LinkConnection) -> None:
        if connection in self._connections and not self._has_said_hello(connection):
            connection.abort("no hello came")

    def _has_said_hello(self, connection: LinkConnection) -> bool:
        return self._connections[connection] is not None or connection in self._contests

    def _lost(self, connection: LinkConnection, why: str) -> None:
        self.malformed += connection.malformed
        contest = self._contests.pop(connection, None)
        if contest is not None:
            contest.cancel()
        hello = self._connections.pop(connection, None)
        if hello is not None and self._by_name.get(hello.server) is connection:
            del self._by_name[hello.server]
            if self._deliver is not None:
                logger.info("link: gateway %s is gone: %s", hello.server, why)

    def _message(self, connection: LinkConnection, message: Message) -> None:
        if self._deliver is None or connection not in self._connections:
            return
        hello = self._connections[connection]
        if hello is None:
            if isinstance(message, Hello) and connection not in self._contests:
                self._greet(connection, message)
            else:
                connection.abort("the first frame was no hello")
        elif isinstance(message, Events):
            self._take(connection, hello, message)
        elif isinstance(message, Replay):
            for data in message.events:
                self._take_one(data)

    def _greet(self, connection: LinkConnection, hello: Hello) -> None:
        error = ""
        if hello.v != VERSION:
            error = f"version {hello.v} came, wanted {VERSION}"
        elif not hmac.compare_digest(hello.token.encode(), self._token.encode()):
            error = "wrong token"
        if error:
            self._refuse(connection, hello, error)
            return
        earlier = self._by_name.get(hello.server)
        if earlier is not None and self._boot_of.get(hello.server) != hello.boot:
            contest = asyncio.create_task(self._contest(connection, hello, earlier), name=f"link {hello.server:.64}")
            self._contests[connection] = contest
            return
        self._admit(connection, hello)

    def _refuse(self, connection: LinkConnection, hello: Hello, error: str) -> None:
        self.refused += 1
        logger.warning("link: gateway %.64r refused: %s", hello.server, error)
        connection.send(Welcome(v=VERSION, error=error))
        connection.close()

    async def _contest(self, connection: LinkConnection, hello: Hello, earlier: LinkConnection) -> None:
        """Another gateway has the newcomer's name: whoever is alive keeps it."""
        while True:
            if await _is_alive(earlier):
                error = f"another gateway named {hello.server:.64} is connected; give each a server.name of its own"
                self._refuse(connection, hello, error)
                break
            found = self._by_name.get(hello.server)
            if found is earlier or found is None:
                self._admit(connection, hello)
                break
            # A third was quicker.
            earlier = found
        self._contests.pop(connection, None)

    def _admit(self, connection: LinkConnection, hello: Hello) -> None:
        connection.peer = hello.server
        connection.trust()
        self._connections[connection] = hello
        earlier = self._by_name.get(hello.server)
        self._by_name[hello.server] = connection
        if earlier is not None:
            earlier.abort("the gateway has connected again")
        known = self._boot_of.get(hello.server)
        if known is not None and known != hello.boot:
            self._gap("restart", hello.server)
        self._boot_of[hello.server] = hello.boot
        self._boot_of.move_to_end(hello.server)
        if len(self._boot_of) > MAX_BOOTS:
            self._boot_of.popitem(last=False)
        taken = self._taken.get((hello.server, hello.boot))
        connection.send(Welcome(v=VERSION, next=None if taken is None else taken.next))
        if taken is not None:
            taken.told = taken.next
            self._tell(connection, taken, self.progress.kept_until(), has_room=True, alive=True)
        logger.info("link: gateway %s is connected", hello.server)

    # --- events ----------------------------------------------------------------------------------------------

    def _take(self, connection: LinkConnection, hello: Hello, frame: Events) -> None:
        key = (hello.server, hello.boot)
        taken = self._taken.get(key)
        first = frame.seq
        if taken is None:
            taken = self._taken[key] = Taken(hello.server, hello.boot)
            if len(self._taken) > MAX_BOOTS:
                self._taken.popitem(last=False)
            if first > 0:
                # The gateway has told others before: this collector, or its state, is new.
                self._gap("restart", hello.server)
        elif first > taken.next:
            self._gap("sequence", hello.server, first - taken.next)
        else:
            first = taken.next
        for seq, data in enumerate(frame.events[first - frame.seq :], first):
            self._take_one(data, origin=taken.origin(seq))
        taken.took(max(frame.seq + len(frame.events), taken.next), self.progress.last_number)
        self._taken.move_to_end(key)
        has_room = self.progress.has_room()
        self._tell(connection, taken, self.progress.kept_until(), has_room=has_room, alive=has_room)
        if taken.waits and self._watch is None:
            self._spoke_at = self._clock.monotonic()
            self._watch = self._clock.call_later(PAUSE, self._look)

    def _take_one(self, data: bytes, *, origin: Origin | None = None) -> None:
        """Hand on an event; one without an ``origin`` is replayed."""
        assert self._deliver is not None
        try:
            item = checked(decode_msgpack(data))
        except EventDecodeError as problem:
            self.malformed += 1
            if self.malformed == 1:
                logger.warning("link: %s; counting further ones in silence", problem)
            return
        self.received += 1
        if origin is None:
            self._deliver(replace(item, replayed=True))
        else:
            self._deliver(item)
            self.deliveries.note(self.progress.last_number, origin)

    def _tell(
        self, connection: LinkConnection, taken: Taken, kept: int, *, has_room: bool, alive: bool = False
    ) -> None:
        """Tell a gateway how far we are, where that is new; ``alive``: in any case."""
        risen = taken.is_kept_until(kept)
        if has_room and taken.told < taken.next:
            taken.told, risen = taken.next, True
        if risen or alive:
            # What waits for room is not called taken though it may be kept already.
            known = min(taken.kept, taken.told)
            connection.send(Ack(next=taken.told, kept=None if known == taken.told else known))

    def _look(self) -> None:
        """Tell gateways what has been kept meanwhile, and that there is room again."""
        self._watch = None
        kept, has_room = self.progress.kept_until(), self.progress.has_room()
        self.deliveries.kept_until(kept)
        now = self._clock.monotonic()
        alive = now - self._spoke_at >= ALIVE_SECONDS
        if alive:
            self._spoke_at = now
        connected: set[int] = set()
        for connection, hello in self._connections.items():
            taken = self._taken.get((hello.server, hello.boot)) if hello is not None else None
            if taken is not None:
                connected.add(id(taken))
                self._tell(connection, taken, kept, has_room=has_room, alive=alive and taken.waits)
        for taken in self._taken.values():
            if id(taken) not in connected:
                # Its gateway hears it when it comes back.
                taken.is_kept_until(kept)
                taken.told = taken.next
        if any(taken.waits for taken in self._taken.values()):
            self._watch = self._clock.call_later(PAUSE, self._look)

    async def _finish(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINISH_SECONDS):
                while True:
                    if self._watch is not None:
                        self._watch.cancel()
                    self._look()
                    if self._watch is None:
                        break
                    self.progress.hurry()
                    await asyncio.sleep(PAUSE)
        if self._watch is not None:
            self._watch.cancel()
        # What was said goes out before the connections are cut.
        await asyncio.sleep(0)

    def _gap(self, reason: str, server: str, missing: int = 0) -> None:
        assert self._deliver is not None
        dropped = {"other": missing} if missing else {}
        self._deliver(event(Gap(reason=reason, dropped=dropped), emitter=server, timestamp=self._clock.wall_us()))


async def _is_alive(connection: LinkConnection) -> bool:
    try:
        await connection.request("ping", within=PROBE_SECONDS)
    except RequestRefusedError:
        # Any answer will do.
        return True
    except (TimeoutError, ConnectionError):
        return False
    return True
