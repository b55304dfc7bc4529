"""Says what was seen of each association as events: whose it is, its pairs, its handshake, its media each second."""

import zlib
from collections.abc import Callable, Iterable, Sequence

from appliance.core import events as e
from appliance.intake.pcap.association import Association, Counts, Flow
from appliance.intake.pcap.media import tell_media
from appliance.intake.pcap.signalling import Described, HandleKey, Signalling, Tell

WAIT_US = 5_000_000
"""Without signalling nobody says that ICE or DTLS failed: after so long without an answer it has."""

Say = Callable[[int, e.Body], None]


def tell_associations(associations: Sequence[Association], signalling: Signalling, tell: Tell, last_us: int) -> None:
    """Everything that is not signalling. ``last_us`` is the capture's end."""
    owners = [_owner(association, signalling) for association in associations]
    taken = {owner[0] for owner in owners if owner is not None}
    lonely = [index for index, owner in enumerate(owners) if owner is None]
    waiting = [key for key in signalling.offered | signalling.up | signalling.told if key not in taken]
    waiting = waiting or [key for key in signalling.heard if key not in taken]
    if len(lonely) == len(waiting) == 1:
        # The description was cut, but there is no other that this could be.
        owners[lonely[0]] = (waiting[0], _client(associations[lonely[0]]))
    for index, association in enumerate(associations):
        association.sample(max(association.last_us, min(last_us, association.next_us)))
        owner = owners[index]
        key = owner[0] if owner is not None else (_number(association), index + 1)
        client = owner[1] if owner is not None else _client(association)

        def say(timestamp_us: int, body: e.Body, key: HandleKey = key) -> None:
            tell(timestamp_us, body, *key, None)

        described = signalling.handles.get(key, Described())
        has_signalling = key in signalling.offered or key in signalling.up
        if key not in signalling.offered:
            # Encrypted, elsewhere, or cut off: what was agreed on is not known.
            say(association.first_us, e.Gap(reason="no_signalling", first_timestamp=association.first_us))
        told = _Told(association, described, client, say)
        told.ice(failed=not has_signalling, last_us=last_us)
        told.dtls(failed=not has_signalling)
        if not has_signalling:
            told.connection(hung_up=key in signalling.hung_up)
        tell_media(association, described, client, say)


def _owner(association: Association, signalling: Signalling) -> tuple[HandleKey, int] | None:
    """The handle whose descriptions name this association, and which end the client is."""
    for ufrag, end in association.ends.items():
        found = signalling.ufrags.get(ufrag)
        if found is not None:
            return found[0], end if found[1] == "remote" else 1 - end
    return None


def _client(association: Association) -> int:
    """Without a description: the controlling end, since clients mostly offer; else who spoke first."""
    return association.controlling if association.controlling is not None else 0


def _number(association: Association) -> int:
    """The same for the same capture."""
    names: Iterable[str] = association.ends or [f"{flow.ways[0].source}" for flow in association.flows]
    return zlib.crc32(" ".join(sorted(names)).encode()) or 1


