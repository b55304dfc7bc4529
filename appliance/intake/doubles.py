"""Messages that came, by which one is recognised that comes again."""

from collections import OrderedDict

MAX_KNOWN = 10_000
"""Messages; what is older is forgotten."""


class Doubles:
    """The last messages by their names or digests, each with when it came last."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, float] = OrderedDict()

    def last(self, key: str, now: float) -> float | None:
        """When this came before, in the clock of ``now``; ``None``: it did not. Remembers it."""
        before = self._known.get(key)
        self._known[key] = now
        self._known.move_to_end(key)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return before

    def forget(self, key: str) -> None:
        """It was not taken after all."""
        self._known.pop(key, None)
