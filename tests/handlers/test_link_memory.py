"""What a gateway tells a new collector: checked against recorded calls."""

from appliance.core.events import (
    Connection,
    Core,
    Event,
    Handle,
    Jsep,
    MediaStats,
    RemoteCandidate,
    Session,
    SessionDescription,
    Transport,
    event,
)
from appliance.handlers.link_memory import LINGER_SECONDS, MAX_EVENTS, LinkMemory
from tests.clock import FakeClock
from tests.handlers.harness import recorded


class Told:
    """A memory, and which events it would tell."""

    def __init__(self, max_bytes: int = 2**25) -> None:
        self.clock = FakeClock()
        self.memory = LinkMemory(self.clock, max_bytes=max_bytes)
        self._items: list[Event] = []

    def keep(self, *items: Event) -> None:
        for item in items:
            self.memory.keep(len(self._items), item, b"%08d" % len(self._items))
            self._items.append(item)

    def recall(self, before: int = 2**60) -> list[Event]:
        return [self._items[int(data)] for data in self.memory.recall(before)]


def test_a_call_is_told_whole_without_its_statistics() -> None:
    told = Told()
    items = list(recorded("janus-1.4/chrome_echo_http.jsonl"))
    until_up = next(i for i, item in enumerate(items) if isinstance(item.event, MediaStats)) + 5
    told.keep(*items[:until_up])
    again = told.recall()
    created = next(item for item in items if isinstance(item.event, Session))
    expected = [
        item
        for item in items[:until_up]
        if (item.handle_id is not None and not isinstance(item.event, MediaStats))
        or isinstance(item.event, Session | Core)
        or (isinstance(item.event, Transport) and item.event.id == created.event.transport.id)
    ]
    # The server tells its counts again every 15 s; only its start is needed.
    assert again == [item for item in expected if not (isinstance(item.event, Core) and item.event.status == "update")]


def test_what_has_ended_is_told_for_a_while_and_then_no_more() -> None:
    told = Told()
    told.keep(*recorded("janus-1.4/aiortc_echo.jsonl"))
    assert any(isinstance(item.event, Connection) and item.event.connection == "hangup" for item in told.recall())
    told.clock.advance(LINGER_SECONDS + 1)
    told.keep(event(Core(status="update"), emitter="gw", timestamp=1))
    assert [type(item.event) for item in told.recall()] == [Core]
    assert told.memory.bytes == 0


def a(body: object, handle: int = 2) -> Event:
    return event(body, emitter="gw", timestamp=1, session_id=1, handle_id=handle)  # type: ignore[arg-type]  # a body


OFFER = a(Jsep(owner="remote", jsep=SessionDescription("offer", "v=0")))
HANGUP = a(Connection(connection="hangup"))


def test_a_handle_that_has_its_second_call_is_told_without_the_first() -> None:
    told = Told()
    attached = a(Handle(name="attached", plugin="p"))
    told.keep(attached, OFFER, HANGUP)
    assert told.recall() == [attached, OFFER, HANGUP]
    told.keep(OFFER)
    assert told.recall() == [attached, OFFER]


def test_only_what_was_sent_before_is_told() -> None:
    told = Told()
    told.keep(OFFER, HANGUP)
    assert told.recall(before=1) == [OFFER]


def test_memory_is_bounded_by_call_and_altogether() -> None:
    told = Told(max_bytes=8 * 1000)
    for n in range(MAX_EVENTS + 50):
        told.keep(a(RemoteCandidate(candidate=str(n))))
    assert len(told.recall()) == MAX_EVENTS
    for n in range(1000):
        told.keep(a(RemoteCandidate(candidate="x"), handle=100 + n))
    assert told.memory.bytes <= 8 * 1000
    assert told.memory.forgotten == 1, "the handle that was quiet longest"
    assert {item.handle_id for item in told.recall()} == set(range(100, 1100))


def test_addresses_of_requests_that_made_no_session_are_bounded() -> None:
    told = Told()
    for n in range(10_000):
        told.keep(event(Transport(transport="http", id=str(n), data={"ip": "::1"}), emitter="gw", timestamp=1))
    assert told.recall() == []
    assert len(told.memory._addresses) == 512
