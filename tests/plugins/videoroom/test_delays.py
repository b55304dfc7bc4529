"""Playout delays in a room: a publisher's wish for its stream, and a subscriber's own, which goes before."""

from typing import Any

import pytest

from tests.core.world import JsonObject
from tests.plugins.videoroom.people import Person
from tests.plugins.videoroom.test_subscriber import Show, answer, calls

pytestmark = pytest.mark.usefixtures("publishing")


def delays(who: Person) -> list[tuple[Any, ...]]:
    """Mid and milliseconds, as the engine was asked."""
    return [call[1:] for call in calls(who, "set_playout_delay")]


def wish(least: int, most: int, mid: str = "1") -> JsonObject:
    return {"streams": [{"mid": mid, "min_delay": least, "max_delay": most}]}


def test_nobody_is_told_to_wait_unasked() -> None:
    assert delays(Show().sue) == []


def test_a_publishers_delay_reaches_who_watches_and_who_comes_later() -> None:
    show = Show()
    assert show.ann.tell("configure", **wish(10, 20))["configured"] == "ok"
    assert delays(show.sue) == [("1", (100, 200))]
    late = Person(show.ann.world)
    attached = show.subscribe(late, feed=show.id)
    assert attached["streams"][1]["playout-delay"] == {"min-delay": 10, "max-delay": 20}
    assert "playout-delay" not in attached["streams"][0]
    answer(late)
    assert delays(late) == [("1", (100, 200))]


def test_a_subscribers_own_delay_goes_before() -> None:
    show = Show()
    assert show.sue.tell("configure", **wish(0, 40))["configured"] == "ok"
    show.ann.tell("configure", **wish(10, 20))
    assert delays(show.sue) == [("1", (0, 400))]
    show.sue.tell("configure", **wish(-1, 40))
    assert delays(show.sue) == [("1", (100, 200))]


@pytest.mark.parametrize("one", [{"min_delay": 3}, {"max_delay": 3}])
def test_one_end_alone_is_no_delay(one: JsonObject) -> None:
    show = Show()
    show.sue.tell("configure", streams=[{"mid": "1", **one}])
    assert delays(show.sue) == []
