"""Watches every call as it goes and says what is wrong with it, and what was once it is over.

A verdict goes back into the stream as an external event of its own schema, so that whoever keeps, ships or shows
events has it. All judgement is in :mod:`appliance.diagnosis`; here are the calls that are on, the time, and the
hysteresis that keeps a live verdict from flickering.
"""

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from typing import ClassVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from appliance.core.clock import Timer
from appliance.core.events import CALL_SCHEMA, Counter, Event, EventType, External, parse_mask
from appliance.core.handler import HandlerContext
from appliance.diagnosis.calls import MAX_CALLS, Calls
from appliance.diagnosis.record import record
from appliance.diagnosis.thresholds import OPEN_AFTER, RESOLVE_AFTER
from appliance.diagnosis.timeline import Timeline
from appliance.diagnosis.verdict import SCHEMA, Verdict, judge

logger = logging.getLogger(__name__)

GRACE_S = 0.3
"""After the end: the last statistics and counters come with it, and whoever holds a hangup for us waits 2 s."""
TICK_S = 0.25
EVALUATIONS_PER_TICK = 50
"""Judging takes some 0.1 ms a call; the same loop ships HEP, so it is spread."""
SETUP_EVERY_S = 1.0
UP_EVERY_S = 3.0
SILENT_LIVE = {"in_progress", "no_peer_connection", "cancelled", "evidence_incomplete"}
"""No news while a call lives."""


class DiagnosisConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[handlers.diagnosis]``."""

    enabled: bool = True
    events: str = "all"
    """Words of the mask. A type that is left out is evidence that is left out."""
    live: bool = True
    """Judge calls while they are on, not only once they are over."""
    max_calls: int = MAX_CALLS
    """Calls watched at once; beyond, the one that was quiet longest is given up."""

    def __post_init__(self) -> None:
        if self.max_calls < 1:
            raise ValueError(f"max_calls: {self.max_calls} came, wanted 1 or more")


class Watch:
    """What the handler knows of a call beside its timeline."""

    __slots__ = ("about", "candidate", "closing", "count", "heard_at", "said")

    def __init__(self, about: Event, heard_at: float) -> None:
        self.about = about
        """An event of the call, whose ids a verdict takes over."""
        self.heard_at = heard_at
        self.said: Verdict | None = None
        """The live verdict that was published last."""
        self.candidate = ""
        self.count = 0
        """Evaluations in a row that agreed on the candidate."""
        self.closing: Timer | None = None


class DiagnosisHandler:
    """Implements :class:`appliance.core.handler.EventHandler`."""

    Config: ClassVar[type[Struct]] = DiagnosisConfig
    name = "diagnosis"

    def __init__(self, config: DiagnosisConfig, context: HandlerContext) -> None:
        self.mask: EventType = parse_mask(config.events)
        self._config = config
        self._clock = context.clock
        self._publish = context.publish
        self._calls = Calls(max_calls=config.max_calls)
        self._watched: dict[str, Watch] = {}
        self._due: deque[tuple[float, str]] = deque()
        self._urgent: deque[tuple[float, str]] = deque()
        self._tick_timer: Timer | None = None
        self._closing: deque[str] = deque()
        """Calls that are over and can be judged."""
        self._close_timer: Timer | None = None
        self._final = 0
        self._changes = 0
        self._evaluations = 0
        context.measured.append(self)

    async def start(self) -> None:
        """Begin to look at live calls."""
        if self._config.live:
            self._tick_timer = self._clock.call_later(TICK_S, self._tick)

    async def handle(self, batch: Sequence[Event]) -> None:
        """Fold events into their calls."""
        now = self._clock.monotonic()
        for item in batch:
            if item.type == EventType.EXTERNAL:
                continue
            for name in self._calls.add(item):
                self._take(name, item, now)
        if len(self._watched) > len(self._calls) + 100:
            self._let_go_of_the_forgotten()

    async def stop(self) -> None:
        """Look no more. What has not ended by now has no final verdict."""
        if self._tick_timer is not None:
            self._tick_timer.cancel()
        if self._close_timer is not None:
            self._close_timer.cancel()
        for watch in self._watched.values():
            if watch.closing is not None:
                watch.closing.cancel()

    def measure(self) -> Iterable[Counter]:
        """How many calls are watched, and what was said of them."""
        yield Counter("diagnosis_calls", len(self._calls))
        yield Counter("diagnosis_calls_forgotten_total", self._calls.forgotten)
        yield Counter("diagnosis_evaluations_total", self._evaluations)
        yield Counter("diagnosis_verdicts_published_total", self._final, {"kind": "final"})
        yield Counter("diagnosis_verdicts_published_total", self._changes, {"kind": "live"})

    def _take(self, name: str, item: Event, now: float) -> None:
        watch = self._watched.get(name)
        if watch is None:
            about = item if item.correlation_id == name else replace(item, correlation_id=name)
            watch = self._watched[name] = Watch(about, now)
            self._urgent.append((now + SETUP_EVERY_S, name))
        watch.heard_at = now
        if watch.closing is None and self._calls[name].ends:
            watch.closing = self._clock.call_later(GRACE_S, lambda: self._close_in_turn(name))

    def _close_in_turn(self, name: str) -> None:
        """One at a turn of the loop: a server that goes takes all its calls along, and others' events must not wait."""
        self._closing.append(name)
        if self._close_timer is None:
            self._close_timer = self._clock.call_later(0, self._close_next)

    def _close_next(self) -> None:
        self._close_timer = None
        name = self._closing.popleft()
        if self._closing:
            self._close_timer = self._clock.call_later(0, self._close_next)
        self._close(name)

    def _close(self, name: str) -> None:
        """The call is over and its last words are in."""
        timeline = self._calls.close(name)
        watch = self._watched.pop(name, None)
        if timeline is None or watch is None:
            return
        self._evaluations += 1
        verdict = judge(timeline)
        if verdict.code == "no_peer_connection":
            return
        self._final += 1
        self._say(verdict, watch)
        self._publish(External(schema=CALL_SCHEMA, data=msgspec.to_builtins(record(timeline, verdict))), watch.about)

    def _tick(self) -> None:
        self._tick_timer = self._clock.call_later(TICK_S, self._tick)
        now = self._clock.monotonic()
        budget = EVALUATIONS_PER_TICK
        # Each queue is in the order of its times, because each has one period.
        for queue in (self._urgent, self._due):
            while queue and queue[0][0] <= now and budget:
                _, name = queue.popleft()
                watch = self._watched.get(name)
                if watch is None or watch.closing is not None or name not in self._calls:
                    continue
                budget -= 1
                timeline = self._calls[name]
                self._look(timeline, watch, now)
                if timeline.up is None:
                    self._urgent.append((now + SETUP_EVERY_S, name))
                else:
                    self._due.append((now + UP_EVERY_S, name))

    def _look(self, timeline: Timeline, watch: Watch, now: float) -> None:
        """Judge a live call, and tell when the judgement has changed for good."""
        self._evaluations += 1
        # By the server's clock: ours may differ from it, but both run alike.
        now_us = timeline.last_us + round((now - watch.heard_at) * 1e6)
        verdict = judge(timeline, now_us=now_us, final=False)
        said = watch.said
        if verdict.code in SILENT_LIVE or (said is not None and verdict.code == said.code):
            watch.candidate, watch.count = "", 0
            return
        watch.count = watch.count + 1 if watch.candidate == verdict.code else 1
        watch.candidate = verdict.code
        over = said is not None and said.severity != "good" and verdict.severity == "good"
        if watch.count < (RESOLVE_AFTER if over else OPEN_AFTER):
            return
        if over and said is not None:
            verdict = replace(verdict, resolves=said.code)
        watch.candidate, watch.count, watch.said = "", 0, verdict
        self._changes += 1
        self._say(verdict, watch)

    def _say(self, verdict: Verdict, watch: Watch) -> None:
        self._publish(External(schema=SCHEMA, data=msgspec.to_builtins(verdict)), watch.about)

    def _let_go_of_the_forgotten(self) -> None:
        for name in [name for name in self._watched if name not in self._calls]:
            watch = self._watched.pop(name)
            if watch.closing is not None:
                watch.closing.cancel()
