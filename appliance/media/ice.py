"""An ICE-lite agent that looks around (RFC 8445 section 2.5, and a stated departure from it).

A lite agent only answers, so it could not tell "our packets never arrive" from "theirs never do". This one also sends
Binding requests to every remote candidate and every source it hears: two a second until nomination, then one every
five seconds on the selected pair. Requests and answers in each direction are the pair's counters.
"""

import secrets
from collections.abc import Callable, Iterable
from enum import Enum

from appliance.core.clock import Clock
from appliance.core.events import (
    Body,
    EndOfCandidates,
    IceState,
    LocalCandidate,
    PairCounters,
    RemoteCandidate,
    SelectedPair,
)
from appliance.core.peer import WireTap
from appliance.media.config import MAX_CANDIDATES, MAX_REMOTE_ADDRESSES, OUTSTANDING_PROBES
from appliance.media.local import PRFLX_PREFERENCE, priority
from appliance.media.pair import Pair
from appliance.media.udp import UdpPort, address_of, sockaddr
from appliance.wire import stun
from appliance.wire.candidate import Candidate, CandidateDecodeError

PROBE_INTERVAL = 5.0
"""Seconds between probes of the selected pair; until nomination every tick probes every pair."""
PROBE_TIMEOUT = 5.0
"""Seconds after which an answer is of no use."""
MAX_UNPROVEN_PAIRS = 4
"""Pairs that are kept for sources which never proved who they are, to show their bad requests."""
SILENT_PAIR = 1.5
"""Seconds without a request after which a selected pair yields to any other that is nominated."""


class IceStage(Enum):
    """How far ICE is; the values are those of events. See :data:`STAGES`."""

    NEW = "new"
    GATHERING = "gathering"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    READY = "ready"
    DISCONNECTED = "disconnected"
    FAILED = "failed"
    CLOSED = "closed"


STAGES: dict[IceStage, frozenset[IceStage]] = {
    IceStage.NEW: frozenset({IceStage.GATHERING, IceStage.CLOSED}),
    IceStage.GATHERING: frozenset({IceStage.GATHERING, IceStage.CONNECTING, IceStage.FAILED, IceStage.CLOSED}),
    IceStage.CONNECTING: frozenset({IceStage.GATHERING, IceStage.CONNECTED, IceStage.FAILED, IceStage.CLOSED}),
    IceStage.CONNECTED: frozenset({IceStage.READY}),
    IceStage.READY: frozenset({IceStage.GATHERING, IceStage.DISCONNECTED, IceStage.FAILED, IceStage.CLOSED}),
    IceStage.DISCONNECTED: frozenset({IceStage.GATHERING, IceStage.CONNECTED, IceStage.FAILED, IceStage.CLOSED}),
    IceStage.FAILED: frozenset({IceStage.GATHERING, IceStage.CLOSED}),
    IceStage.CLOSED: frozenset(),
}


