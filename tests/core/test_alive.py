"""Who is alive by the events."""

import pytest

from appliance.core import alive
from appliance.core.events import Connection, Core, MediaState, Shutdown
from tests.intake.asked import World


@pytest.fixture
def world() -> World:
    found = World()
    found.session(1)
    found.handle(1, 10)
    return found


def test_handles_of_a_session_that_ended_are_told_one_by_one(world: World) -> None:
    world.handle(1, 11)
    assert list(world.server.sessions[1].handles) == [10, 11] and world.server.handles == 2
    world.handle(1, 11, "detached")
    world.session(1, "timeout")
    assert world.server.sessions[1].over and world.server.has_ended(1)
    world.hear(MediaState(media="audio", receiving=True), 1, 12)
    world.handle(1, 11, "detached")
    assert world.server.handles == 1
    world.handle(1, 10, "detached")
    assert not world.server.sessions and world.server.handles == 0


def test_a_number_that_is_used_again_is_another_session(world: World) -> None:
    world.session(1, "destroyed")
    world.session(1)
    assert not world.server.sessions[1].over and not world.server.sessions[1].handles and world.server.handles == 0


@pytest.mark.parametrize("body", [Core(status="started"), Shutdown()])
def test_a_server_that_starts_or_stops_has_nothing(world: World, body: Core | Shutdown) -> None:
    world.hear(body)
    assert not world.server.sessions and world.server.handles == 0


def test_late_events_bring_nothing_back(world: World) -> None:
    world.handle(1, 10, "detached")
    world.hear(MediaState(media="audio", receiving=True), 1, 10)
    assert not world.server.sessions[1].handles and world.server.has_ended(1, 10)
    world.session(1, "destroyed")
    world.handle(1, 12)
    assert not world.server.sessions and world.server.has_ended(1, 12)
    world.session(1)
    assert 1 in world.server.sessions and not world.server.has_ended(1)


def test_other_events_make_known_what_was_never_told(world: World) -> None:
    world.hear(MediaState(media="audio", receiving=True), 2, 20)
    found = world.server.sessions[2]
    assert not found.told and not found.handles[20].told and found.handles[20].peer_since is not None
    world.hear(Core(status="started"), emitter="another")
    assert 2 in world.server.sessions


def test_statistics_after_a_hangup_are_no_peer_connection(world: World) -> None:
    def has_peer() -> bool:
        return world.server.sessions[1].handles[10].peer_since is not None

    assert not has_peer()
    world.offer(1, 10)
    assert has_peer()
    world.hear(Connection(connection="hangup", reason="x"), 1, 10)
    world.hear(MediaState(media="audio", receiving=False), 1, 10)
    assert not has_peer()
    world.offer(1, 10)
    assert has_peer()


def test_it_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alive, "MAX_SESSIONS", 2)
    monkeypatch.setattr(alive, "MAX_HANDLES", 2)
    monkeypatch.setattr(alive, "REMEMBERED", 1)
    for number in (2, 3):
        world.session(number)
        world.handle(1, 10 + number)
    assert len(world.server.sessions) == 2 and world.server.handles == 2 and world.server.refused == 2
    assert world.server.is_full
    for number in (1, 2):
        world.handle(number, 10, "detached")
        world.handle(number, 12, "detached")
        world.session(number, "destroyed")
    assert not world.server.has_ended(1) and world.server.has_ended(2)
