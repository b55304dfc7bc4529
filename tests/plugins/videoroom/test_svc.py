"""SVC in a room: who is told that there are layers, and what a subscriber gets of them."""

from typing import Any

import pytest

from appliance.core.peer import Layers, Medium
from tests.core.world import JsonObject
from tests.plugins.videoroom.people import ANSWER, MEDIA, Person, plugin_events
from tests.plugins.videoroom.test_subscriber import Show, answer, calls

SVC = (MEDIA[0], Medium(mid="1", mindex=1, kind="video", direction="recvonly", codec="vp9", svc=True))
SIMULCAST = (MEDIA[0], Medium(mid="1", mindex=1, kind="video", direction="recvonly", codec="vp8", simulcast=True))


@pytest.fixture(autouse=True)
def publishing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.core.fake_media.MEDIA", SVC)
    monkeypatch.setattr("tests.core.fake_media.ANSWER", ANSWER)


def wishes(who: Person) -> list[tuple[Any, ...]]:
    """Substream, temporal layer, spatial layer where one was asked for, fallback."""
    return [call[2:] for call in calls(who, "set_layers") if call[1] == "1"]


def test_everyone_is_told_that_there_are_layers() -> None:
    show = Show()
    late = Person(show.ann.world)
    (publisher,) = late.join()["publishers"]
    assert [one.get("svc") for one in publisher["streams"]] == [None, True]
    (published,) = [data for _, data in plugin_events(show.ann.world) if data["event"] == "published"]
    assert [one.get("svc") for one in published["streams"]] == [None, True]
    assert show.attached["streams"][1]["svc"] == {
        "spatial-layer": -1, "target-spatial-layer": 2, "temporal-layer": -1, "target-temporal-layer": 2,
    }  # fmt: skip
    assert "simulcast" not in show.attached["streams"][1]
    assert wishes(show.sue) == [(2, 2, 2, None)]


def test_a_subscriber_chooses_when_it_joins_and_is_told_what_it_gets() -> None:
    show = Show()
    sue = Person(show.ann.world)
    attached = show.subscribe(sue, streams=[{"feed": show.id, "spatial_layer": 0, "temporal_layer": 1}])
    assert attached["streams"][1]["svc"]["target-spatial-layer"] == 0
    answer(sue)
    assert wishes(sue) == [(2, 1, 0, None)]
    assert sue.peer is not None
    told = sue.peer.layer_listener
    assert told is not None
    sue.heard()
    told("spatial", 0)
    told("temporal", 1)
    head = {"videoroom": "event", "room": 1234, "mid": "1"}
    assert sue.heard() == [{**head, "spatial_layer": 0}, {**head, "temporal_layer": 1}]


@pytest.mark.parametrize("body", [{"streams": [{"mid": "1", "spatial_layer": 1}]}, {"spatial_layer": 1}])
def test_a_change_of_mind(body: JsonObject) -> None:
    show = Show()
    calls(show.sue)
    show.sue.heard()
    assert show.sue.peer is not None
    flows = Layers(substream=-1, substream_target=2, temporal=2, temporal_target=2, spatial=1, spatial_target=2)
    show.sue.peer.flowing["1"] = flows
    assert show.sue.tell("configure", **body)["configured"] == "ok"
    assert wishes(show.sue) == [(2, 2, 1, None)]
    # It is there already.
    assert show.sue.heard() == [{"videoroom": "event", "room": 1234, "mid": "1", "spatial_layer": 1}]


def test_simulcast_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.core.fake_media.MEDIA", SIMULCAST)
    show = Show()
    calls(show.sue)
    show.sue.tell("configure", spatial_layer=0)
    assert wishes(show.sue) == [(2, 2, None)]
    assert "svc" not in show.attached["streams"][1]
