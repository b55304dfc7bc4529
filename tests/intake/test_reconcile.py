"""What is made of a server's lists, case by case: what the events said, and what each poll was told."""

from collections.abc import Callable

import pytest

from appliance.core.events import UNTOLD, Connection, MediaState
from appliance.intake.reconcile import Difference, Ends, Lists, Reconciler
from tests.intake.asked import NAME, World

Said = dict[int, set[int] | None]
"""Handles by session; ``None``: that session was not asked for them."""


class Case:
    def __init__(self) -> None:
        self.world = World()
        self.reconciler = Reconciler(self.world.server)
        self.ends = Ends(NAME, self.world.server)
        self.world.session(1)
        self.world.handle(1, 10)
        self.world.offer(1, 10)
        self.world.session(2)
        self.world.handle(2, 20)
        self.last = Difference()

    def poll(self, said: Said, during: Callable[[World], None] = lambda world: None) -> "Case":
        """``during``: events that come while the lists are asked for."""
        self.world.clock.advance(30)
        began, wall_us = self.world.clock.monotonic(), self.world.clock.wall_us()
        self.world.clock.advance(0.5)
        during(self.world)
        lists = Lists(
            began=began,
            wall_us=wall_us,
            sessions=frozenset(said),
            handles={number: frozenset(listed) for number, listed in said.items() if listed is not None},
        )
        self.last = self.reconciler.compare(lists)
        for item in self.ends.of(self.last):
            self.world.deliver(item)
        return self

    def hear(self, action: Callable[[World], None]) -> "Case":
        action(self.world)
        return self


Words = list[tuple[str, int | None, int | None]]
ALL: Said = {1: {10}, 2: {20}}
ENDED_1: Words = [("hangup", 1, 10), ("detached", 1, 10), ("destroyed", 1, None)]
DETACHED_1: Words = [("detached", 1, 10)]
ENDS: list[tuple[str, Callable[[], Case], Words]] = [
    ("as told", lambda: Case().poll(ALL).poll(ALL), []),
    ("missing once", lambda: Case().poll({2: {20}}), []),
    ("missing once and back", lambda: Case().poll({2: {20}}).poll(ALL).poll({2: {20}}), []),
    ("missing twice", lambda: Case().poll({2: {20}}).poll({2: {20}}), ENDED_1),
    ("told once only", lambda: Case().poll({2: {20}}).poll({2: {20}}).poll({2: {20}}).poll({2: {20}}), ENDED_1),
    ("a handle", lambda: Case().poll({1: {10}, 2: set()}).poll({1: {10}, 2: set()}), [("detached", 2, 20)]),
    (
        "not asked between",
        lambda: Case().poll({1: {10}, 2: set()}).poll({1: {10}, 2: None}).poll({1: {10}, 2: set()}),
        [("detached", 2, 20)],
    ),
    ("never asked", lambda: Case().poll({1: None, 2: None}).poll({1: None, 2: None}), []),
    ("its session goes between", lambda: Case().poll({1: set(), 2: {20}}).poll({2: {20}}), []),
    ("everything", lambda: Case().poll({}).poll({}), [*ENDED_1, ("detached", 2, 20), ("destroyed", 2, None)]),
    (
        "an event is newer than the list",
        lambda: (
            Case()
            .poll({2: {20}})
            .poll({2: {20}}, lambda world: world.hear(MediaState(media="audio", receiving=True), 1, 10))
        ),
        [],
    ),
    (
        "its end is told meanwhile",
        lambda: Case().poll({2: {20}}).poll({2: {20}}, lambda world: world.end(1, 10)),
        [],
    ),
    (
        "a handle of a session whose end was told",
        lambda: Case().hear(lambda world: world.session(1, "destroyed")).poll({2: {20}}).poll({2: {20}}),
        DETACHED_1,
    ),
    (
        "begun after the list",
        lambda: Case().poll(ALL, lambda world: world.session(3)).poll(ALL | {3: set()}),
        [],
    ),
    (
        "hung up before",
        lambda: (
            Case()
            .hear(lambda world: world.hear(Connection(connection="hangup", reason="x"), 1, 10))
            .poll({2: {20}})
            .poll({2: {20}})
        ),
        ENDED_1[1:],
    ),
]


