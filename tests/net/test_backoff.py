import pytest

from appliance.net.backoff import Backoff


def test_doubles_up_to_the_limit_and_starts_again() -> None:
    backoff = Backoff(chance=lambda: 0.5)
    assert [backoff.next() for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    backoff.reset()
    assert backoff.next() == 1


def test_chance_moves_each_by_a_fifth_at_most() -> None:
    early, late = Backoff(chance=lambda: 0.0), Backoff(chance=lambda: 1.0)
    for base in (1, 2, 4, 8, 16):
        assert early.next() == pytest.approx(base * 0.8)
        assert late.next() == pytest.approx(min(30, base * 1.2))
    assert late.next() == 30
