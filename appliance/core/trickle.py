"""Trickle, both ways: the client's candidates, and ours on their own instead of in the description (RFC 8838)."""

from collections import deque
from collections.abc import Iterable, Iterator

from appliance.core.context import Context
from appliance.core.events import SessionDescription
from appliance.core.messages import read_candidate
from appliance.core.peer import PeerConnection


def take_candidates(description: SessionDescription) -> tuple[SessionDescription, list[str]]:
    """The description without candidates, and these, each once however many m-lines repeat it."""
    kept: list[str] = []
    candidates: dict[str, None] = {}
    for line in description.sdp.split("\n"):
        value = line.rstrip("\r")
        if value.startswith("a=candidate:"):
            candidates[value.removeprefix("a=")] = None
        elif value != "a=end-of-candidates":
            kept.append(line)
    return SessionDescription(description.type, "\n".join(kept)), list(candidates)


class EarlyCandidates:
    """Candidates that came before the description that they belong to: so many at most, and none that is too old."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._waiting: deque[tuple[float, object]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def keep(self, candidates: Iterable[object]) -> None:
        """Keep them as they came, or count that there were too many."""
        now = self._context.clock.monotonic()
        for item in candidates:
            if len(self._waiting) >= self._context.config.max_early_candidates:
                self._context.limited["early_candidates"] += 1
                return
            self._waiting.append((now, item))

    def take(self) -> Iterator[object]:
        """Those that are not too old; none is kept any longer."""
        oldest = self._context.clock.monotonic() - self._context.config.candidates_timeout_s
        while self._waiting:
            since, item = self._waiting.popleft()
            if since < oldest:
                self._context.limited["candidates_timeout"] += 1
            else:
                yield item

    def clear(self) -> None:
        """The description will not come."""
        self._waiting.clear()


def add_candidate(peer: PeerConnection, item: object) -> None:
    """Give the PeerConnection a candidate of the client's, or their end. :raises JanusError: it is none."""
    candidate = read_candidate(item)
    if candidate is None:
        peer.end_of_candidates()
        return
    # Everything is bundled: only what is for the m-line that carries the bundle counts (RFC 9143 section 7).
    tagged = next((medium for medium in peer.media if not medium.rejected), None)
    mindex = 0 if tagged is None else tagged.mindex
    if candidate.mindex is not None and candidate.mindex != mindex:
        return
    if candidate.mid is not None and tagged is not None and candidate.mid != tagged.mid:
        return
    peer.add_remote_candidate(candidate.candidate)
