"""Whether the collector does its work, and if not, what does not: read off the counts that everyone keeps anyway."""

from collections.abc import Callable, Iterable, Sequence

import msgspec
from aiohttp import web
from msgspec import Struct

from appliance import __version__
from appliance.core.clock import Clock, Timer
from appliance.core.events import Counter
from appliance.core.measure import Measured

RECENT_S = 60.0
"""A failure degrades for so long after its last time."""
LOOK_EVERY_S = 5.0


class Rule(Struct, frozen=True):
    """What one counter says. ``component`` and ``text`` may name its labels in braces, and ``count``."""

    counter: str
    component: str
    text: str
    labels: dict[str, str] = {}
    """Only series with these."""
    level: bool = False
    """It is bad when it is 0; else it is bad when it rises."""


RULES = (
    Rule("events_dropped_total", "{handler}", "{count} events were lost in the last minute ({reason})"),
    Rule(
        "events_delivered_total", "{handler}", "{count} events failed in the last minute; see the log",
        labels={"outcome": "failed"},
    ),
    Rule("store_errors_total", "store", "could not write {count} times in the last minute; events wait, see the log"),
    Rule("hep_connected", "hep", "no connection to the capture server ({transport})", level=True),
    Rule("hep_packets_dropped_total", "hep", "{count} packets were lost in the last minute ({transport}, {reason})"),
    Rule("intake_connected", "{intake}", "no connection to the broker", labels={"intake": "rabbitmq"}, level=True),
    Rule("intake_connected", "{intake}", "no connection to the broker", labels={"intake": "mqtt"}, level=True),
)  # fmt: skip


class Rise:
    """How one series rose of late."""

    __slots__ = ("_seen", "at", "by")

    def __init__(self, value: float) -> None:
        self._seen = value
        self.at = float("-inf")
        self.by = 0.0

    def look(self, value: float, now: float) -> None:
        """Note its value."""
        if now - self.at > RECENT_S:
            self.by = 0.0
        if value > self._seen:
            self.by += value - self._seen
            self.at = now
        self._seen = value


class _Words(dict[str, str]):
    """Labels for a text; a third party's counter may lack one."""

    def __missing__(self, key: str) -> str:
        return "?"


class Problem(Struct, frozen=True):
    """One thing that is wrong."""

    component: str
    text: str


class Health:
    """What is wrong now. Looks at the counts every few seconds from :meth:`start` to :meth:`stop`, and when asked."""

    def __init__(self, clock: Clock, measured: Sequence[Measured], left_out: Callable[[], Iterable[str]]) -> None:
        """``measured``: whose counts; more may be added. ``left_out``: handlers that could not start."""
        self._clock = clock
        self._measured = measured
        self._left_out = left_out
        self._rises: dict[tuple[str, tuple[tuple[str, str], ...]], Rise] = {}
        self._timer: Timer | None = None

    def start(self) -> None:
        """Look from now on."""
        self.problems()
        self._timer = self._clock.call_later(LOOK_EVERY_S, self.start)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def problems(self) -> list[Problem]:
        """Each thing that is wrong, once."""
        found = {Problem(name, "could not start; see the log") for name in self._left_out()}
        now = self._clock.monotonic()
        for one in self._measured:
            for counter in one.measure():
                found.update(self._judged(counter, now))
        return sorted(found, key=lambda problem: (problem.component, problem.text))

    def routes(self) -> list[web.RouteDef]:
        """``/healthz``: 200 as long as this process answers, because no restart repairs a full disk; what is wrong is
        in the body. ``/readyz``: the same with 503 while anything is, for whoever goes by the status alone."""
        return [web.get("/healthz", self._answer), web.get("/readyz", self._answer)]

    async def _answer(self, request: web.Request) -> web.Response:
        problems = self.problems()
        state = {
            "status": "degraded" if problems else "ok",
            "version": __version__,
            "handlers_left_out": sorted(self._left_out()),
            "problems": [msgspec.structs.asdict(problem) for problem in problems],
        }
        status = 503 if problems and request.path == "/readyz" else 200
        return web.json_response(state, status=status, headers={"Cache-Control": "no-store"})

    def _judged(self, counter: Counter, now: float) -> Iterable[Problem]:
        for rule in _RULES_OF.get(counter.name, ()):
            if not rule.labels.items() <= counter.labels.items():
                continue
            count = 0
            if rule.level:
                if counter.value:
                    continue
            else:
                key = counter.name, tuple(sorted(counter.labels.items()))
                # What is first seen after the start began at 0 like all others.
                rise = self._rises.setdefault(key, Rise(0))
                rise.look(counter.value, now)
                if now - rise.at > RECENT_S:
                    continue
                count = round(rise.by)
            words = _Words({**counter.labels, "count": str(count)})
            yield Problem(rule.component.format_map(words), rule.text.format_map(words))


_RULES_OF: dict[str, tuple[Rule, ...]] = {
    name: tuple(rule for rule in RULES if rule.counter == name) for name in {rule.counter for rule in RULES}
}
