"""Which message of a broker brought an event, until every handler that must not lose it has it.

A broker brings a message again when it can't know that it was handled: a collector was killed, or the line to it was.
A handler that keeps events notes with them the message and how many of its events it has, and leaves out those when
they come again, to whichever collector. The events of a gateway's whole life count as one message here: its number in
that is an event's place.
"""

import hashlib
from collections import deque
from typing import NamedTuple

MAX_EVENTS = 200_000
"""Of which it is known; there are never so many on their way."""


def digest(data: bytes) -> str:
    """What a message is known by that has no name of its own."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


class Origin(NamedTuple):
    """Of an event."""

    message: str
    """What its sender calls it, or a digest: the same when it comes again."""
    place: int
    """Of the event in the message, from 0."""


class Deliveries:
    """What is on its way through this process."""

    def __init__(self) -> None:
        self.asked = False
        """Whether a handler will ask."""
        self._origins: dict[int, Origin] = {}
        self._numbers: deque[int] = deque()
        """In order, as the numbers of events rise."""

    def __len__(self) -> int:
        return len(self._numbers)

    def note(self, number: int, origin: Origin) -> None:
        """The event of that number, just delivered, came from there."""
        self._origins[number] = origin
        self._numbers.append(number)
        if len(self._numbers) > MAX_EVENTS:
            self._origins.pop(self._numbers.popleft(), None)

    def of(self, number: int) -> Origin | None:
        """Where that event came from; ``None``: from a source that brings nothing again, or it was kept long ago."""
        return self._origins.get(number)

    def kept_until(self, number: int) -> None:
        """The events up to that one are kept by everybody."""
        while self._numbers and self._numbers[0] <= number:
            self._origins.pop(self._numbers.popleft(), None)
