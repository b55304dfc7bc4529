"""Layers of AV1 left out, which the dependency descriptor tells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.wire import dependency
from tests.media.layered import DEPENDENCY_ID, Packet, Way, recorded
from tests.wire.test_dependency import L2T2


class Av1Way(Way):
    """The same, where the dependency descriptor tells the layers."""

    def __init__(self, spatial: int, temporal: int) -> None:
        super().__init__(spatial, temporal)
        self.source.medium = type("Medium", (), {"codec": "av1"})
        self.source.extensions[dependency.EXTENSION] = DEPENDENCY_ID


AV1 = recorded("L2T2", "av1")


def av1_layers(packet: Packet) -> tuple[int, int]:
    return L2T2[packet.dependency[0] & 0x3F]


@pytest.mark.parametrize("spatial", range(3))
@pytest.mark.parametrize("temporal", range(3))
def test_of_av1_too_what_is_wanted_passes_without_a_gap(spatial: int, temporal: int) -> None:
    sent = Av1Way(spatial, temporal).all(AV1)
    wanted = [one for one in AV1 if av1_layers(one) <= (spatial, 9) and av1_layers(one)[1] <= temporal]
    assert [one.packet for one in sent] == wanted
    assert [one.number for one in sent] == list(range(len(sent)))
    last = {one.timestamp: index for index, one in enumerate(wanted)}
    assert [index for index, one in enumerate(sent) if one.marker] == sorted(last.values())


@given(st.integers(0, 1), st.integers(0, 1), st.data())
def test_of_av1_too_what_is_late_finds_its_place(spatial: int, temporal: int, data: st.DataObject) -> None:
    late = data.draw(st.dictionaries(st.integers(1, len(AV1) - 1), st.integers(1, 20), max_size=25))
    order = sorted(range(len(AV1)), key=lambda index: (index + late.get(index, 0), index))
    sent = Av1Way(spatial, temporal).all([AV1[index] for index in order])
    in_place = sorted(sent, key=lambda one: one.number)
    assert [one.number for one in in_place] == list(range(len(sent)))
    assert [one.packet.sequence for one in in_place] == sorted(one.packet.sequence for one in sent)
    full = [one.packet for one in in_place if not one.empty]
    assert full == [one for one in AV1 if av1_layers(one)[0] <= spatial and av1_layers(one)[1] <= temporal]


def test_without_its_descriptor_av1_has_no_layers_to_choose_from() -> None:
    way = Av1Way(0, 0)
    way.source.extensions.clear()
    assert len(way.all(AV1)) == len(AV1)
    assert way.told == []


def test_frames_of_another_source_join_on_to_those_before() -> None:
    # A receiver drops a key frame whose number is lower than the last one's.
    first, second = AV1[:60], AV1[:30]
    way = Av1Way(0, 1)
    way.all(first)
    way.source.add_stream()
    way.all(second)
    frames = [one.frame for one in way.sent]
    passed = [[one for one in packets if av1_layers(one)[0] == 0] for packets in (first, second)]
    own = [[int.from_bytes(one.dependency[1:3], "big") for one in packets] for packets in passed]
    assert frames == [*own[0], *(own[0][-1] + number for number in own[1])]
