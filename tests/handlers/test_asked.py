"""An end that was inferred, and then comes after all: every handler has it once."""

from msgspec.structs import replace

from appliance.core.events import UNTOLD, Connection, Event, Handle, MediaStats, Session
from appliance.handlers.store.calls import CallBook
from tests.clock import FakeClock
from tests.handlers import hep_calls as hep
from tests.metrics.traces import Scrape, exporter, play

CASE = "aiortc_echo"


def ends_at(events: list[Event]) -> int:
    return next(n for n, item in enumerate(events) if isinstance(item.event, Connection) and item.event.reason)


def inferred(before: Event) -> list[Event]:
    """As the reconciliation has it: hangup, handle, session."""
    bodies = Connection(connection="hangup", reason=UNTOLD), Handle(name="detached", plugin="janus.plugin.echotest")
    made = [replace(before, type=int(body.type), subtype=body.subtype, event=body, inferred=True) for body in bodies]
    gone = Session(name="destroyed")
    return [*made, replace(before, type=1, subtype=0, handle_id=None, correlation_id=None, event=gone, inferred=True)]


def story() -> tuple[list[Event], list[Event], list[Event]]:
    """Before the end, the inferred end, and what Janus told of it."""
    events = hep.trace(CASE)
    cut = ends_at(events)
    last = next(item for item in reversed(events[:cut]) if isinstance(item.event, MediaStats))
    return events[:cut], inferred(last), events[cut:]


def test_homer_gets_one_goodbye() -> None:
    before, end, late = story()
    target = hep.mapper()
    told = hep.sip([*hep.play(target, [*before, *end]), *target.due(10.0)])
    assert [message["cseq"].partition(" ")[2] for message in told].count("BYE") == 1
    assert UNTOLD in told[-1]["reason"]
    assert not hep.sip([*hep.play(target, late), *target.due(20.0)])


def test_counts_have_it_once() -> None:
    before, end, late = story()
    clock = FakeClock()
    target = exporter(clock)
    play(target, [*before, *end], clock)
    scrape = Scrape(target)
    assert (scrape("sessions"), scrape.total("handles"), scrape("peerconnections", state="up")) == (0, 0, 0)
    assert scrape("hangups_total", reason="not_told") == 1
    play(target, late, clock)
    scrape = Scrape(target)
    assert (scrape("sessions"), scrape.total("handles"), scrape("peerconnections", state="up")) == (0, 0, 0)
    assert scrape.total("hangups_total") == 1 and scrape.total("sessions_ended_total") == 1


def test_the_store_keeps_the_first() -> None:
    before, end, late = story()
    book = CallBook()
    for item in [*before, *end]:
        book.take(item)
    (call,) = book.changed()
    assert call.ended_us == end[0].timestamp
    for item in late:
        book.take(item)
    assert len(book) == 0 and not book.changed()
