"""Simulcast in a room: who is told that there is a choice, and what a subscriber gets of it."""

from typing import Any

import pytest

from appliance.core.peer import Layers, Medium
from tests.core.world import JsonObject
from tests.plugins.videoroom.people import ANSWER, MEDIA, Person, plugin_events
from tests.plugins.videoroom.test_subscriber import Show, answer, calls

SIMULCAST = (MEDIA[0], Medium(mid="1", mindex=1, kind="video", direction="recvonly", codec="vp8", simulcast=True))


@pytest.fixture(autouse=True)
def publishing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.core.fake_media.MEDIA", SIMULCAST)
    monkeypatch.setattr("tests.core.fake_media.ANSWER", ANSWER)


def wishes(who: Person) -> list[tuple[Any, ...]]:
    """Substream, temporal layer and fallback, as the engine was asked for the video line."""
    return [call[2:] for call in calls(who, "set_layers") if call[1] == "1"]


def simulcast(streams: list[JsonObject]) -> JsonObject:
    told: JsonObject = streams[1]["simulcast"]
    return told


def test_everyone_is_told_that_there_is_a_choice() -> None:
    show = Show()
    late = Person(show.ann.world)
    (publisher,) = late.join()["publishers"]
    assert [one.get("simulcast") for one in publisher["streams"]] == [None, True]
    (published,) = [data for _, data in plugin_events(show.ann.world) if data["event"] == "published"]
    assert [one.get("simulcast") for one in published["streams"]] == [None, True]
    none_yet = {"substream": -1, "substream-target": 2, "temporal-layer": -1, "temporal-layer-target": 2}
    assert simulcast(show.attached["streams"]) == none_yet
    assert wishes(show.sue) == [(2, 2, None)]


def test_a_stream_that_is_one_has_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.core.fake_media.MEDIA", MEDIA)
    assert "simulcast" not in Show().attached["streams"][1]


def test_a_subscriber_chooses_when_it_joins() -> None:
    show = Show()
    sue = Person(show.ann.world)
    item = {"feed": show.id, "substream": 0, "temporal": 1, "fallback": 100_000}
    attached = show.subscribe(sue, streams=[item])
    assert simulcast(attached["streams"]) == {
        "substream": -1, "substream-target": 0, "temporal-layer": -1, "temporal-layer-target": 1, "fallback": 100_000,
    }  # fmt: skip
    # Nothing flows before its answer, and nothing is chosen before.
    assert wishes(sue) == []
    answer(sue)
    assert wishes(sue) == [(0, 1, 100_000)]


def test_one_with_a_single_feed_of_old_chooses_too() -> None:
    show = Show()
    sue = Person(show.ann.world)
    show.subscribe(sue, feed=show.id, substream=1)
    answer(sue)
    assert wishes(sue) == [(1, 2, None)]


@pytest.mark.parametrize("body", [{"streams": [{"mid": "1", "substream": 0}]}, {"substream": 0}])
def test_a_change_of_mind_is_told_when_it_is_true(body: JsonObject) -> None:
    show = Show()
    calls(show.sue)
    show.sue.heard()
    assert show.sue.tell("configure", **body)["configured"] == "ok"
    assert wishes(show.sue) == [(0, 2, None)]
    assert show.sue.heard() == []
    assert show.sue.peer is not None
    told = show.sue.peer.layer_listener
    assert told is not None
    told("substream", 0)
    told("temporal", 1)
    head = {"videoroom": "event", "room": 1234, "mid": "1"}
    assert show.sue.heard() == [{**head, "substream": 0}, {**head, "temporal": 1}]


def test_what_is_there_already_is_told_at_once() -> None:
    show = Show()
    assert show.sue.peer is not None
    show.sue.peer.flowing["1"] = Layers(substream=1, substream_target=2, temporal=-1, temporal_target=2)
    show.sue.heard()
    show.sue.tell("configure", streams=[{"mid": "1", "substream": 1, "temporal": 0}])
    assert show.sue.heard() == [{"videoroom": "event", "room": 1234, "mid": "1", "substream": 1}]


def test_a_request_that_says_nothing_of_layers_leaves_them() -> None:
    show = Show()
    calls(show.sue)
    show.sue.tell("configure", streams=[{"mid": "1", "send": False}])
    assert wishes(show.sue) == []


def test_a_switch_chooses_anew() -> None:
    show = Show()
    _, bob = show.other()
    show.sue.tell("configure", streams=[{"mid": "1", "substream": 1, "temporal": 1}])
    calls(show.sue)
    item = {"feed": bob, "mid": "1", "sub_mid": "1"}
    switched = show.sue.tell("switch", streams=[{**item, "substream": 0}])
    assert simulcast(switched["streams"])["substream-target"] == 0
    assert wishes(show.sue) == [(0, 2, None)]


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("configure", {"streams": [{"mid": "1", "temporal": 3}]}),
        ("configure", {"temporal": 3}),
        ("switch", {"streams": [{"feed": 1, "mid": "1", "sub_mid": "1", "temporal": 3}]}),
        ("subscribe", {"streams": [{"feed": 1, "temporal": 3}]}),
    ],
)
def test_there_are_three_layers(verb: str, body: JsonObject) -> None:
    show = Show()
    calls(show.sue)
    told = show.sue.tell(verb, **body)
    assert (told["error_code"], told["error"]) == (430, "Invalid element (value for temporal should be 0, 1 or 2)")
    assert wishes(show.sue) == []


def test_nobody_is_told_of_layers_after_leaving() -> None:
    show = Show()
    assert show.sue.peer is not None
    told = show.sue.peer.layer_listener
    assert told is not None
    show.sue.tell("leave")
    show.sue.heard()
    told("substream", 1)
    assert show.sue.heard() == []
