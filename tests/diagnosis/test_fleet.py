"""When many calls say together what none says alone."""

from itertools import combinations

import pytest

from appliance.core.archive import CallGroup
from appliance.diagnosis.fleet import outliers


def group(key: str | None, calls: int, faults: int) -> CallGroup:
    return CallGroup(key=key, calls=calls, faults=faults, codes={})


def test_an_office_that_always_fails_stands_out() -> None:
    (found,) = outliers("network", [group("203.0.113.0/24", 9, 9), group("198.51.100.0/24", 140, 2)])
    assert found.key == "203.0.113.0/24"
    assert found.sentence == (
        "9 of 11 faults come from network 203.0.113.0/24: 9 of its 9 calls failed, elsewhere 2 of 140."
    )


@pytest.mark.parametrize(("here", "rest"), [((3, 3), (7, 0)), ((8, 7), (7, 1)), ((5, 4), (13, 1))])
def test_the_chance_is_that_of_drawing_the_group_from_all_calls(here: tuple[int, int], rest: tuple[int, int]) -> None:
    (found,) = outliers("browser", [group("Firefox", *here), group("Chrome", *rest)])
    marked, total = here[1] + rest[1], here[0] + rest[0]
    draws = [sum(call < marked for call in drawn) for drawn in combinations(range(total), here[0])]
    assert found.chance == pytest.approx(sum(hits >= here[1] for hits in draws) / len(draws))


@pytest.mark.parametrize(
    "groups",
    [
        [],
        [group("only", 50, 50)],
        [group("a", 10, 2), group("b", 100, 0)],
        [group("a", 10, 5), group("b", 100, 45)],
        [group(None, 10, 10), group("b", 100, 0)],
        [group("a", 4, 3), group("b", 8, 3)],
    ],
    ids=["nothing", "nothing to compare with", "too few", "everywhere", "nobody knows where", "by chance"],
)
def test_what_does_not_stand_out(groups: list[CallGroup]) -> None:
    assert outliers("network", groups) == []


def test_verdicts_are_no_place() -> None:
    assert outliers("code", [group("udp_blocked", 9, 9), group("healthy", 100, 0)]) == []


def test_an_hour_is_named() -> None:
    (found,) = outliers("hour", [group("1700000000000000", 9, 9), group("1700003600000000", 140, 2)])
    assert "the hour from 2023-11-14 22:00 UTC" in found.sentence


def test_a_transport_is_named() -> None:
    (found,) = outliers("protocol", [group("tcp", 9, 9), group("udp", 140, 2)])
    assert found.sentence.startswith("9 of 11 faults come from media over TCP: 9 of its 9 calls failed")


def test_many_calls_are_no_burden() -> None:
    (found,) = outliers("server", [group("a", 5_000_000, 300_000), group("b", 15_000_000, 400_000)])
    assert found.chance < 1e-9
