"""Playout delays in EchoTest."""

from tests.core.world import World
from tests.plugins.test_echotest import ask


def test_a_delay_is_for_everything_that_comes_back() -> None:
    world = World()
    ids = world.call()
    world.told()
    world.media.peer.calls.clear()
    for body, delay in (
        ({"min_delay": 20, "max_delay": 50}, (200, 500)),
        ({"max_delay": 60}, (200, 600)),
        ({"min_delay": -1}, None),
    ):
        assert ask(world, ids, body)["result"] == "ok"
        told = [call for call in world.media.peer.calls if call[0] == "set_playout_delay"]
        assert told == [("set_playout_delay", "0", delay), ("set_playout_delay", "1", delay)]
        world.media.peer.calls.clear()
