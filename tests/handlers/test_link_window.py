"""What a gateway keeps of what it has sent."""

import pytest

from appliance.handlers.link_window import LinkWindow


def filled(count: int, **bounds: int) -> LinkWindow:
    window = LinkWindow(**bounds)
    for number in range(count):
        window.sent(number, b"12345")
    return window


def test_what_is_kept_is_gone_and_what_is_taken_is_not() -> None:
    window = filled(10)
    assert (window.first, window.in_flight, window.in_flight_bytes) == (0, 10, 50)
    window.acknowledge(taken=6, kept=4)
    assert (window.first, window.unkept, window.in_flight, window.in_flight_bytes) == (4, 2, 4, 20)
    window.acknowledge(taken=6, kept=6)
    assert (window.first, window.unkept, window.in_flight, window.is_empty) == (6, 0, 4, False)
    window.acknowledge(taken=10, kept=10)
    assert window.is_empty and window.first is None


@pytest.mark.parametrize(
    ("wanted", "again"), [(None, [2, 3, 4, 5, 6, 7]), (5, [5, 6, 7]), (8, []), (100, []), (0, [2, 3, 4, 5, 6, 7])]
)
def test_a_new_connection_is_sent_what_its_collector_wants(wanted: int | None, again: list[int]) -> None:
    window = filled(8)
    window.acknowledge(taken=4, kept=2)
    window.rewind(wanted)
    assert (window.in_flight, window.in_flight_bytes, window.to_send) == (0, 0, len(again))
    assert [number for number, _ in (*window.send_again(4), *window.send_again(4))] == again
    assert (window.in_flight, window.unkept, window.first) == (len(again), 6 - len(again), 2)
    # And once more, before that connection has acknowledged anything.
    window.rewind(None)
    assert [number for number, _ in window.send_again(100)] == [2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("bounds", [{"max_events": 3}, {"max_bytes": 17}])
def test_it_is_bounded_where_nothing_is_kept(bounds: dict[str, int]) -> None:
    window = filled(10, **bounds)
    window.acknowledge(taken=2, kept=0)
    assert (window.first, window.forgotten) == (0, 0)
    window.acknowledge(taken=9, kept=0)
    assert (window.first, window.unkept, window.forgotten) == (6, 3, 6)
    window.acknowledge(taken=9, kept=5)
    assert window.unkept == 3
