"""How far the events of one start of a gateway have come: taken, and kept where a crash does not lose them."""

import hashlib
from collections import deque

from appliance.core.deliveries import Origin

BLOCK = 2**24
"""Sequence numbers under one name: a database counts them in 32 bits."""
MAX_WAITING = 4096
"""Frames of one gateway of which it is known up to which event they are kept; beyond that, of several together."""


class Taken:
    """Of one gateway, from its start to its end, over any number of connections."""

    def __init__(self, server: str, boot: str) -> None:
        self.next = 0
        """The sequence number that is wanted next."""
        self.told = 0
        """Up to where the gateway was told that its events are taken."""
        self.kept = 0
        """Every event before this one is kept."""
        self._block, self._block_name = -1, ""
        self._name = hashlib.blake2b(f"{server}\n{boot}".encode("utf-8", "replace"), digest_size=16).hexdigest()
        self._waiting: deque[tuple[int, int]] = deque()
        """The number that the last event of a frame was given here, and the sequence number after it."""

    @property
    def waits(self) -> bool:
        """Some are not kept, or the gateway was not told that they are taken."""
        return bool(self._waiting) or self.told < self.next

    def origin(self, seq: int) -> Origin:
        """By which a store recognises an event that comes again, to this collector or another."""
        block, place = divmod(seq, BLOCK)
        if block != self._block:
            # One string for all of them.
            self._block, self._block_name = block, f"{self._name}.{block}"
        return Origin(self._block_name, place)

    def took(self, after: int, number: int) -> None:
        """A frame is handed on, whose last event has that number; the gateway's next one is ``after``."""
        self.next = after
        if len(self._waiting) >= MAX_WAITING or (self._waiting and self._waiting[-1][0] == number):
            self._waiting.pop()
        self._waiting.append((number, after))

    def is_kept_until(self, number: int) -> bool:
        """Everything up to that number is kept; whether that says something new."""
        before = self.kept
        while self._waiting and self._waiting[0][0] <= number:
            _, self.kept = self._waiting.popleft()
        return self.kept > before