class _Told:
    def __init__(self, association: Association, described: Described, client: int, say: Say) -> None:
        self.a = association
        self.client = client
        self.server = 1 - client
        self.say = say
        self._described = described
        self._types = {
            (candidate.address, candidate.port): candidate.type
            for side in (described.remote, described.local)
            for description in side
            for media in description.media
            for candidate in media.candidates
        }
        self._types |= described.candidates

    def _end(self, flow: Flow, end: int) -> e.CandidateAddress:
        address, port = flow.of(end).source
        kind = self._types.get((address, port), "host" if end == self.server else "prflx")
        return e.CandidateAddress(address, port, kind, "tcp" if flow.is_tcp else "udp", 6 if ":" in address else 4)

    def ice(self, *, failed: bool, last_us: int) -> None:
        """States, selected pairs and counters; ``failed``: nobody else says so."""
        a = self.a
        if a.stun_us is not None:
            self.say(a.stun_us, e.IceState(ice="connecting"))
        began = [at for at in (a.handshake.first_us, a.media_us) if at is not None]
        connected_us = a.selected[0][0] if a.selected else min(began, default=None)
        if connected_us is not None:
            self.say(connected_us, e.IceState(ice="connected"))
        for timestamp_us, flow in a.selected:
            local, remote = self._end(flow, self.server), self._end(flow, self.client)
            text = " <-> ".join(
                f"{each.address}:{each.port} [{each.type},{each.transport}]" for each in (local, remote)
            )
            self.say(timestamp_us, e.SelectedPair(pair=text, candidates=e.PairAddresses(local, remote)))
        current: Flow | None = None
        changes = list(a.selected)
        for timestamp_us, counts in a.snapshots:
            while changes and changes[0][0] <= timestamp_us:
                current = changes.pop(0)[1]
            if counts:
                pairs = tuple(self._pair(each, selected=each.flow is current) for each in counts)
                self.say(timestamp_us, e.PairCounters(pairs=pairs))
        if connected_us is None and failed and a.stun_us is not None and last_us - a.stun_us >= WAIT_US:
            self.say(max(a.last_us, a.stun_us + WAIT_US), e.IceState(ice="failed"))

    def _pair(self, counts: Counts, *, selected: bool) -> e.PairStats:
        return e.PairStats(
            local=self._end(counts.flow, self.server),
            remote=self._end(counts.flow, self.client),
            selected=selected,
            nominated=counts.nominated,
            requests_sent=counts.requests[self.server],
            responses_received=counts.responses[self.client],
            requests_received=counts.requests[self.client],
            responses_sent=counts.responses[self.server],
            bad_integrity=counts.bad,
        )

    def dtls(self, *, failed: bool) -> None:
        """States, and what the handshake was like; ``failed``: nobody else says so."""
        hands = self.a.handshake
        if hands.first_us is None:
            if self.a.selected and self.a.media_us is None:
                self.say(self.a.last_us, self._detail(None, None))
            return
        self.say(hands.first_us, e.DtlsState(dtls="trying"))
        expected, received = self._fingerprints()
        mismatch = expected is not None and received is not None and not _among(received, expected)
        repeats = max(0, max(side.hellos for side in hands.sides) - 1)
        done_us, alert = self._done_us(), hands.alert()
        if done_us is not None:
            state = "failed" if mismatch else "connected"
            self.say(done_us, self._detail(expected, received))
            self.say(done_us, e.DtlsState(dtls=state, retransmissions=repeats))
        elif alert is not None and alert[2] == 2:
            self.say(alert[1], e.DtlsState(dtls="failed", retransmissions=repeats))
        if alert is not None:
            whose, timestamp_us, level, code, name = alert
            direction = "received" if whose == self.client else "sent"
            word = {1: "warning", 2: "fatal"}.get(level, f"level {level}")
            told = e.DtlsAlert(direction=direction, level=word, code=code, name=name)
            self.say(timestamp_us, self._detail(expected, received, told))
        elif done_us is None:
            self.say(self.a.last_us, self._detail(expected, received))
            began = any(side.hello_us is not None for side in hands.sides) and self.a.media_us is None
            if failed and began and self.a.last_us - hands.first_us >= WAIT_US:
                self.say(self.a.last_us, e.DtlsState(dtls="failed", retransmissions=repeats))

    def _done_us(self) -> int | None:
        """When the handshake was through: by its records, or where they were cut, by media that go both ways."""
        if self.a.handshake.done_us is not None:
            return self.a.handshake.done_us
        began: dict[int, int] = {}
        for (end, _), stream in self.a.streams.items():
            began[end] = min(stream.first_us, began.get(end, stream.first_us))
        return max(began.values()) if len(began) == 2 else None

    def _fingerprints(self) -> tuple[str | None, str | None]:
        """What the client's descriptions announce, and the certificate that it showed, by the same hash."""
        named = list(
            dict.fromkeys(
                (fingerprint.algorithm.lower(), fingerprint.value.upper())
                for description in self._described.remote
                for media in description.media
                for fingerprint in media.fingerprints
            )
        )
        side = self.a.handshake.sides[self.client]
        if not named:
            return None, side.fingerprint("sha-256")
        return " ".join(f"{algorithm} {value}" for algorithm, value in named), side.fingerprint(named[0][0])

    def _detail(self, expected: str | None, received: str | None, alert: e.DtlsAlert | None = None) -> e.DtlsDetail:
        hands = self.a.handshake
        client, server = hands.sides[self.client], hands.sides[self.server]
        return e.DtlsDetail(
            role="client" if server.is_client else "server",
            version=hands.version,
            cipher=hands.cipher,
            srtp_profile=hands.profile,
            fingerprint_expected=expected,
            fingerprint_received=received,
            records_received=dict(client.records),
            records_sent=dict(server.records),
            first_fragment_seen=client.first_fragment_seen,
            hellos_received=client.hellos,
            last_received=client.last,
            alert=alert,
        )

    def connection(self, *, hung_up: bool) -> None:
        """Without signalling: up when the handshake is done, over when an end closes it, if nobody else said so."""
        a = self.a
        up_us = self._done_us() if a.handshake.first_us is not None else a.media_us
        if up_us is None:
            return
        self.say(up_us, e.Connection(connection="webrtcup"))
        closes = [(side.closed_us, index) for index, side in enumerate(a.handshake.sides) if side.closed_us is not None]
        if closes and not hung_up:
            closed_us, who = min(closes)
            # Where nobody was heard to control, which end the client is was guessed.
            is_known = a.controlling is not None
            reason = "DTLS alert" if who == self.client and is_known else "closed by the server" if is_known else None
            self.say(closed_us, e.Connection(connection="hangup", reason=reason))


def _among(received: str, expected: str) -> bool:
    words = expected.lower().split()
    algorithm, _, value = received.lower().partition(" ")
    named = [text for name, text in zip(words[::2], words[1::2], strict=False) if name == algorithm]
    return not named or value in named
