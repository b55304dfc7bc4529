"""What an operator asks of event handlers that run, and changes about them."""

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from msgspec import Struct

from appliance.config import is_secret
from appliance.core.bus import EventBus
from appliance.core.events import Event, EventType, Session, event, parse_mask
from appliance.core.handler_queries import HandlerQueries
from tests.clock import FakeClock


class Settings(Struct, frozen=True):
    events: str = "all"
    password: str = ""
    url: str = "http://a"


class Plain:
    Config: ClassVar[type[Struct]] = Settings
    name = "plain"

    def __init__(self) -> None:
        self.mask = EventType.ALL
        self.connected = True

    async def start(self) -> None: ...

    async def handle(self, batch: Sequence[Event]) -> None: ...

    async def stop(self) -> None: ...


class Choosy(Plain):
    name = "choosy"
    allowed: ClassVar[set[str]] = {"url"}

    def __init__(self) -> None:
        super().__init__()
        self.changed: dict[str, Any] = {}

    def tweak(self, changes: dict[str, Any]) -> None:
        if changes.keys() - self.allowed:
            raise ValueError(f"{', '.join(changes)}: only url changes")
        self.changed |= changes


def queries() -> tuple[HandlerQueries, Plain, Choosy, EventBus]:
    bus = EventBus(FakeClock())
    plain, choosy = Plain(), Choosy()
    known = HandlerQueries(bus, is_secret)
    for handler in (plain, choosy):
        bus.add(handler, depth=2)
        known.add(handler, Settings(password="hush"))
    return known, plain, choosy, bus


def ask(known: HandlerQueries, handler: str, **request: Any) -> Any:
    answer = known.serve("query_eventhandler", {"handler": handler, "request": request})
    return answer["response"]


def test_info() -> None:
    known, _, _, bus = queries()
    for number in range(3):
        bus.publish(event(Session(name="created"), emitter="t", timestamp=number, session_id=1))
    info = ask(known, "janus.eventhandler.plain", request="info")["info"]
    assert info["queue"] == {
        "length": 2,
        "capacity": 2,
        "bytes": 1200,
        "oldest_age_s": 0.0,
        "delivered": 0,
        "failed": 0,
        "dropped": {"sessions": 1},
    }
    assert (info["running"], info["connected"], info["events"][0]) == (True, True, "sessions")
    assert info["settings"] == {"events": "all", "password": "********", "url": "http://a"}
    assert known.serve("list_eventhandlers", {}) == {"handlers": ["plain", "choosy"]}


def test_a_mask_changes_while_the_handler_runs() -> None:
    known, plain, _, bus = queries()
    assert ask(known, "plain", request="tweak", events="webrtc, media") == {"result": 200}
    assert plain.mask == parse_mask("webrtc, media")
    bus.publish(event(Session(name="created"), emitter="t", timestamp=1, session_id=1))
    assert [len(each) for each in bus.subscriptions] == [0, 1]
    assert ask(known, "plain", request="tweak") == {"result": 200}


def test_a_handlers_own_settings() -> None:
    known, _, choosy, _ = queries()
    assert ask(known, "choosy", request="tweak", url="http://b") == {"result": 200}
    assert choosy.changed == {"url": "http://b"}
    answer = ask(known, "choosy", request="tweak", events="all")
    assert answer == {"error_code": 413, "error": "Invalid element (events: only url changes)"}


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        ({}, 412, "Missing mandatory element (request)"),
        ({"request": 5}, 413, "(request should be a string)"),
        ({"request": "bogus"}, 411, "Unknown request 'bogus'"),
        ({"request": "tweak", "url": "x"}, 413, "url: can't be changed while the handler runs; events can"),
        ({"request": "tweak", "events": 5}, 413, "events: wanted words"),
        ({"request": "tweak", "events": "all, nope"}, 413, "unknown event type 'nope'"),
    ],
)
def test_refusals(request_: dict[str, Any], code: int, text: str) -> None:
    known, plain, _, _ = queries()
    answer = ask(known, "plain", **request_)
    assert (answer["error_code"], text in answer["error"]) == (code, True), answer
    assert plain.mask == EventType.ALL


def test_what_is_no_question() -> None:
    known, *_ = queries()
    assert known.serve("query_eventhandler", {"handler": "nope", "request": {}}) == {}
    with pytest.raises(LookupError, match="no such request"):
        known.serve("destroy", {})
    with pytest.raises(ValueError, match="wanted a name and an object"):
        known.serve("query_eventhandler", {"handler": "plain"})
