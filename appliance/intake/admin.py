"""Asks servers by their Admin API what they have, so that counts stay right though events get lost.

Sessions and handles that a server has no more and whose end no event told are ended; those that it has and whose
beginning was missed, as when a collector starts in the middle of calls, are announced. Every such event is marked
``inferred``. What the events say meanwhile wins.
"""

import asyncio
from collections.abc import Iterable, Sequence

from msgspec import Struct

from appliance.core.alive import Alive
from appliance.core.clock import Clock
from appliance.core.events import Counter
from appliance.core.intake import AdminApi, Deliver
from appliance.intake.poll import Poll


class AdminIntakeConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[intake.admin]``."""

    enabled: bool = False
    """Ask the Janus servers of ``[[console.admin]]`` what they have, and put right what lost events made wrong."""
    servers: list[str] = []
    """Which of them, by their names; empty: all."""
    interval_s: float = 30.0
    """From the beginning of a poll to that of the next. What two polls in a row find different is put right."""
    requests_per_second: float = 50.0
    """To one server."""
    max_requests: int = 1000
    """In one poll of a server: one for each session, one for each PeerConnection. What finds no room is asked first
    in the next poll."""


class AdminIntake:
    """Contract: :class:`appliance.core.intake.Intake` and :class:`appliance.core.intake.AsksServers`."""

    Config = AdminIntakeConfig
    name = "admin"

    def __init__(self, config: AdminIntakeConfig, clock: Clock) -> None:
        """:raises ValueError: a bound is none."""
        for name, wanted in (("interval_s", 0), ("requests_per_second", 0), ("max_requests", 3)):
            value = getattr(config, name)
            if not value > wanted:
                raise ValueError(f"{name}: {value} came, wanted more than {wanted}")
        self.polls: list[Poll] = []
        self._config = config
        self._clock = clock
        self._servers: Sequence[AdminApi] = ()
        self._alive = Alive(clock)
        self._tasks: list[asyncio.Task[None]] = []

    def lend(self, servers: Sequence[AdminApi], alive: Alive) -> None:
        """See :class:`appliance.core.intake.AsksServers`."""
        named = {server.name: server for server in servers}
        wanted = self._config.servers or list(named)
        for name in wanted:
            if name not in named:
                raise ValueError(f"servers: {name!r}: console.admin has none of that name")
        if not wanted:
            raise ValueError("there is no server to ask: console.admin names none")
        self._servers = [named[name] for name in dict.fromkeys(wanted)]
        self._alive = alive
        alive.follow(server.name for server in self._servers)

    async def start(self, deliver: Deliver) -> None:
        """Begin to ask; no server need be there yet."""
        config = self._config
        for server in self._servers:
            poll = Poll(
                server,
                self._alive[server.name],
                self._clock,
                deliver,
                interval_s=config.interval_s,
                requests_per_second=config.requests_per_second,
                max_requests=config.max_requests,
            )
            self.polls.append(poll)
            self._tasks.append(asyncio.create_task(poll.run(), name=f"admin poll {server.name:.64}"))

    async def stop(self) -> None:
        """Ask no more."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for server in self._servers:
            await server.close()

    def measure(self) -> Iterable[Counter]:
        """Polls by outcome, what was made of them, and how far the last ones were off."""
        inferred: dict[str, int] = {}
        for poll in self.polls:
            for outcome, count in poll.polls.items():
                yield Counter("admin_polls_total", count, {"outcome": outcome})
            for what, count in poll.inferred.items():
                inferred[what] = inferred.get(what, 0) + count
            for what, off in poll.off.items():
                yield Counter("admin_difference", off, {"what": what})
        for what, count in inferred.items():
            yield Counter("admin_inferred_total", count, {"what": what})
        yield Counter("intake_events_total", sum(inferred.values()), {"intake": self.name, "outcome": "ok"})
        yield Counter("intake_connected", sum(poll.answers for poll in self.polls), {"intake": self.name})
