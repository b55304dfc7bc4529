"""Ships what a replay found to where live calls go: Homer, a store, the metrics."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.commands.replay import Options, ReplayError, Say
from appliance.components import Components
from appliance.core.bus import EventBus
from appliance.core.clock import Clock, LoopClock
from appliance.core.events import Event
from appliance.core.handler import EventHandler, HandlerContext

LOW_WATER = 2_000
"""Events that may wait for the slowest handler: a file has no hurry, so nothing of it is dropped."""
GROUP = 200


def _settings(options: Options) -> Iterator[tuple[str, dict[str, Any]]]:
    """Which handlers, and their settings."""
    if options.homer is not None:
        yield "hep", {"server": options.homer, "spool": False}
    if options.store is not None:
        url = options.store if "://" in options.store else f"sqlite:///{Path(options.store).absolute()}"
        # What is old in a file is not old for who replays it.
        yield "store", {"url": url, "retention_days": 0.0}
    if options.metrics:
        yield "prometheus", {}


def _store_folder(options: Options) -> Path | None:
    if options.store is None:
        return None
    name = options.store.removeprefix("sqlite:///")
    return None if "://" in name else Path(name).absolute().parent


async def ship(events: list[Event], options: Options, say: Say, note: Say) -> None:
    """Hand events to the handlers that were asked for, in order. :raises ReplayError: one can't be used."""
    clock = LoopClock()
    components = Components("handlers")
    bus = EventBus(clock)
    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        context = HandlerContext(
            clock=clock,
            # The only place where a handler may write.
            data_dir=_store_folder(options) or Path(folder),
            server_name=events[0].emitter or "replay",
            publish=lambda _body, _about: None,
            bus=bus,
            measured=[],
        )
        handlers: dict[str, EventHandler] = {}
        for name, values in _settings(options):
            handler_class = components.load(name)
            try:
                handlers[name] = handler_class(handler_class.Config(**values), context)
            except (ValueError, OSError) as problem:
                raise ReplayError(str(problem)) from None
            bus.add(handlers[name])
        async with bus:
            missing = set(handlers) - {subscription.name for subscription in bus.subscriptions}
            if missing:
                raise ReplayError(f"{', '.join(sorted(missing))} can't be used; the reason is in the log above")
            await _publish(events, bus, clock, options.speed)
            await _until_below(bus, 1)
            if options.metrics:
                exporter: Any = handlers["prometheus"]
                for text in ("".join(exporter.exporter.metrics(False)), *exporter.exporter.handle_pieces(False)):
                    say(text.rstrip("\n"))
        lost = sum(sum(subscription.dropped.values()) + subscription.failed for subscription in bus.subscriptions)
        if lost:
            note(f"{lost} events did not get where they should")


async def _publish(events: list[Event], bus: EventBus, clock: Clock, speed: str) -> None:
    began, first_us = clock.monotonic(), events[0].timestamp
    for number, item in enumerate(events, 1):
        if speed == "real":
            wait = (item.timestamp - first_us) / 1e6 - (clock.monotonic() - began)
            if wait > 0:
                await asyncio.sleep(wait)
        bus.publish(item)
        if number % GROUP == 0:
            await asyncio.sleep(0)
            await _until_below(bus, LOW_WATER)


async def _until_below(bus: EventBus, limit: int) -> None:
    """Return once every handler has fewer events waiting."""
    for subscription in bus.subscriptions:
        pause = 0.001
        while True:
            if len(subscription) < limit:
                break
            await asyncio.sleep(pause)
            pause = min(0.05, 2 * pause)