@pytest.mark.parametrize(("name", "story", "wanted"), ENDS, ids=[case[0] for case in ENDS])
def test_ends(name: str, story: Callable[[], Case], wanted: Words) -> None:
    case = story()
    assert case.world.words() == wanted
    assert all(item.inferred and not item.replayed and item.emitter == NAME for item in case.world.told)
    assert not (case.last.new_sessions or case.last.new_handles)


def test_an_end_has_the_time_at_which_it_was_listed_last() -> None:
    case = Case().poll(ALL)
    listed_us = case.world.clock.wall_us() - 500_000
    case.poll({2: {20}}).poll({2: {20}})
    assert {item.timestamp for item in case.world.told} == {listed_us}
    assert [item.event.reason for item in case.world.told if isinstance(item.event, Connection)] == [UNTOLD]


def test_or_at_which_it_was_last_heard_of() -> None:
    case = Case().poll(ALL)
    case.world.clock.advance(20)
    case.hear(lambda world: world.hear(MediaState(media="audio", receiving=True), 1, 10))
    heard_us = case.world.clock.wall_us()
    case.poll({2: {20}}).poll({2: {20}})
    assert {item.timestamp for item in case.world.told} == {heard_us}


NEW: list[tuple[str, Callable[[], Case], set[int], set[tuple[int, int]]]] = [
    ("once", lambda: Case().poll(ALL | {3: {30}}), set(), set()),
    ("twice", lambda: Case().poll(ALL | {3: {30}}).poll(ALL | {3: {30}}), {3}, {(3, 30)}),
    ("a handle", lambda: Case().poll({1: {10, 11}, 2: {20}}).poll({1: {10, 11}, 2: {20}}), set(), {(1, 11)}),
    ("not asked", lambda: Case().poll(ALL | {3: None}).poll(ALL | {3: {30}}), {3}, set()),
    (
        "told meanwhile",
        lambda: Case().poll(ALL | {3: set()}).poll(ALL | {3: set()}, lambda w: w.session(3)),
        set(),
        set(),
    ),
    (
        "ended meanwhile",
        lambda: Case().poll(ALL | {3: set()}).poll(ALL | {3: set()}, lambda w: w.session(3, "destroyed")),
        set(),
        set(),
    ),
    (
        "known by other events alone",
        lambda: (
            Case()
            .hear(lambda w: w.hear(MediaState(media="audio", receiving=True), 3, 30))
            .poll(ALL | {3: {30}})
            .poll(ALL | {3: {30}})
        ),
        {3},
        {(3, 30)},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "story", "sessions", "handles"), NEW, ids=[case[0] for case in NEW])
def test_beginnings(name: str, story: Callable[[], Case], sessions: set[int], handles: set[tuple[int, int]]) -> None:
    last = story().last
    assert (set(last.new_sessions), set(last.new_handles)) == (sessions, handles)
    assert not (last.gone_sessions or last.gone_handles)


@pytest.mark.parametrize(
    ("said", "off"),
    [
        (ALL, {"sessions": 0, "handles": 0}),
        ({2: {20}}, {"sessions": 1, "handles": 1}),
        ({1: {10}, 2: {21}, 3: {30, 31}}, {"sessions": 1, "handles": 4}),
    ],
)
def test_how_far_a_poll_is_off(said: Said, off: dict[str, int]) -> None:
    assert Case().poll(said).last.off == off


def test_a_peer_connection_is_gone_once_two_polls_find_none() -> None:
    case = Case()

    def look(*, has_peer: bool) -> bool:
        case.world.clock.advance(30)
        return case.reconciler.has_hung_up((1, 10), has_peer=has_peer, began=case.world.clock.monotonic())

    assert [look(has_peer=each) for each in (False, True, False)] == [False, False, False]
    assert look(has_peer=False)
    for item in case.ends.of_peer((1, 10)):
        case.world.deliver(item)
    assert case.world.words() == [("hangup", 1, 10)]
    assert not look(has_peer=False)
    assert not case.reconciler.has_hung_up((9, 9), has_peer=False, began=0.0)
