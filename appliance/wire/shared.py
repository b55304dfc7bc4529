"""Values that many descriptions have in common, each read once and kept once: less work, and less memory a call."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Shared(Generic[K, V]):
    """At most ``limit`` values by what they were read from; the oldest goes. They must not be changed."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def of(self, key: K, read: Callable[[], V]) -> V:
        """The value for ``key``, read only where it is not known. What ``read`` raises is passed on and not kept."""
        try:
            return self._known[key]
        except KeyError:
            value = self._known[key] = read()
        if len(self._known) > self._limit:
            self._known.popitem(last=False)
        return value
