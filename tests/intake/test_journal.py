"""What an intake writes down of what is on its way, over runs that end without a word."""

import asyncio
import errno
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.core.bus import EventBus
from appliance.core.deliveries import Deliveries, Origin
from appliance.core.events import Event, EventType
from appliance.core.intake import Deliver, KeepsJournal
from appliance.core.stamp import Stamper
from appliance.intake import dialect
from appliance.intake.http import HttpIntake, HttpIntakeConfig
from appliance.intake.journal import PAUSE, YIELD_EVERY, Journal
from appliance.intake.mqtt import MqttIntake, MqttIntakeConfig
from appliance.intake.reader import Reader
from appliance.intake.websocket import WebSocketIntake, WebSocketIntakeConfig
from appliance.net.segments import Appender
from tests.clock import FakeClock


class Handler:
    """Keeps what it is given only when it is told to, as far as ``held`` says."""

    mask = EventType.ALL

    def __init__(self, name: str, *, knows_again: bool = False) -> None:
        self.name = name
        self.got: list[Event] = []
        self.held: int | None = None
        if knows_again:
            self.knows_again = True

    @property
    def oldest_held(self) -> int | None:
        return self.held

    def hurry(self) -> None:
        pass

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def handle(self, batch: Sequence[Event]) -> None:
        self.got += batch
        if self.name == "store" and self.held is None:
            self.held = batch[0].id


class Run:
    """One of a collector, from its start to its being killed."""

    def __init__(self, folder: Path, max_mb: float = 1.0, with_store: bool = True) -> None:
        # Each run begins at the same time, as where the wall clock was set back.
        clock = self.clock = FakeClock()
        self.store = Handler("store", knows_again=True)
        self.hep = Handler("hep")
        self.deliveries = Deliveries()
        self.deliveries.asked = with_store
        self.stamper = Stamper(clock)
        self.bus = EventBus(clock)
        for handler in (self.store, self.hep):
            self.bus.add(handler)
        self.journal = Journal("http", max_mb, clock)
        self.journal.open(folder, self.bus, self.deliveries)
        self.reader = Reader("http", max_bytes=2**24, journal=self.journal)
        self.reader.deliver = self.deliver

    def deliver(self, item: Event) -> None:
        self.bus.publish(self.stamper.stamp(item))

    async def handled(self) -> None:
        """What is published is with the handlers, and the journal has looked how far they are."""
        for subscription in self.bus.subscriptions:
            while len(subscription) or subscription.oldest_held not in {None, self.store.held}:  # noqa: ASYNC110
                await asyncio.sleep(0)
        self.clock.advance(PAUSE)

    def origins(self) -> list[Origin]:
        found = [self.deliveries.of(item.id) for item in self.store.got]
        return [origin for origin in found if origin is not None]

    def counts(self) -> dict[str, float]:
        return {c.labels.get("reason", c.name): c.value for c in self.journal.measure()}


@asynccontextmanager
async def run(folder: Path, **options: Any) -> AsyncIterator[Run]:
    """Killed at the end: nothing is kept any more, and nothing closed but the descriptors."""
    made = Run(folder, **options)
    async with made.bus:
        made.reader.replay()
        await made.journal.ready.wait()
        await made.handled()
        yield made
        spool = made.journal._spool
        assert spool is not None
        spool.close()
        made.journal._spool = None


def message(*numbers: int) -> bytes:
    events = [{"type": 1, "timestamp": n, "session_id": 7, "event": {"name": "created"}} for n in numbers]
    return json.dumps(events).encode()


def segments(folder: Path) -> list[Path]:
    return list(folder.glob("*.seg"))


def times(items: Iterable[Event]) -> list[int]:
    return [item.timestamp for item in items]


async def test_what_is_not_kept_comes_again_first_and_is_recognised(tmp_path: Path) -> None:
    async with run(tmp_path) as first:
        for data in (message(1, 2), message(3), message(4, 5)):
            await first.reader.read(data)
        await first.handled()
        before = first.origins()
        # The first message is stored.
        first.store.held = first.store.got[2].id
        await first.handled()
        assert first.counts()["intake_journal_messages"] == 2
    async with run(tmp_path) as second:
        assert times(second.store.got) == [3, 4, 5]
        assert second.origins() == before[2:]
        assert second.counts()["intake_journal_read_total"] == 2
        await second.reader.read(message(6))
        await second.handled()
        assert times(second.store.got)[3:] == [6]
        # No place is given twice.
        assert second.origins()[3] not in before
        assert second.counts()["intake_journal_messages"] == 3
        second.store.held = None
        await second.handled()
        assert second.counts()["intake_journal_bytes"] == 0
    async with run(tmp_path) as third:
        assert third.store.got == []


