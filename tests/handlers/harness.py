"""What the tests of handlers that keep events share."""

from collections.abc import Iterator
from pathlib import Path

from appliance.core.bus import EventBus
from appliance.core.clock import Clock
from appliance.core.events import Body, Event
from appliance.core.handler import HandlerContext
from appliance.core.stamp import Stamper
from appliance.handlers.store import StoreConfig, StoreHandler
from appliance.intake.files import read_events
from tests.clock import FakeClock

DATA = Path(__file__).parent.parent / "data"


def context(data_dir: Path, clock: Clock | None = None) -> HandlerContext:
    clock = clock or FakeClock()

    def publish(body: Body, about: Event) -> None:
        raise AssertionError("a store publishes nothing")

    return HandlerContext(
        clock=clock, data_dir=data_dir, server_name="test", publish=publish, bus=EventBus(clock), measured=[]
    )


def store(data_dir: Path, clock: Clock | None = None, config: StoreConfig | None = None) -> StoreHandler:
    return StoreHandler(config or StoreConfig(), context(data_dir, clock))


def recorded(name: str, stamper: Stamper | None = None) -> Iterator[Event]:
    """The events of a file under tests/data, stamped."""
    stamper = stamper or Stamper(FakeClock())
    problems: list[tuple[int, str]] = []
    for item in read_events(DATA / name, lambda line, problem: problems.append((line, problem))):
        yield stamper.stamp(item)
    assert not problems
