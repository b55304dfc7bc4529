"""What many calls say together: whether the faults have a place, a browser, a server or an hour in common. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import exp, fsum, inf, lgamma

from msgspec import Struct

from appliance.core.archive import CallGroup

MIN_FAULTS = 3
"""Fewer are a coincidence."""
MIN_RATIO = 2.0
"""So many times more often than elsewhere."""
MAX_CHANCE = 0.01
"""How likely the same could have come by chance, at most."""

WORDS = {
    "network": "network {}",
    "browser": "{}",
    "pair": "calls over a {} pair",
    "protocol": "media over {}",
    "server": "server {}",
    "room": "room {}",
    "plugin": "plugin {}",
    "hour": "the hour from {}",
}
"""How a group of each dimension is called; verdicts themselves are no place."""


class Outlier(Struct, frozen=True, kw_only=True):
    """A group in which calls fail more often than elsewhere."""

    by: str
    key: str
    sentence: str
    calls: int
    faults: int
    chance: float
    """How likely so many of the faults would be here, were they spread evenly."""


def outliers(by: str, groups: Sequence[CallGroup]) -> list[Outlier]:
    """Those groups that stand out, the least likely first.

    The chance is the upper tail of the hypergeometric distribution (Fisher's exact test): drawing as many calls as the
    group has from all calls, how often would as many or more be faults.
    """
    calls, faults = sum(group.calls for group in groups), sum(group.faults for group in groups)
    found: list[Outlier] = []
    if by not in WORDS or len(groups) < 2:
        return found
    for group in groups:
        rest_calls, rest_faults = calls - group.calls, faults - group.faults
        if group.key is None or group.faults < MIN_FAULTS or not rest_calls:
            continue
        here, elsewhere = group.faults / group.calls, rest_faults / rest_calls
        chance = _tail(group.faults, group.calls, faults, calls)
        if here < MIN_RATIO * elsewhere or chance > MAX_CHANCE:
            continue
        where = _named(by, group.key)
        sentence = (
            f"{group.faults} of {faults} faults come from {where}: {group.faults} of its {group.calls} calls failed, "
            f"elsewhere {rest_faults} of {rest_calls}."
        )
        found.append(
            Outlier(by=by, key=group.key, sentence=sentence, calls=group.calls, faults=group.faults, chance=chance)
        )
    return sorted(found, key=lambda outlier: outlier.chance)


def _tail(hits: int, drawn: int, marked: int, total: int) -> float:
    """P(at least ``hits`` of ``drawn`` are marked), when ``marked`` of ``total`` are."""
    whole = _log_choose(total, drawn)
    terms = range(hits, min(drawn, marked) + 1)
    return min(1.0, fsum(exp(_log_choose(marked, k) + _log_choose(total - marked, drawn - k) - whole) for k in terms))


def _log_choose(n: int, k: int) -> float:
    """Logarithm of the binomial coefficient: exact ones of 20,000 calls take seconds. Nothing to choose from: -inf."""
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) if 0 <= k <= n else -inf


def _named(by: str, key: str) -> str:
    if by == "hour":
        key = datetime.fromtimestamp(int(key) / 1e6, UTC).strftime("%Y-%m-%d %H:00 UTC")
    if by == "protocol":
        key = key.upper()
    return WORDS[by].format(key)
