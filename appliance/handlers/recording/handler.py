"""Decides which calls are recorded, has their gateways keep the packets, and makes the bundles.

Nothing of this holds a call up: a gateway that refuses, a disk that is full and a bundle that fails are counted, and
told in the manifest or the log.
"""

import asyncio
import logging
import secrets
from collections.abc import Coroutine, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

import appliance
from appliance.core.events import Counter, Event, EventType, parse_mask
from appliance.core.handler import HandlerContext
from appliance.core.recordings import BundleInfo, Recordings
from appliance.diagnosis.explain import Explanation, explain
from appliance.handlers.hep.masking import Masker, parse_words
from appliance.handlers.recording.config import RecordingRules
from appliance.handlers.recording.live import LiveCall, LiveCalls
from appliance.handlers.recording.shelf import Shelf
from appliance.recording.bundle import write_bundle
from appliance.recording.parts import Parts, PartsError, decode
from appliance.recording.rules import MAX_RULES, Facts, parse

logger = logging.getLogger(__name__)

GRACE_S = 1.0
"""After the end: the verdict and the last statistics come with it."""
POLL_S = 0.1
PATIENCE_S = 20.0
"""For a gateway to write what it has kept."""
MAX_TASKS = 64
"""Bundles in the making; beyond, further ones are refused and counted."""