async def test_a_handler_that_passed_events_on_is_told_them_as_replayed(tmp_path: Path) -> None:
    async with run(tmp_path) as first:
        await first.reader.read(message(1))
        await first.reader.read(message(2))
        await first.handled()
        # What came after the last look is told once more; nobody knows whether it was passed on.
        await first.reader.read(message(3))
    for _ in range(2):
        # Twice: the second run is killed as soon as it has read the journal.
        async with run(tmp_path) as later:
            assert [(item.timestamp, item.replayed) for item in later.hep.got][:2] == [(1, True), (2, True)]
            assert [item.replayed for item in later.store.got] == [False, False, False]
    # By then the third was looked after, too.
    assert [item.replayed for item in later.hep.got] == [True, True, True]


async def test_a_message_that_others_are_read_beside_has_a_name_of_its_own(tmp_path: Path) -> None:
    long = list(range(100, 100 + YIELD_EVERY + 10))
    async with run(tmp_path) as first:
        reading = asyncio.create_task(first.reader.read(message(*long)))
        await asyncio.sleep(0)
        await first.reader.read(message(1))
        assert not reading.done()
        # Kept so far, though not read to its end: the journal has both.
        first.store.held = None
        await first.handled()
        assert first.counts()["intake_journal_messages"] == 2
        await reading
        await first.handled()
        names = {place[0] for place in first.origins()}
        assert len(names) == 2
        kept = {item.timestamp: first.deliveries.of(item.id) for item in first.store.got}
    async with run(tmp_path) as second:
        assert times(second.store.got) == [*long, 1]
        assert {item.timestamp: second.deliveries.of(item.id) for item in second.store.got} == kept


async def test_a_store_that_is_new_takes_what_came_without_one(tmp_path: Path) -> None:
    async with run(tmp_path, with_store=False) as first:
        await first.reader.read(message(1, 2))
        await first.reader.read(message(3))
        await first.handled()
        # Nobody asks, so nobody takes the trouble.
        assert len(first.deliveries) == 0
    async with run(tmp_path) as second:
        origins = second.origins()
        assert [place for _, place in origins] == [0, 1, 0]
        assert origins[0].message == origins[1].message != origins[2].message


async def test_a_sender_that_heard_no_answer_posts_again(tmp_path: Path) -> None:
    async with run(tmp_path) as first:
        await first.reader.read(message(1))
        await first.reader.read(message(2))
    async with run(tmp_path) as second:
        assert await second.reader.read(message(2))
        assert second.reader.doubles == 1
        # It is answered now: whoever posts it once more means it.
        await second.reader.read(message(2))
        await second.handled()
        assert times(second.store.got) == [1, 2, 2]
        second.clock.advance(301)
        await second.reader.read(message(1))
        assert second.reader.doubles == 1


async def test_a_full_journal_lets_go_of_the_oldest_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with run(tmp_path, max_mb=0.05) as first:
        for number in range(1000):
            await first.reader.read(message(number))
        await first.handled()
        assert times(first.store.got) == list(range(1000))
        counts = first.counts()
        assert counts["intake_journal_bytes"] <= 0.05 * 2**20
        assert counts["full"] + counts["intake_journal_messages"] == 1000 and counts["full"] > 0
        waiting = int(counts["intake_journal_messages"])
    assert [record.getMessage() for record in caplog.records] == [
        "intake.http: journal: it is full, because a handler keeps nothing; events go on, but a collector that is "
        "killed loses them; counting in silence"
    ]
    async with run(tmp_path, max_mb=0.05) as second:
        assert times(second.store.got) == list(range(1000 - waiting, 1000))


async def test_events_go_on_where_the_disk_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(self: Appender, data: bytes, at: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with run(tmp_path) as first:
        with monkeypatch.context() as patch:
            patch.setattr(Appender, "append", full)
            for number in range(3):
                assert await first.reader.read(message(number))
        await first.reader.read(message(3))
        await first.handled()
        assert times(first.store.got) == [0, 1, 2, 3]
        assert first.counts()["disk"] == 3 and first.counts()["intake_journal_messages"] == 1
    assert caplog.text.count("No space left on device") == 1


async def test_a_message_that_would_fill_the_journal_is_not_written(tmp_path: Path) -> None:
    async with run(tmp_path, max_mb=0.1) as first:
        await first.reader.read(message(*range(400)))
        await first.handled()
        assert len(first.store.got) == 400
        assert first.counts()["long"] == 1 and first.counts()["intake_journal_messages"] == 0


async def test_a_damaged_journal_gives_what_is_whole(tmp_path: Path) -> None:
    async with run(tmp_path) as first:
        for number in range(3):
            await first.reader.read(message(number))
    (segment,) = segments(tmp_path)
    segment.write_bytes(segment.read_bytes()[:-5])
    (tmp_path / "marks").write_bytes(b"\x00\x00\x00\x05abcd?????")
    async with run(tmp_path) as second:
        assert times(second.store.got) == [0, 1]
        assert second.counts()["corrupt"] == 1
        # Told twice rather than not at all.
        assert not any(item.replayed for item in second.hep.got)


async def test_a_folder_that_is_in_use_or_can_not_be_had_keeps_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "journal"):
        async with run(tmp_path / "journal"):
            got: list[Event] = []
            journal = Journal("http", 1, clock)
            journal.open(folder, EventBus(clock), Deliveries())
            with journal.keeping(message(1), 1, got.append) as deliver:
                deliver(next(dialect.read(json.loads(message(1)))))
            assert times(got) == [1]
            await journal.stop()
    assert caplog.text.count("intake.http: no journal") == 2


