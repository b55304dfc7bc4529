"""An ICE-lite agent that looks around (RFC 8445 section 2.5, and a stated departure from it).

A lite agent only answers, so it could not tell "our packets never arrive" from "theirs never do". This one also sends
Binding requests to every remote candidate and every source it hears: two a second until nomination, then one every
five seconds on the selected pair. Requests and answers in each direction are the pair's counters.
"""

import secrets
from collections.abc import Callable

from appliance.core.clock import Clock
from appliance.core.events import Body, PairCounters, SelectedPair
from appliance.core.peer import WireTap
from appliance.media.checks import Check, Checks
from appliance.media.credentials import Credentials
from appliance.media.local import PRFLX_PREFERENCE, LocalCandidates, LocalSide, priority
from appliance.media.pair import Pair
from appliance.media.pairs import Pairs
from appliance.media.port import Port
from appliance.media.remote import RemoteCandidates
from appliance.media.stages import IceProgress, IceStage
from appliance.media.udp import address_of
from appliance.wire import stun

PROBE_INTERVAL = 5.0
"""Seconds between probes of the selected pair; until nomination every tick probes every pair."""
_GRACE_SECONDS = 0.1
SILENT_PAIR = 1.5
"""Seconds without a request after which a selected pair yields to any other that is nominated."""
DOUBT = 1.5
"""Seconds that the selected pair has to answer in, when the peer is heard from elsewhere."""
NEVER = float("inf")