class RecordingHandler:
    """Implements :class:`appliance.core.handler.EventHandler` and :class:`appliance.core.recordings.Recordings`."""

    Config: ClassVar[type[Struct]] = RecordingRules
    name = "recording"

    def __init__(self, config: RecordingRules, context: HandlerContext) -> None:
        self.mask: EventType = parse_mask(config.events)
        self._config = config
        self._clock = context.clock
        self._gateways = context.gateways
        self._shelf = Shelf(context.data_dir, max_bundles=config.max_bundles, max_bytes=config.max_bytes)
        self._live = LiveCalls(max_events=config.max_events)
        self._rules = [parse(text) for text in config.rules]
        words = parse_words(config.mask)
        self._masks = Masker(words, secrets.token_bytes(32)) if words else None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._made = 0
        self._failed = 0
        self._refused = 0
        context.measured.append(self)

    @property
    def recordings(self) -> Recordings:
        """For the console."""
        return self

    async def start(self) -> None:
        """Remove what was left half made."""
        await asyncio.to_thread(self._shelf.sweep, self._clock.wall_us() / 1e6)

    async def handle(self, batch: Sequence[Event]) -> None:
        """Keep the events, and see whom the rules are about."""
        for item in batch:
            for call in self._live.add(item):
                if call.asked is None:
                    self._ask_for(call)
                if call.closing is None and self._live.over(call.correlation_id):
                    call.closing = self._clock.call_later(GRACE_S, partial(self._over, call.correlation_id))

    async def stop(self) -> None:
        """Finish the bundles in the making; calls that are still on get theirs as far as they have gone."""
        for call in self._live:
            call.cancel()
            if call.closing is not None:
                self._over(call.correlation_id)
            elif call.asked is not None:
                self._begin(self._finish(call))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=PATIENCE_S)

    def measure(self) -> Iterable[Counter]:
        """Bundles by what became of them."""
        yield Counter("recordings_total", self._made, {"outcome": "written"})
        yield Counter("recordings_total", self._failed, {"outcome": "failed"})
        yield Counter("recordings_total", self._refused, {"outcome": "refused"})
        yield Counter("recordings_active", len(self.recording))
        yield Counter("recording_calls_forgotten_total", self._live.forgotten)

    # --- Recordings -------------------------------------------------------------------------------------------

    @property
    def rules(self) -> list[str]:
        """In force."""
        return [rule.text for rule in self._rules]

    @property
    def recording(self) -> list[str]:
        """Calls that are being recorded."""
        return [call.correlation_id for call in self._live if call.asked is not None]

    def start_rule(self, text: str) -> None:
        """Record the calls that a rule is about. :raises ValueError: it is none, or there are too many."""
        rule = parse(text)
        if rule.text in self.rules:
            return
        if len(self._rules) >= MAX_RULES:
            raise ValueError(f"{MAX_RULES} rules are in force already")
        self._rules.append(rule)
        for call in self._live:
            if call.asked is None:
                self._ask_for(call)

    def stop_rule(self, text: str) -> bool:
        """Take a rule back, and finish what it began; false when there is no such rule."""
        wanted = " ".join(text.split())
        began = [call for call in self._live if call.asked is not None and call.asked.text == wanted]
        known = [rule for rule in self._rules if rule.text == wanted]
        for rule in known:
            self._rules.remove(rule)
        for call in began:
            self._end(call)
        return bool(known or began)

    def bundles(self) -> list[BundleInfo]:
        """On disk."""
        return self._shelf.bundles()

    def path(self, name: str) -> Path | None:
        """Of a bundle."""
        return self._shelf.path(name)

    async def bundle(self, correlation_id: str, events: Sequence[Event] = ()) -> Path | None:
        """The newest of a call; of a live one, made now; of one that was not recorded, of its events alone."""
        call = self._live.get(correlation_id)
        if call is not None:
            return await self._finish(call)
        found = await asyncio.to_thread(self.bundles)
        name = next((info.name for info in found if info.correlation_id == correlation_id), None)
        if name is not None:
            return self.path(name)
        about = next((item for item in events if item.handle_id is not None), None)
        if about is None:
            return None
        call = LiveCall(correlation_id, about)
        call.events = list(events)
        call.problem = "it was not recorded: this is what the store keeps of it"
        return await self._shelve(call, None, final=True)

    # --- calls ------------------------------------------------------------------------------------------------

    def _ask_for(self, call: LiveCall) -> None:
        rule = next((rule for rule in self._rules if not rule.decides and rule.holds(call.facts)), None)
        if rule is None or call.closing is not None:
            return
        if rule.once:
            self._rules.remove(rule)
        call.asked = rule
        call.limit = self._clock.call_later(self._config.max_seconds, lambda: self._end(call))
        self._begin(self._tell(call, "record_start"))

    def _end(self, call: LiveCall) -> None:
        """The recording is over, the call may not be."""
        self._begin(self._conclude(call))

    async def _conclude(self, call: LiveCall) -> None:
        await self._finish(call)
        call.asked = None
        if call.limit is not None:
            call.limit.cancel()
        await self._tell(call, "record_stop")

    async def _tell(self, call: LiveCall, verb: str) -> dict[str, Any]:
        facts = call.facts
        if self._gateways is None or facts.session_id is None or facts.handle_id is None:
            call.problem = "no gateway of ours carries it"
            return {}
        args = {"session_id": facts.session_id, "handle_id": facts.handle_id}
        try:
            return await self._gateways.request(call.server, verb, args)
        except Exception as problem:
            # A Janus server's call, or a gateway that is away: events are recorded all the same.
            call.problem = str(problem) or type(problem).__name__
            return {}

    def _over(self, correlation_id: str) -> None:
        call = self._live.take(correlation_id)
        if call is None:
            return
        call.cancel()
        if call.asked is not None or any(rule.decides for rule in self._rules):
            self._begin(self._decide(call))

    async def _decide(self, call: LiveCall) -> None:
        explanation = await asyncio.to_thread(explain, call.events, final=True)
        if call.asked is None:
            facts = _facts(call, explanation)
            rule = next((rule for rule in self._rules if rule.decides and rule.holds(facts)), None)
            if rule is None:
                return
            if rule.once:
                self._rules.remove(rule)
            call.asked = rule
        await self._finish(call, final=True)

    # --- bundles ----------------------------------------------------------------------------------------------

    def _begin(self, work: Coroutine[Any, Any, Any]) -> None:
        if len(self._tasks) >= MAX_TASKS:
            work.close()
            self._refused += 1
            return
        task = asyncio.get_running_loop().create_task(work, name="recording")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failed += 1
            logger.error("a recording failed", exc_info=task.exception())

    async def _finish(self, call: LiveCall, *, final: bool | None = None) -> Path | None:
        """Make the bundle of what there is. ``None``: it could not be written."""
        return await self._shelve(call, await self._parts(call), final=final)

    async def _shelve(self, call: LiveCall, parts: Parts | None, *, final: bool | None) -> Path | None:
        try:
            path = await asyncio.to_thread(self._write, call, list(call.events), parts, final)
        except OSError as problem:
            self._failed += 1
            logger.warning("the recording of %s is lost: %s", call.correlation_id, problem.strerror or problem)
            return None
        self._made += 1
        logger.info("recorded %s", path)
        return path

    async def _parts(self, call: LiveCall) -> Parts | None:
        """What the gateway kept."""
        name = (await self._tell(call, "record_take")).get("file")
        if not isinstance(name, str):
            call.problem = call.problem or "its gateway kept no packets of it"
            return None
        for _ in range(round(PATIENCE_S / POLL_S)):
            state = await self._written(call.server, name)
            if state.get("state") != "writing":
                break
            await asyncio.sleep(POLL_S)
        data = await asyncio.to_thread(self._shelf.parts, name)
        if data is None:
            call.problem = str(state.get("problem") or "its gateway writes to another data directory")
            return None
        try:
            parts = await asyncio.to_thread(decode, data)
        except PartsError as problem:
            call.problem = str(problem)
            return None
        call.problem = ""
        return parts

    async def _written(self, server: str, name: str) -> dict[str, Any]:
        assert self._gateways is not None, "it has given the name"
        try:
            return await self._gateways.request(server, "record_written", {"file": name})
        except Exception as problem:
            return {"state": "failed", "problem": str(problem) or type(problem).__name__}

    def _write(self, call: LiveCall, events: list[Event], parts: Parts | None, final: bool | None) -> Path:
        """In a thread."""
        shown = events if self._masks is None else [self._masks.event(item) for item in events]
        explanation = explain(shown, final=final)
        about: dict[str, Any] = {
            "correlation_id": call.correlation_id,
            "server": call.server,
            "session_id": call.facts.session_id,
            "handle_id": call.facts.handle_id,
            "rule": None if call.asked is None else call.asked.text,
            "verdict": explanation.verdict.code,
            "final": explanation.verdict.final,
            "recorded_us": self._clock.wall_us(),
            "made_by": f"appliance {appliance.__version__}",
            "events": len(shown),
            "wire_packets": 0 if parts is None else len(parts.wire),
            "plain_packets": 0 if parts is None else len(parts.plain),
            "messages": 0 if parts is None else len(parts.messages),
            "not_kept": {} if parts is None else parts.lost,
            "packets_missing": call.problem or None,
        }
        return self._shelf.store(
            call.correlation_id,
            self._clock.wall_us(),
            lambda file: write_bundle(
                file,
                events=events,
                explanation=msgspec.to_builtins(explanation),
                parts=parts,
                about=about,
                masks=self._masks,
            ),
        )


def _facts(call: LiveCall, explanation: Explanation) -> Facts:
    losses = [loss for track in explanation.tracks for loss in (track.loss_in, track.loss_out) if loss is not None]
    return Facts(
        correlation_id=call.correlation_id,
        session_id=call.facts.session_id,
        handle_id=call.facts.handle_id,
        room=call.facts.room,
        code=explanation.verdict.code,
        failed=explanation.verdict.severity == "fault",
        loss=max(losses, default=None),
    )
