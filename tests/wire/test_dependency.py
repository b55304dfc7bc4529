"""The dependency descriptor, as Chromium writes it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.wire import dependency
from appliance.wire.dependency import Dependency, Structure

DATA = Path(__file__).parents[1] / "data" / "av1"
L2T2 = ((0, 0), (0, 0), (0, 1), (1, 0), (1, 0), (1, 1))
"""The templates of two spatial and two temporal layers: each layer with a key picture and after."""


def read(data: bytes) -> Dependency | None:
    return dependency.read(b"before" + data + b"after", 6, 6 + len(data))


def test_frames_and_layers_are_those_of_the_mode() -> None:
    rows = [line.split() for line in (DATA / "L2T2.txt").read_text().splitlines()]
    structure = None
    frame, layers = 0, []
    for _, _, marker, _, text in rows:
        found = read(bytes.fromhex(text))
        assert found is not None
        if found.structure is not None:
            assert found.begins
            structure = found.structure
        frame += found.begins
        # One by one, from the first on.
        assert found.number == frame
        assert structure == Structure(0, L2T2)
        layers.append(structure.layers_of(found.template))
        if int(marker):
            assert found.ends
            assert layers[-1] in {(1, 0), (1, 1)}
    assert set(layers) == set(L2T2)


def test_templates_are_numbered_from_where_the_structure_says() -> None:
    structure = Structure(62, L2T2)
    assert [structure.layers_of(number) for number in (62, 63, 0, 3, 4, 61)] == [
        (0, 0), (0, 0), (0, 1), (1, 1), None, None,
    ]  # fmt: skip


@pytest.mark.parametrize("size", range(6))
def test_what_is_cut_short_is_none(size: int) -> None:
    whole = bytes.fromhex("c000018003187aaaf1")
    assert (read(whole[:size]) is None) is (size != 3)
    assert read(whole) is not None


def test_more_templates_than_numbers_is_none() -> None:
    assert read(bytes.fromhex("c00001800300") + bytes(40)) is None


@given(st.binary(max_size=80))
def test_anything_is_read_or_refused(data: bytes) -> None:
    found = read(data)
    assert found is None or found.structure is None or len(found.structure.layers) <= 64