@pytest.mark.parametrize(
    ("made_by", "config"),
    [
        (HttpIntake, HttpIntakeConfig(port=0)),
        (WebSocketIntake, WebSocketIntakeConfig(port=0)),
        # Nobody listens there, so nothing new comes.
        (MqttIntake, MqttIntakeConfig(port=1)),
    ],
)
async def test_each_intake_reads_its_journal_before_anything_new(tmp_path: Path, made_by: Any, config: Any) -> None:
    async with run(tmp_path) as first:
        await first.reader.read(message(1, 2))
        await first.reader.read(b'[{"type":1}]')
    later = Run(tmp_path, max_mb=0)
    async with later.bus:
        intake = made_by(config, later.clock)
        keeps: KeepsJournal = intake
        keeps.keep_in(tmp_path, later.bus, later.deliveries)
        await intake.start(later.deliver)
        await intake._journal.ready.wait()
        await later.handled()
        assert times(later.store.got) == [1, 2]
        counts = {counter.name: counter.value for counter in intake.measure()}
        assert counts["intake_journal_read_total"] == 2
        later.store.held = None
        await intake.stop()
    assert not segments(tmp_path)


async def test_what_is_read_in_the_moment_it_comes_is_kept_too(tmp_path: Path) -> None:
    async with run(tmp_path) as first:
        # As MQTT gives it.
        assert first.reader.take(message(1))
    async with run(tmp_path) as second:
        assert second.reader.take(message(1)) and second.reader.doubles == 1
        assert second.reader.take(message(2))
        await second.handled()
        assert times(second.store.got) == [1, 2]


async def test_an_end_while_the_journal_is_read_leaves_the_rest(tmp_path: Path) -> None:
    async with run(tmp_path) as first:
        for number in range(3):
            await first.reader.read(message(number, number + 10))
    second = Run(tmp_path)
    begun = asyncio.Event()

    async def read(data: bytes, deliver: Deliver) -> None:
        for count, item in enumerate(dialect.read(json.loads(data))):
            deliver(item)
            if item.timestamp == 1 and not count:
                begun.set()
                await asyncio.Event().wait()

    async with second.bus:
        second.journal.begin(read, second.deliver)
        await begun.wait()
        await second.handled()
        second.store.held = None
        await second.journal.stop()
    assert times(second.store.got) == [0, 10, 1]
    async with run(tmp_path) as third:
        assert times(third.store.got) == [1, 11, 2, 12]


async def test_what_waits_for_a_store_is_not_given_to_a_run_without_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with run(tmp_path) as first:
        await first.reader.read(message(1))
    without = Run(tmp_path / "unused")

    async def refuse() -> None:
        raise OSError("no database")

    without.store.start = refuse  # type: ignore[method-assign]  # a store that can't be started
    async with without.bus:
        journal = Journal("http", 1, without.clock)
        journal.open(tmp_path, without.bus, without.deliveries)
        journal.begin(without.reader._once_more, without.deliver)
        assert journal.ready.is_set()
        await journal.stop()
    assert "intake.http: the journal waits for a start with handler store" in caplog.text
    assert without.hep.got == []
    async with run(tmp_path) as later:
        assert times(later.store.got) == [1]


async def test_an_orderly_end_leaves_nothing(tmp_path: Path) -> None:
    made = Run(tmp_path)
    async with made.bus:
        await made.reader.read(message(1, 2))
        await made.handled()
        made.store.held = None
        await made.journal.stop()
    assert not segments(tmp_path)


@pytest.mark.parametrize("size", [-1, float("nan"), float("inf")])
def test_a_size_that_makes_no_sense_is_refused(size: float) -> None:
    with pytest.raises(ValueError, match="journal_max_mb"):
        Journal("http", size, FakeClock())