class IceAgent:
    """ICE of one PeerConnection.

    ``local`` has our candidates; ``emit`` takes events; ``proven`` says whether an address may be this peer's, and
    ``released`` takes that back; ``selected_changed`` is told when the pair is another; ``tag`` (4 bytes) begins the
    transaction ids of its probes, for whoever routes the answers.
    """

    lite = True

    def __init__(
        self,
        local: LocalSide,
        clock: Clock,
        emit: Callable[[Body], None],
        *,
        tag: bytes,
        proven: Callable[[Pair], bool],
        released: Callable[[Pair], None],
        selected_changed: Callable[[Pair], None],
    ) -> None:
        self.progress = IceProgress(emit)
        self.credentials = Credentials()
        self.pairs = Pairs(released)
        self.selected: Pair | None = None
        self.local = LocalCandidates(local, emit)
        self.remote = RemoteCandidates(emit)
        self.wire: WireTap | None = None
        """Is shown what is sent, while somebody records."""
        self._clock = clock
        self._emit = emit
        self._proven = proven
        self._selected_changed = selected_changed
        self._tie_breaker = secrets.randbits(64)
        self._checks = Checks(tag)
        self._next_probe = 0.0
        self._answered = False
        self._awaiting_pair = True
        self._doubted_since = NEVER
        """Monotonic: the peer is heard from where it was not, and the selected pair has not answered since."""

    @property
    def stage(self) -> IceStage:
        """How far it is."""
        return self.progress.stage

    # --- descriptions and candidates ---------------------------------------------------------------------

    def set_remote(self, ufrag: str, pwd: str) -> bool:
        """Take the credentials of a description; true when they restart ICE."""
        restarts = self.credentials.set_remote(ufrag, pwd)
        if restarts:
            if not self.credentials.renewed:
                self.renew()
            self.credentials.renewed = False
            self._awaiting_pair = True
            self._doubted_since = NEVER
            self._answered = False
            self._checks.clear()
            self.pairs.restart(self.selected)
            self.remote.restart()
        return restarts

    def renew(self) -> None:
        """Credentials and candidates of ours for a restart, which an offer begins."""
        self.credentials.renew()
        self.local.take()

    def gather(self) -> None:
        """Tell that gathering begins: our candidates are known at once."""
        self.progress.to(IceStage.GATHERING)

    def take_role(self, *, controlling: bool) -> None:
        """Who nominates (RFC 8445 section 6.1.1): a lite agent never does."""

    def begin(self) -> None:
        """Both descriptions are known: ICE is under way as soon as anything of the peer is."""
        self._answered = True
        if self.pairs:
            self.progress.heard()

    def add_remote(self, text: str) -> None:
        """Take a remote candidate. What can't be used is counted; nothing is raised."""
        candidate = self.remote.take(text)
        if candidate is not None:
            if self.selected in self.pairs.take(candidate, self.local.ports):
                self._tell_selected(self.selected)
            if self._answered:
                self.begin()

    # --- messages ----------------------------------------------------------------------------------------

    def request(self, port: Port, key: bytes, message: stun.StunMessage, data: bytes) -> bool:
        """Answer a Binding request whose username names us; false when it is not proven to be the peer's."""
        pair = self.pairs.get(port, key)
        ours = (message.username or "").partition(":")[0]
        pwd = self.credentials.pwd_of(ours)
        if pwd is None or not message.verify_integrity(data, pwd.encode()):
            pair = pair or self.pairs.add_unproven(port, key)
            if pair is not None:
                pair.bad_integrity += 1
            return False
        now = self._clock.monotonic()
        is_new = pair is None
        if pair is None:
            pair = self.pairs.add_proven(port, key, now, self.selected)
            if pair is None:
                return False
        pair.requests_received += 1
        pair.heard = now
        pair.priority = pair.priority or message.priority or 0
        if not pair.proven:
            if not self._proven(pair):
                self.pairs.refused_addresses += 1
                return False
            pair.proven = True
            if is_new and pair.remote_type == "prflx":
                self.remote.heard(pair)
        if self._is_role_conflict(message):
            error = stun.binding_error(message.transaction_id, 487, "Role Conflict", pwd.encode())
            self._send(port, error, key)
            return True
        self._send(port, stun.binding_response(message.transaction_id, address_of(key), pwd.encode()), key)
        pair.responses_sent += 1
        if ours == self.credentials.ufrag:
            self.progress.heard()
            self._requested(pair, nominates=message.use_candidate)
        return True

    def _is_role_conflict(self, message: stun.StunMessage) -> bool:
        """Whether the peer has to change its role (RFC 8445 section 7.3.1.1); a lite agent takes every role."""
        return False

    def _requested(self, pair: Pair, *, nominates: bool) -> None:
        """A check of the peer was answered. A lite agent knows no better pair than what it is told."""
        if nominates:
            self._nominate(pair)
        elif not self._awaiting_pair and pair is not self.selected:
            self._doubt(pair)

    def _doubt(self, pair: Pair) -> None:
        """The peer is heard from elsewhere, and does not say that it has moved.

        That happens when a NAT gives it another port: it knows nothing of it, so that it nominates nothing. Both pairs
        are asked.
        """
        now = self._clock.monotonic()
        if self._doubted_since == NEVER and self.selected is not None:
            self._doubted_since = now
            self._check(Check(self.selected, now))
            self._check(Check(pair, now))

    def _moved_to(self, now: float) -> Pair | None:
        """The best pair that works, once the selected one has not answered in time."""
        if self._awaiting_pair or now - self._doubted_since < DOUBT:
            return None
        working = [
            pair
            for pair in self.pairs
            if pair is not self.selected and pair.proven and pair.answered_at >= self._doubted_since
        ]
        return max(working, key=lambda pair: pair.priority, default=None)

    def response(self, port: Port, key: bytes, message: stun.StunMessage, data: bytes) -> bool:
        """Take the answer to a probe; false when it is none."""
        check = self._checks.answered(port, key, message, data, self.credentials.remote_pwd)
        if check is None:
            return False
        if message.message_class is not stun.Class.SUCCESS:
            self._refused(check, message)
            return False
        pair = check.pair
        pair.responses_received += 1
        pair.rtt_ms = round((self._clock.monotonic() - check.sent_at) * 1000, 3)
        if not pair.proven:
            pair.proven = self._proven(pair)
        pair.answered = True
        pair.answered_at = self._clock.monotonic()
        if pair is self.selected:
            self._doubted_since = NEVER
        self._answered_check(check, message)
        return True

    def _refused(self, check: Check, message: stun.StunMessage) -> None:
        """The peer answered a check with an error."""

    def _answered_check(self, check: Check, message: stun.StunMessage) -> None:
        """The peer answered a check."""

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
        self._doubted_since = NEVER
        self.credentials.forget_old()
        self._next_probe = 0.0
        self._selected_changed(pair)
        self._tell_selected(pair)
        self.progress.paired()
        self.tell_counters()

    # --- time --------------------------------------------------------------------------------------------

    def probe(self) -> None:
        """Send the probes that are due."""
        now = self._clock.monotonic()
        self._checks.expire(now)
        self._follow(now)
        for pair in self._due(now):
            self._check(Check(pair, now))

    def _follow(self, now: float) -> None:
        """Go where the peer has moved to."""
        pair = self._moved_to(now)
        if pair is not None:
            self._select(pair)

    def _due(self, now: float) -> list[Pair]:
        """The pairs that are to be checked at this tick."""
        if self._awaiting_pair:
            return list(self.pairs)
        # Of two ticks the second may come a little early: without grace, a probe would wait for the next one.
        if self.selected is not None and now >= self._next_probe - _GRACE_SECONDS:
            self._next_probe = now + PROBE_INTERVAL
            return [self.selected]
        return []

    def _check(self, check: Check) -> None:
        transaction = None if self.credentials.remote_ufrag is None else self._checks.add(check)
        if transaction is None:
            return
        request = stun.binding_request(
            transaction,
            self.credentials.username,
            priority(PRFLX_PREFERENCE),
            self.credentials.remote_pwd.encode(),
            controlling=self._tie_breaker if check.controlling else None,
            controlled=None if check.controlling else self._tie_breaker,
            use_candidate=check.nominates,
        )
        check.pair.requests_sent += 1
        self._send(check.pair.port, request, check.pair.key)

    def has_consent(self, _seconds: float) -> bool:
        """Whether the peer has answered within that time. A lite agent asks for none: the peer's checks are its."""
        return True

    def _send(self, port: Port, data: bytes, key: bytes) -> None:
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
            self.progress.to(IceStage.DISCONNECTED)

    def heard_again(self) -> None:
        """Something came after all."""
        if self.stage is IceStage.DISCONNECTED and not self._awaiting_pair:
            self.progress.paired()

    def fail(self) -> None:
        """Give up."""
        self.progress.to(IceStage.FAILED)
        self.tell_counters()

    def close(self) -> None:
        """Forget everything; emits nothing."""
        self.progress.close()
        self._checks.clear()

    def let_go(self) -> None:
        """Know nobody any more: nothing happens after :meth:`close`."""
        self.local.let_go()
        self.remote.let_go()
        self.pairs.let_go()
        self.progress.let_go()
        del self._emit, self._proven, self._selected_changed

    # --- telling -----------------------------------------------------------------------------------------

    def tell_counters(self) -> None:
        """Emit every pair's counters."""
        if self.pairs:
            pairs = (pair.stats(selected=pair is self.selected) for pair in self.pairs)
            self._emit(PairCounters(pairs=tuple(pairs)))

    def _tell_selected(self, pair: Pair) -> None:
        self._emit(SelectedPair(pair=pair.text, candidates=pair.addresses, stream_id=1, component_id=1))
