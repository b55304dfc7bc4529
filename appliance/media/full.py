"""A full ICE agent (RFC 8445), for a gateway behind a NAT: it checks, has a role, nominates, and asks for consent.

What a lite agent does is in :class:`appliance.media.ice.IceAgent`. Simplified against the RFC: there are no frozen
pairs and no retransmissions; while no pair is selected every pair is checked anew at each tick of half a second, at
most ``CHECKS_PER_TICK`` of them in turn, which is one every 31 ms (section 14.2 wants 5 ms or more). Nomination is
regular, and may be repeated when the pair in use falls silent, as browsers take it.
"""

import secrets

from appliance.media.checks import Check
from appliance.media.ice import NEVER, PROBE_INTERVAL, IceAgent
from appliance.media.local import HOST_PREFERENCE, RELAY_PREFERENCE, TCP_HOST_PREFERENCE
from appliance.media.pair import Pair
from appliance.wire import stun

CHECKS_PER_TICK = 16
TRIGGERED_INTERVAL = 0.05
"""Seconds between two checks of one pair that the peer's own cause."""
PATIENCE = 0.5
"""Seconds that a better pair than the first that works is waited for, before that one is nominated."""
NOMINATION_TIMEOUT = 2.5
"""Seconds after which a pair that does not answer its nomination is given up for another."""
_ROLE_CONFLICT = 487