class IceAgent:
    """ICE of one PeerConnection.

    ``emit`` takes events; ``local`` are our candidates; ``proven`` says whether an address may be this peer's;
    ``selected_changed`` is told when the pair is another; ``tag`` (4 bytes) begins the transaction ids of its probes,
    for whoever routes the answers.
    """

    def __init__(
        self,
        ports: list[UdpPort],
        clock: Clock,
        emit: Callable[[Body], None],
        *,
        local: Iterable[Candidate],
        tag: bytes,
        proven: Callable[[Pair], bool],
        selected_changed: Callable[[Pair], None],
    ) -> None:
        self.stage = IceStage.NEW
        self.ufrag, self.pwd = _credentials()
        self.old_ufrag: str | None = None
        """That of before an ICE restart, good until the new one has a pair."""
        self._old_pwd = ""
        self.remote_ufrag: str | None = None
        self.remote_pwd: str | None = None
        self.pairs: dict[tuple[int, bytes], Pair] = {}
        """By index of our port and their sockaddr."""
        self.selected: Pair | None = None
        self.local_texts = [candidate.to_sdp() for candidate in local]
        self.remote_texts: list[str] = []
        self.ignored: dict[str, int] = {}
        """Candidates that were not used, by why: mdns, tcp, component, malformed, too_many."""
        self.refused_addresses = 0
        """Sources beyond the bound, or that belong to another live peer."""
        self.wire: WireTap | None = None
        """Is shown what is sent, while somebody records."""
        self._ports = ports
        self._clock = clock
        self._emit = emit
        self._proven = proven
        self._selected_changed = selected_changed
        self._types: dict[bytes, str] = {}
        self._tag = tag
        self._tie_breaker = secrets.randbits(64)
        self._probes: dict[bytes, tuple[Pair, float]] = {}
        self._next_probe = 0.0
        self._reflexive = 0
        self._count = 0
        self._answered = False
        self._awaiting_pair = True
        self._renewed = False
        """Credentials of ours are in an offer that the peer has not answered with its own."""

    # --- descriptions and candidates ---------------------------------------------------------------------

    def set_remote(self, ufrag: str, pwd: str) -> bool:
        """Take the credentials of an offer; true when they restart ICE (RFC 8839 section 4.4.1.1.1)."""
        if (ufrag, pwd) == (self.remote_ufrag, self.remote_pwd):
            return False
        restarts = self.remote_ufrag is not None
        self.remote_ufrag, self.remote_pwd = ufrag, pwd
        if restarts:
            if not self._renewed:
                self.renew()
            self._renewed = False
            self._awaiting_pair = True
            self._answered = False
            self._probes.clear()
            for key in [key for key, pair in self.pairs.items() if pair is not self.selected]:
                del self.pairs[key]
            for pair in self.pairs.values():
                pair.nominated = False
            self._types.clear()
            self.remote_texts.clear()
        return restarts

    def renew(self) -> None:
        """New credentials of ours, for an offer that restarts ICE; the old ones are good until there is a pair."""
        self.old_ufrag, self._old_pwd = self.ufrag, self.pwd
        self.ufrag, self.pwd = _credentials()
        self._renewed = True

    def gather(self) -> None:
        """Tell that gathering begins: our candidates are known at once."""
        self._to(IceStage.GATHERING)

    def tell_local(self) -> None:
        """Emit our candidates."""
        for text in self.local_texts:
            self._emit(LocalCandidate(candidate=text.removeprefix("candidate:")))

    def begin(self) -> None:
        """The answer is made: ICE is under way as soon as anything of the peer is known."""
        self._answered = True
        if self.stage is IceStage.GATHERING and self.pairs:
            self._to(IceStage.CONNECTING)

    def add_remote(self, text: str) -> None:
        """Take a remote candidate. What can't be used is counted; nothing is raised."""
        self._count += 1
        if self._count > MAX_CANDIDATES:
            self._ignore("too_many")
            return
        shown = text.removeprefix("a=").removeprefix("candidate:").strip()
        try:
            candidate = Candidate.parse(text)
        except CandidateDecodeError:
            self._ignore("malformed")
            return
        self.remote_texts.append(shown)
        self._emit(RemoteCandidate(candidate=shown))
        if candidate.is_mdns:
            self._ignore("mdns")
        elif candidate.transport != "udp":
            self._ignore("tcp")
        elif candidate.component != 1:
            self._ignore("component")
        elif candidate.port == 0:
            self._ignore("malformed")
        else:
            self._pair_with(candidate)
            if self._answered:
                self.begin()

    def end_of_candidates(self) -> None:
        """The peer has no more."""
        self._emit(EndOfCandidates(count=self._count))

    def _pair_with(self, candidate: Candidate) -> None:
        is_ipv6 = ":" in candidate.address
        for index, port in enumerate(self._ports):
            if (":" in port.host) is not is_ipv6:
                continue
            key = sockaddr(candidate.address, candidate.port)
            self._types.setdefault(key, candidate.type)
            pair = self.pairs.get((index, key))
            if pair is not None:
                if pair.remote_type == "prflx" and candidate.type != "prflx":
                    # Signalled only now, as usual with trickle: the pair's name becomes the right one.
                    pair.remote_type = candidate.type
                    if pair is self.selected:
                        self._tell_selected(pair)
                continue
            pair = self._add_pair(index, port, key)
            if pair is not None:
                pair.priority = candidate.priority

    def _add_pair(self, index: int, port: UdpPort, key: bytes) -> Pair | None:
        remotes = {known for _, known in self.pairs}
        if key not in remotes and len(remotes) >= MAX_REMOTE_ADDRESSES:
            self.refused_addresses += 1
            return None
        pair = Pair(port, key, self._types.get(key, "prflx"))
        self.pairs[index, key] = pair
        return pair

    def _ignore(self, why: str) -> None:
        self.ignored[why] = self.ignored.get(why, 0) + 1

    # --- messages ----------------------------------------------------------------------------------------

    def request(self, port: UdpPort, key: bytes, message: stun.StunMessage, data: bytes) -> bool:
        """Answer a Binding request whose username names us; false when it is not proven to be the peer's."""
        index = self._ports.index(port)
        pair = self.pairs.get((index, key))
        ours = (message.username or "").partition(":")[0]
        pwd = self.pwd if ours == self.ufrag else self._old_pwd
        if not message.verify_integrity(data, pwd.encode()):
            if pair is None and sum(not known.proven for known in self.pairs.values()) < MAX_UNPROVEN_PAIRS:
                pair = self._add_pair(index, port, key)
            if pair is not None:
                pair.bad_integrity += 1
            return False
        is_new = pair is None
        if pair is None:
            pair = self._add_pair(index, port, key)
            if pair is None:
                return False
        pair.requests_received += 1
        pair.heard = self._clock.monotonic()
        pair.priority = pair.priority or message.priority or 0
        if not pair.proven:
            if not self._proven(pair):
                self.refused_addresses += 1
                return False
            pair.proven = True
            if is_new and pair.remote_type == "prflx":
                self._tell_reflexive(pair)
        self._send(port, stun.binding_response(message.transaction_id, address_of(key), pwd.encode()), key)
        pair.responses_sent += 1
        if self.stage is IceStage.GATHERING and ours == self.ufrag:
            self._to(IceStage.CONNECTING)
        if message.use_candidate and ours == self.ufrag:
            self._nominate(pair)
        return True

    def response(self, port: UdpPort, key: bytes, message: stun.StunMessage, data: bytes) -> bool:
        """Take the answer to a probe; false when it is none."""
        found = self._probes.get(message.transaction_id)
        if found is None:
            return False
        pair, sent_at = found
        # RFC 8445 section 7.2.5.2.1: an answer from elsewhere proves nothing.
        if pair.key != key or pair.port is not port:
            return False
        if not message.verify_integrity(data, (self.remote_pwd or "").encode()):
            pair.bad_integrity += 1
            return False
        del self._probes[message.transaction_id]
        if message.message_class is not stun.Class.SUCCESS:
            return False
        pair.responses_received += 1
        pair.rtt_ms = round((self._clock.monotonic() - sent_at) * 1000, 3)
        if not pair.proven:
            pair.proven = self._proven(pair)
        return True

    def _nominate(self, pair: Pair) -> None:
        first = not pair.nominated
        pair.nominated = True
        selected = self.selected
        if selected is not pair or self._awaiting_pair:
            # An agent that nominates aggressively names several pairs over and over: only the first time, a better
            # priority, or the silence of the one in use makes it a change.
            better = selected is not None and (
                pair.priority > selected.priority or self._clock.monotonic() - selected.heard > SILENT_PAIR
            )
            if selected is None or self._awaiting_pair or first or better:
                self._select(pair)

    def _select(self, pair: Pair) -> None:
        self.selected = pair
        self._awaiting_pair = False
        self.old_ufrag, self._old_pwd = None, ""
        self._next_probe = 0.0
        self._selected_changed(pair)
        self._tell_selected(pair)
        if self.stage is IceStage.GATHERING:
            self._to(IceStage.CONNECTING)
        if self.stage in {IceStage.CONNECTING, IceStage.DISCONNECTED}:
            self._to(IceStage.CONNECTED)
            self._to(IceStage.READY)
        self.tell_counters()

    # --- time --------------------------------------------------------------------------------------------

    def probe(self) -> None:
        """Send the probes that are due."""
        now = self._clock.monotonic()
        for transaction, (_, sent_at) in list(self._probes.items()):
            if now - sent_at > PROBE_TIMEOUT:
                del self._probes[transaction]
        if self.remote_ufrag is None or self.remote_pwd is None:
            return
        if self._awaiting_pair:
            targets = list(self.pairs.values())
        elif self.selected is not None and now >= self._next_probe:
            self._next_probe = now + PROBE_INTERVAL
            targets = [self.selected]
        else:
            return
        username = f"{self.remote_ufrag}:{self.ufrag}"
        for pair in targets:
            if len(self._probes) >= OUTSTANDING_PROBES:
                break
            transaction = self._tag + secrets.token_bytes(8)
            request = stun.binding_request(
                transaction,
                username,
                priority(PRFLX_PREFERENCE),
                self.remote_pwd.encode(),
                controlled=self._tie_breaker,
            )
            self._probes[transaction] = (pair, now)
            pair.requests_sent += 1
            self._send(pair.port, request, pair.key)

    def _send(self, port: UdpPort, data: bytes, key: bytes) -> None:
        if self.wire is not None:
            self.wire(data, False, (port.announced, port.port), address_of(key))
        port.send(data, key)

    @property
    def awaiting_pair(self) -> bool:
        """No pair is nominated, or not yet after a restart."""
        return self._awaiting_pair

    def silent(self) -> None:
        """Nothing came for a while."""
        if self.stage is IceStage.READY:
            self._to(IceStage.DISCONNECTED)

    def heard_again(self) -> None:
        """Something came after all."""
        if self.stage is IceStage.DISCONNECTED and not self._awaiting_pair:
            self._to(IceStage.CONNECTED)
            self._to(IceStage.READY)

    def fail(self) -> None:
        """Give up."""
        self._to(IceStage.FAILED)
        self.tell_counters()

    def close(self) -> None:
        """Forget everything; emits nothing."""
        if self.stage is not IceStage.CLOSED:
            self._to(IceStage.CLOSED)
        self._probes.clear()

    def let_go(self) -> None:
        """Know nobody any more: nothing happens after :meth:`close`."""
        del self._emit, self._proven, self._selected_changed

    # --- telling -----------------------------------------------------------------------------------------

    def tell_counters(self) -> None:
        """Emit every pair's counters."""
        if self.pairs:
            pairs = (pair.stats(selected=pair is self.selected) for pair in self.pairs.values())
            self._emit(PairCounters(pairs=tuple(pairs)))

    def _tell_selected(self, pair: Pair) -> None:
        self._emit(SelectedPair(pair=pair.text, candidates=pair.addresses, stream_id=1, component_id=1))

    def _tell_reflexive(self, pair: Pair) -> None:
        self._reflexive += 1
        text = (
            f"remote{self._reflexive} 1 udp {pair.priority} {pair.host} {pair.remote_port}"
            f" typ prflx raddr {pair.host} rport {pair.remote_port}"
        )
        self.remote_texts.append(text)
        self._emit(RemoteCandidate(candidate=text))

    def _to(self, stage: IceStage) -> None:
        if stage not in STAGES[self.stage]:
            raise ValueError(f"ICE can't go from {self.stage.value} to {stage.value}")
        self.stage = stage
        if stage is not IceStage.CLOSED:
            self._emit(IceState(ice=stage.value))


def _credentials() -> tuple[str, str]:
    """Ours: RFC 8445 section 5.3 wants 24 and 128 bits of randomness at least."""
    return secrets.token_hex(4), secrets.token_hex(16)
