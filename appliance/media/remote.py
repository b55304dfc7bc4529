"""The peer's candidates as it tells them, bounded and counted."""

from collections.abc import Callable

from appliance.core.events import Body, EndOfCandidates, RemoteCandidate
from appliance.media.config import MAX_CANDIDATES
from appliance.media.pair import Pair
from appliance.wire.candidate import Candidate, CandidateDecodeError


class RemoteCandidates:
    """What was told, and heard, of one peer. Every well-formed candidate is told on to ``emit``, used or not."""

    def __init__(self, emit: Callable[[Body], None]) -> None:
        self.texts: list[str] = []
        """Since ICE began or was restarted, the latest ``2 * MAX_CANDIDATES``."""
        self.ignored: dict[str, int] = {}
        """Candidates that were not used, by why: mdns, tcp, component, malformed, too_many.

        Those for TCP are of a client that connects to us, as ours are passive: it shows its address by that.

        Names ending in ``.local`` are never looked up: it would take a second for each, and the checks of whoever has
        such a name show its address.
        """
        self._emit = emit
        self._count = 0
        self._reflexive = 0

    def take(self, text: str) -> Candidate | None:
        """One that can be used; ``None`` when it can't. Nothing is raised."""
        self._count += 1
        if self._count > MAX_CANDIDATES:
            self._ignore("too_many")
            return None
        shown = text.removeprefix("a=").removeprefix("candidate:").strip()
        try:
            candidate = Candidate.parse(text)
        except CandidateDecodeError:
            self._ignore("malformed")
            return None
        self._tell(shown)
        if candidate.is_mdns:
            self._ignore("mdns")
        elif candidate.transport != "udp":
            self._ignore("tcp")
        elif candidate.component != 1:
            self._ignore("component")
        elif candidate.port == 0:
            self._ignore("malformed")
        else:
            return candidate
        return None

    def heard(self, pair: Pair) -> None:
        """A peer-reflexive one: nobody told it, but the peer's check came from there."""
        self._reflexive += 1
        transport = pair.port.transport
        self._tell(
            f"remote{self._reflexive} 1 {transport} {pair.priority} {pair.host} {pair.remote_port}"
            f" typ prflx raddr {pair.host} rport {pair.remote_port}" + " tcptype active" * (transport == "tcp")
        )

    def restart(self) -> None:
        """ICE begins anew, with candidates of its own."""
        self.texts.clear()
        self._count = 0

    def end(self) -> None:
        """The peer has no more."""
        self._emit(EndOfCandidates(count=self._count))

    def let_go(self) -> None:
        """Know nobody any more: the agent is closed."""
        del self._emit

    def _tell(self, text: str) -> None:
        self.texts.append(text)
        del self.texts[: -2 * MAX_CANDIDATES]  # of one who moves all day
        self._emit(RemoteCandidate(candidate=text))

    def _ignore(self, why: str) -> None:
        self.ignored[why] = self.ignored.get(why, 0) + 1