class FullIceAgent(IceAgent):
    """ICE of one PeerConnection that does its part of finding the way."""

    lite = False
    controlling = False
    """We nominate."""
    _turn = 0
    _first_answer = NEVER
    _nominating: Pair | None = None
    _nominating_since = 0.0
    _wanted: Pair | None = None
    """What the controlling peer nominated, and we have not seen working yet."""
    _consented = 0.0

    def take_role(self, *, controlling: bool) -> None:
        """Who nominates: whoever offers, or whoever is not lite."""
        self.controlling = controlling

    def set_remote(self, ufrag: str, pwd: str) -> bool:
        """Take the credentials of an offer; true when they restart ICE."""
        restarts = super().set_remote(ufrag, pwd)
        if restarts:
            self._first_answer = NEVER
            self._nominating = self._wanted = None
        return restarts

    def begin(self) -> None:
        """Check what is known of the peer at once."""
        super().begin()
        now = self._clock.monotonic()
        fresh = [pair for pair in self.pairs if not pair.triggered]
        for pair in fresh[:CHECKS_PER_TICK] if self.awaiting_pair else ():
            self._trigger(pair, now)

    def has_consent(self, seconds: float) -> bool:
        """RFC 7675: who has not answered for so long, and for three checks, wants no more packets."""
        patience = max(seconds, 3 * PROBE_INTERVAL)
        return self.awaiting_pair or self._clock.monotonic() - self._consented < patience

    # --- checks ------------------------------------------------------------------------------------------

    def _due(self, now: float) -> list[Pair]:
        self._consider(now)
        if self._nominating is not None:
            return [self._nominating]
        if not self.awaiting_pair:
            return super()._due(now)
        pairs = sorted(self.pairs, key=self._rank, reverse=True)
        if len(pairs) <= CHECKS_PER_TICK:
            return pairs
        begin = self._turn = self._turn % len(pairs)
        self._turn += CHECKS_PER_TICK
        return (pairs + pairs)[begin : begin + CHECKS_PER_TICK]

    def _check(self, check: Check) -> None:
        nominates = self.controlling and check.pair is self._nominating
        super()._check(Check(check.pair, check.sent_at, self.controlling, nominates))

    def _trigger(self, pair: Pair, now: float) -> None:
        pair.triggered = now
        self._check(Check(pair, now))

    def _rank(self, pair: Pair) -> int:
        """RFC 8445 section 6.1.2.3, with the best that a candidate of its type can have for ours."""
        preference = RELAY_PREFERENCE
        if pair.port.candidate_type == "host":
            preference = HOST_PREFERENCE if pair.port.transport == "udp" else TCP_HOST_PREFERENCE
        ours = preference << 24 | 0xFFFFFF
        leads, follows = (ours, pair.priority) if self.controlling else (pair.priority, ours)
        return min(leads, follows) << 32 | 2 * max(leads, follows) | int(leads > follows)

    def _requested(self, pair: Pair, *, nominates: bool) -> None:
        now = self._clock.monotonic()
        if nominates and not self.controlling:
            if pair.answered:
                self._nominate(pair)
            else:
                self._wanted = pair
        if not pair.answered and now - pair.triggered >= TRIGGERED_INTERVAL:
            self._trigger(pair, now)
        if not nominates and not self.awaiting_pair and pair is not self.selected:
            self._doubt(pair)

    def _answered_check(self, check: Check, message: stun.StunMessage) -> None:
        now, pair = self._clock.monotonic(), check.pair
        self._first_answer = min(self._first_answer, now)
        self._name_local(pair, message)
        if pair is self.selected:
            self._consented = now
        if not pair.proven:
            return
        if pair is self._wanted and not self.controlling:
            self._wanted = None
            self._nominate(pair)
        elif check.nominates and self.controlling and pair is self._nominating:
            self._nominating = None
            pair.nominated = True
            self._select(pair)
        else:
            found = self._consider(now)
            if found is not None:
                self._check(Check(found, now))

    def _refused(self, check: Check, message: stun.StunMessage) -> None:
        # RFC 8445 section 7.2.5.1: only if the role is still that which the peer disputes.
        code = message.error_code
        if code is not None and code[0] == _ROLE_CONFLICT and check.controlling is self.controlling:
            self._switch(controlling=not self.controlling)
            self._tie_breaker = secrets.randbits(64)
            self._check(Check(check.pair, self._clock.monotonic()))

    # --- roles and nomination ----------------------------------------------------------------------------

    def _is_role_conflict(self, message: stun.StunMessage) -> bool:
        if self.controlling and message.controlling is not None:
            if self._tie_breaker >= message.controlling:
                return True
            self._switch(controlling=False)
        elif not self.controlling and message.controlled is not None:
            if self._tie_breaker < message.controlled:
                return True
            self._switch(controlling=True)
        return False

    def _switch(self, *, controlling: bool) -> None:
        self.controlling = controlling
        self._nominating = self._wanted = None

    def _select(self, pair: Pair) -> None:
        self._consented = self._clock.monotonic()
        super()._select(pair)

    def _follow(self, now: float) -> None:
        if not self.controlling:
            super()._follow(now)

    def _consider(self, now: float) -> Pair | None:
        """Choose what to nominate, if that is ours to do; ``None`` when there is nothing new to nominate."""
        if self._nominating is not None and now - self._nominating_since > NOMINATION_TIMEOUT:
            self._nominating.answered = False
            self._nominating = None
        if not self.controlling or self._nominating is not None:
            return None
        working = (pair for pair in self.pairs if pair.answered and pair.proven)
        best = max(working, key=self._rank, default=None) if self.awaiting_pair else self._moved_to(now)
        if best is None:
            return None
        is_best = self._rank(best) >= max(map(self._rank, self.pairs))
        if self.awaiting_pair and not is_best and now - self._first_answer < PATIENCE:
            return None
        self._nominating, self._nominating_since = best, now
        return best

    def _name_local(self, pair: Pair, message: stun.StunMessage) -> None:
        """Our end is called what the peer sees (RFC 8445 section 7.2.5.3.1)."""
        seen = message.xor_mapped_address
        if seen is None or pair.port.candidate_type == "relay":
            return
        kind = self.local.type_of(seen) or ("host" if seen == (pair.port.host, pair.port.port) else "prflx")
        if (seen, kind) != (pair.local, pair.local_type):
            pair.local, pair.local_type = seen, kind
            if pair is self.selected:
                self._tell_selected(pair)
