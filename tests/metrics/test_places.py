"""Who is shown when more servers speak, or pretend to exist, than there are places."""

from appliance.core import events as ev
from appliance.core.events import Event, event
from appliance.metrics.exporter import Exporter
from appliance.metrics.labels import SERVER
from appliance.metrics.places import IDLE_S, PROVEN_EVENTS, UNPROVEN_IDLE_S
from tests.clock import FakeClock
from tests.metrics.traces import Scrape, exporter

PLACES = SERVER.cap


def said(server: str) -> Event:
    return event(ev.Core(status="update"), emitter=server, timestamp=1, session_id=None)


def speak(target: Exporter, server: str, times: int = 1) -> None:
    for _ in range(times):
        target.take(said(server))


def shown(target: Exporter) -> set[str]:
    return {value for _, labels in Scrape(target).values for name, value in labels if name == "server"}


def own(target: Exporter, name: str) -> float:
    return Scrape(target).values[f"appliance_{name}", frozenset()]


def test_invented_servers_do_not_keep_their_places() -> None:
    clock = FakeClock()
    target = exporter(clock)
    for number in range(PLACES + 36):
        speak(target, f"junk-{number}")
    speak(target, "real")
    assert "real" not in shown(target)
    assert own(target, "server_places_refused_total") == 37
    before = target.bounded.series
    clock.advance(UNPROVEN_IDLE_S + 1)
    speak(target, "real")
    assert "real" in shown(target)
    assert own(target, "server_places_taken_total") == 1
    assert target.bounded.series == before
    assert Scrape(target)("events_total", server="real", type="core") == 1


def test_the_longest_silence_goes_first() -> None:
    clock = FakeClock()
    target = exporter(clock)
    for number in range(PLACES):
        speak(target, f"server-{number}")
    clock.advance(UNPROVEN_IDLE_S)
    for number in range(PLACES):
        if number != 7:
            speak(target, f"server-{number}")
    clock.advance(1)
    speak(target, "late")
    assert "late" in shown(target)
    assert "server-7" not in shown(target)


def test_a_server_that_has_proven_itself_is_waited_for_longer() -> None:
    clock = FakeClock()
    target = exporter(clock)
    for number in range(PLACES):
        speak(target, f"server-{number}", PROVEN_EVENTS)
    clock.advance(IDLE_S)
    speak(target, "late")
    assert "late" not in shown(target)
    clock.advance(1)
    speak(target, "late")
    assert "late" in shown(target)


def test_who_speaks_is_never_driven_out() -> None:
    clock = FakeClock()
    target = exporter(clock)
    for number in range(PLACES):
        speak(target, f"server-{number}")
    for number in range(1_000):
        clock.advance(2)
        for server in range(PLACES):
            speak(target, f"server-{server}")
        speak(target, f"junk-{number}")
    assert {f"server-{number}" for number in range(PLACES)} <= shown(target)
    assert own(target, "server_places_taken_total") == 0


def test_one_that_comes_back_begins_anew() -> None:
    clock = FakeClock()
    target = exporter(clock)
    for number in range(PLACES):
        speak(target, f"server-{number}", 3)
    clock.advance(UNPROVEN_IDLE_S + 1)
    speak(target, "late")
    gone = next(name for name in (f"server-{number}" for number in range(PLACES)) if name not in shown(target))
    clock.advance(2)
    speak(target, gone)
    assert Scrape(target)("events_total", server=gone, type="core") == 1
