"""One TURN server, kept asked for an address of each IP version as long as the gateway runs.

What is wrong with a server is told when it begins, changes or ends, never with a secret, and costs nothing but its own
candidates: nobody waits for it.
"""

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from appliance.core.clock import Clock
from appliance.core.events import Counter as Count
from appliance.media.access import Access, access_of, shown
from appliance.media.allocation import Family, TurnRefusedError, allocated
from appliance.media.reflexive import KEEPALIVE
from appliance.media.servers import TurnServer
from appliance.media.turn import RelayPort

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 1.0
RETRY_SECONDS = (1.0, 60.0)
"""The first and the longest pause between attempts to be lent an address."""
NOT_SUPPORTED = frozenset({420, 440})
"""The server lends no address of that IP version: it is too old (RFC 8489 section 14.8), or says so (RFC 8656)."""
WRONG_LOGIN = frozenset({401, 441})
_REASONS = dict.fromkeys(WRONG_LOGIN, "credentials") | {403: "forbidden", 486: "quota", 508: "capacity"}

Take = Callable[[RelayPort, bytes, bytes], None]


def context_of(setting: str, config: TurnServer) -> ssl.SSLContext | None:
    """For TLS, where it may be used: certificates are checked. :raises ValueError: ``ca_file`` can't be read."""
    if config.url and config.server.transport != "tls":
        return None
    try:
        return ssl.create_default_context(cafile=config.ca_file or None)
    except OSError as problem:
        raise ValueError(f"{setting}.ca_file: {config.ca_file}: {problem.strerror or problem}") from None


class Lender:
    """``take`` gets what comes through the server. :raises ValueError: a file of ``config`` can't be read."""

    def __init__(self, setting: str, config: TurnServer, clock: Clock, take: Take) -> None:
        self.name = shown(config)
        """In logs and metrics."""
        self.relays: dict[Family, RelayPort] = {}
        """What it lends now."""
        self.settled = asyncio.Event()
        """It was asked once."""
        self.failures: Counter[str] = Counter()
        """Attempts without an address, and addresses that were lost, by why."""
        self._config = config.read(setting)
        self._context = context_of(setting, config)
        self._clock = clock
        self._take = take
        self._wanted: list[Family] = [4, 6]
        self._problems: dict[Family | None, str] = {}
        self._lost = asyncio.Event()
        self._lent_at: dict[Family, float] = {}
        self._pause = RETRY_SECONDS[0]
        self._next_attempt = 0.0
        self._before: Counter[str] = Counter()

    async def run(self) -> None:
        """Ask and ask again, for ever."""
        while True:
            if self._clock.monotonic() >= self._next_attempt:
                try:
                    await self._ask()
                except Exception:
                    # Of a bug; the other servers and the calls know nothing of it.
                    logger.exception("TURN server %s could not be asked", self.name)
                    self._next_attempt = self._clock.monotonic() + RETRY_SECONDS[1]
            self.settled.set()
            wait = KEEPALIVE
            if any(family not in self.relays for family in self._wanted):
                wait = min(wait, max(0.0, self._next_attempt - self._clock.monotonic()))
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._lost.wait()
            if self._lost.is_set():
                self._lost.clear()
            else:
                await asyncio.gather(*(relay.refresh() for relay in self.relays.values()))

    async def stop(self) -> None:
        """Give back what was lent."""
        await asyncio.gather(*(relay.close(CLOSE_SECONDS) for relay in self.relays.values()))

    def relayed(self, count: str) -> int:
        """Datagrams ``received``, ``sent`` or ``dropped`` through every address that it ever lent."""
        return self._before[count] + sum(int(getattr(relay, count)) for relay in self.relays.values())

    def measure(self) -> Iterator[Count]:
        """Whether it works."""
        labels = {"turn_server": self.name}
        yield Count("turn_addresses", len(self.relays), labels)
        for reason, count in self.failures.items():
            yield Count("turn_failures_total", count, {**labels, "reason": reason})

    async def _ask(self) -> None:
        """For what is not lent yet, IPv4 first: where a user may have one address only, it is of more use."""
        try:
            access = await access_of(self._config, self._clock.wall_us() // 1_000_000, self._context)
        except OSError as problem:
            self._failed(None, problem)
        else:
            self._problems.pop(None, None)
            await self._ask_with(access)
        if any(family not in self.relays for family in self._wanted):
            self._next_attempt = self._clock.monotonic() + self._pause
            self._pause = min(self._pause * 2, RETRY_SECONDS[1])

    async def _ask_with(self, access: Access) -> None:
        for family in [family for family in self._wanted if family not in self.relays]:
            try:
                client = await allocated(access, family, self._context)
            except OSError as problem:
                self._failed(family, problem)
                continue
            relay = RelayPort(client, self._clock, self._take, partial(self._lose, family))
            self.relays[family] = relay
            self._lent_at[family] = self._clock.monotonic()
            self._problems.pop(family, None)
            logger.info("TURN server %s lends %s port %d", self.name, relay.host, relay.port)

    def _failed(self, family: Family | None, problem: OSError) -> None:
        code = problem.code if isinstance(problem, TurnRefusedError) else 0
        if family is not None and code in NOT_SUPPORTED and len(self._wanted) > 1:
            self._wanted.remove(family)
            logger.info("TURN server %s lends no IPv%d addresses", self.name, family)
            return
        reason = _REASONS.get(code, "refused") if isinstance(problem, TurnRefusedError) else "unreachable"
        self.failures[reason] += 1
        text = str(problem)
        if self._problems.get(family) != text:
            self._problems[family] = text
            what = "" if family is None else f", for an IPv{family} address"
            logger.warning("TURN server %s%s: %s", self.name, what, text)

    def _lose(self, family: Family) -> None:
        relay = self.relays.pop(family)
        for name in ("received", "sent", "dropped"):
            self._before[name] += getattr(relay, name)
        self.failures["lost"] += 1
        now = self._clock.monotonic()
        if now - self._lent_at[family] > KEEPALIVE:
            self._pause, self._next_attempt = RETRY_SECONDS[0], now
        else:
            # It was lent a moment ago: asked at once again and again, a server that is broken would have no rest.
            self._next_attempt = max(self._next_attempt, now + self._pause)
            self._pause = min(self._pause * 2, RETRY_SECONDS[1])
        self._lost.set()
