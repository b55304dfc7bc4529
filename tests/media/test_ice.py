"""The lite agent: answers, probes, counters, moves, and what it refuses."""

import pytest

from appliance.core.events import (
    EndOfCandidates,
    IceState,
    LocalCandidate,
    PairCounters,
    RemoteCandidate,
    SelectedPair,
)
from appliance.media.config import MAX_CANDIDATES, MAX_REMOTE_ADDRESSES
from appliance.media.dtls import STAGES as DTLS_STAGES
from appliance.media.dtls import Dtls
from appliance.media.engine import Engine
from appliance.media.gathering import Gathering
from appliance.media.identity import DtlsIdentity
from appliance.media.reflexive import Reflexive
from appliance.media.stages import STAGES, IceStage
from appliance.wire import stun
from tests.clock import FakeClock
from tests.media.client import IDENTITY, Client
from tests.media.conftest import Call
from tests.media.harness import Handle, engine
from tests.media.test_turn import Lent

TOLD = "candidate:1 1 udp 2130706431 {} {} typ {}"


def test_final_states_have_no_exit_and_every_state_is_in_the_table() -> None:
    for table, last in ((STAGES, "CLOSED"), (DTLS_STAGES, "CLOSED")):
        stages = type(next(iter(table)))
        assert set(table) == set(stages)
        assert [stage.name for stage in stages if not table[stage]] == [last]  # type: ignore[index]
        assert all(after in table for exits in table.values() for after in exits)


async def test_what_is_not_in_the_table_is_refused(server: Engine, clock: FakeClock) -> None:
    peer = Handle(server).peer
    for stage in IceStage:
        for after in IceStage:
            peer.ice.progress.stage = stage
            if after in STAGES[stage]:
                peer.ice.progress.to(after)
            else:
                with pytest.raises(ValueError, match=f"can't go from {stage.value} to {after.value}"):
                    peer.ice.progress.to(after)
    association = Dtls(IDENTITY, clock, peer.association, lambda _data: None, is_client=False, fingerprints=())
    association.close()
    with pytest.raises(ValueError, match="can't go from closed to trying"):
        association.start()


async def test_checks_are_answered_with_where_they_came_from(call: Call) -> None:
    client, _ = call(connect=False)
    client.check(nominate=False)
    client.pump()
    (response,) = client.responses
    assert response.message_class is stun.Class.SUCCESS
    assert response.xor_mapped_address == client.address
    assert response.has_fingerprint


async def test_both_directions_are_counted_for_each_pair(call: Call, clock: FakeClock) -> None:
    client, handle = call(connect=False, trickle=True)
    client.answers_probes = False
    handle.peer.add_remote_candidate(TOLD.format("127.0.0.1", 9, "srflx"))
    handle.peer.add_remote_candidate(client.own_candidate)
    clock.advance(2.0)
    client.pump()
    client.check(nominate=False)
    client.pump()
    client.answers_probes = True
    clock.advance(1.0)
    client.pump()
    clock.advance(1.0)
    pairs = {pair.remote.port: pair for pair in handle.all(PairCounters)[-1].pairs}
    told, heard = pairs[9], pairs[client.address[1]]
    assert (told.remote.type, heard.remote.type) == ("srflx", "host")
    assert (told.requests_sent, told.responses_received, told.requests_received) == (7, 0, 0)
    assert (heard.requests_sent, heard.requests_received, heard.responses_sent) == (7, 1, 1)
    # Those that it didn't answer at first stayed unanswered.
    assert heard.responses_received == 2
    assert heard.rtt_ms is not None
    assert told.rtt_ms is None


async def test_probes_carry_what_a_browser_answers(call: Call, clock: FakeClock) -> None:
    client, handle = call(connect=False)
    handle.peer.add_remote_candidate(client.own_candidate)
    clock.advance(0.5)
    client.pump()
    (probe,) = client.probes
    assert probe.username == f"{client.ufrag}:{client.transport.ice_ufrag}"
    assert probe.controlled is not None
    assert probe.controlling is None
    assert not probe.use_candidate
    assert probe.priority == 110 << 24 | 65535 << 8 | 255


async def test_after_nomination_one_probe_goes_out_each_five_seconds(call: Call, clock: FakeClock) -> None:
    client, _ = call()
    clock.advance(1.0)
    client.pump()
    client.probes.clear()
    for _ in range(30):
        clock.advance(1.0)
        client.pump()
    assert len(client.probes) == 6


async def test_a_pair_gets_its_name_when_its_candidate_is_told_late(call: Call) -> None:
    client, handle = call(trickle=True)
    handle.peer.add_remote_candidate(client.own_candidate)
    host, port = client.address
    ours = client.server[1]
    assert [pair.pair for pair in handle.all(SelectedPair)] == [
        f"127.0.0.1:{ours} [host,udp] <-> {host}:{port} [prflx,udp]",
        f"127.0.0.1:{ours} [host,udp] <-> {host}:{port} [host,udp]",
    ]
    heard, told = (candidate.candidate for candidate in handle.all(RemoteCandidate))
    assert heard == f"remote1 1 udp 1845501695 {host} {port} typ prflx raddr {host} rport {port}"
    assert told == client.own_candidate.removeprefix("candidate:")


async def test_candidates_that_cannot_be_used_are_counted(call: Call) -> None:
    _, handle = call(connect=False, trickle=True)
    for text in (
        "candidate:1 1 udp 1 0b3dd0ca-5ed5-4a4a-8d4e-5a1ea5f9e6a2.local 5000 typ host",
        "candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype active",
        "candidate:1 2 udp 1 192.0.2.1 5000 typ host",
        "candidate:x",
        "1 1 udp 1 foo.bar 99999 typ host",
        "a=candidate:1 1 udp 1 2001:db8::1 5000 typ host",  # no socket of ours speaks IPv6
    ):
        handle.peer.add_remote_candidate(text)
    handle.peer.end_of_candidates()
    assert handle.peer.ice.remote.ignored == {"mdns": 1, "tcp": 1, "component": 1, "malformed": 2}
    assert not handle.peer.ice.pairs
    # What is well-formed is told, used or not.
    assert len(handle.all(RemoteCandidate)) == 4
    assert handle.all(EndOfCandidates)[-1].count == 6


async def test_candidates_and_addresses_are_bounded(call: Call, clock: FakeClock) -> None:
    client, handle = call(connect=False, trickle=True)
    for number in range(MAX_CANDIDATES + 10):
        handle.peer.add_remote_candidate(TOLD.format("127.0.0.1", 1 + number, "host"))
    assert len(handle.peer.ice.pairs) == MAX_REMOTE_ADDRESSES
    assert handle.peer.ice.remote.ignored == {"too_many": 10}
    assert len(handle.all(RemoteCandidate)) == MAX_CANDIDATES
    clock.advance(10.0)
    assert len(handle.peer.ice._checks) <= 64
    # What was only told makes room for where the client is.
    client.check()
    client.pump()
    assert len(client.responses) == 1
    assert handle.all(SelectedPair)
    assert len(handle.peer.ice.pairs) == MAX_REMOTE_ADDRESSES


async def test_each_restart_has_candidates_of_its_own(call: Call) -> None:
    client, handle = call()
    for restart in range(3):
        client.ufrag = f"again{restart}"
        client.take(handle.answer(client.offer(), trickle=True))
        for number in range(MAX_CANDIDATES - 1):
            handle.peer.add_remote_candidate(TOLD.format("127.0.0.1", 1 + number, "host"))
    assert handle.peer.ice.remote.ignored == {}
    assert len(handle.peer.ice.remote.texts) == MAX_CANDIDATES - 1
    assert len(handle.peer.ice.pairs) == MAX_REMOTE_ADDRESSES
    client.check()
    client.pump()
    assert handle.peer.ice.selected is not None
    assert handle.peer.up


async def test_a_client_cannot_invent_addresses_but_may_move_as_often_as_people_do(
    call: Call, clock: FakeClock
) -> None:
    client, handle = call(connect=False)
    sockets = []
    for _ in range(MAX_REMOTE_ADDRESSES + 4):
        sockets.append(client.socket)
        client.socket = client._bound()
        client.check(nominate=False)
        client.pump()
    assert len(client.responses) == len(handle.peer.ice.pairs) == MAX_REMOTE_ADDRESSES
    assert handle.peer.ice.pairs.refused_addresses == 4
    clock.advance(31.0)
    assert handle.hangup() == "ICE failed"
    assert not client.engine._owners
    # Over hours it is another matter.
    client, handle = call()
    for _ in range(MAX_REMOTE_ADDRESSES + 4):
        sockets.append(client.socket)
        client.socket = client._bound()
        client.check()
        client.pump()
        for _ in range(8):
            clock.advance(4.0)
            client.check(nominate=False)
            client.pump()
    assert handle.peer.up
    assert len(handle.all(SelectedPair)) == MAX_REMOTE_ADDRESSES + 5
    assert len(handle.peer.ice.pairs) == len(client.engine._owners) == MAX_REMOTE_ADDRESSES
    client.send_rtp("audio", 1, 0)
    client.pump()
    assert len(client.packets) == 1
    for old in sockets:
        old.close()


async def test_a_client_that_does_not_know_that_it_moved_is_followed(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    before = client.address[1]
    client.move()
    client.check(nominate=False)
    client.pump()
    assert len(handle.all(SelectedPair)) == 1  # not before the way in use had time to answer
    clock.advance(2.0)
    client.pump()
    assert [pair.candidates.remote.port for pair in handle.all(SelectedPair) if pair.candidates] == [
        before, client.address[1],
    ]  # fmt: skip


async def test_a_second_way_that_is_only_kept_open_is_not_followed(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    used, spare = client.socket, client._bound()
    for _ in range(5):
        client.socket = spare
        client.check(nominate=False)
        client.engine._readable(client.engine.ports[0])
        client.drain()
        client.socket = used
        client.pump()
        clock.advance(2.0)
        client.pump()
    assert len(handle.all(SelectedPair)) == 1
    spare.close()


async def test_a_request_with_the_wrong_password_is_counted_and_not_answered(call: Call, clock: FakeClock) -> None:
    client, handle = call(connect=False)
    for _ in range(3):
        client.check(pwd="wrong" * 6)
    client.pump()
    assert not client.responses
    assert client.engine.dropped == {"unknown_source": 3}
    clock.advance(1.0)
    handle.peer.close(None)
    (pair,) = handle.all(PairCounters)[-1].pairs
    assert (pair.bad_integrity, pair.requests_received) == (3, 0)


async def test_forged_answers_prove_nothing(call: Call, clock: FakeClock) -> None:
    client, handle = call(connect=False, candidates=())
    client.answers_probes = False
    handle.peer.add_remote_candidate(client.own_candidate)
    clock.advance(0.5)
    client.pump()
    (probe,) = client.probes
    client.send(stun.binding_response(probe.transaction_id, client.server, b"not the password"))
    client.send(stun.binding_response(bytes(12), client.server, client.pwd.encode()))
    client.pump()
    # From another address, however well made.
    old, client.socket = client.socket, client._bound()
    client.send(stun.binding_response(probe.transaction_id, client.server, client.pwd.encode()))
    client.pump()
    (pair,) = handle.peer.ice.pairs
    assert (pair.responses_received, pair.bad_integrity, pair.proven) == (0, 1, False)
    client.socket.close()
    client.socket = old


async def test_requests_of_one_source_are_limited_in_rate(call: Call, clock: FakeClock) -> None:
    client, _ = call(connect=False)
    for index in range(150):
        client.check(nominate=False)
        if index % 50 == 0:
            client.pump()
    client.pump()
    assert len(client.responses) == 100
    assert client.engine.dropped == {"rate_limit": 50}
    clock.advance(1.0)
    client.check(nominate=False)
    client.pump()
    assert len(client.responses) == 101


async def test_an_aggressive_client_does_not_make_the_pair_flap(call: Call, clock: FakeClock) -> None:
    client, handle = call(connect=False)
    first, second = client.socket, client._bound()
    for _ in range(5):
        for found, priority in ((first, 2000), (second, 1000)):
            client.socket = found
            client.check(priority=priority)
            client.pump()
        clock.advance(0.1)
    # Each is selected when it is nominated first; then the better one, once.
    assert [pair.candidates.remote.port for pair in handle.all(SelectedPair) if pair.candidates] == [
        first.getsockname()[1], second.getsockname()[1], first.getsockname()[1],
    ]  # fmt: skip
    # When the better one falls silent, the other takes over.
    clock.advance(2.0)
    client.socket = second
    client.check(priority=1000)
    client.pump()
    assert handle.peer.ice.selected is not None
    assert handle.peer.ice.selected.remote_port == second.getsockname()[1]
    first.close()


async def test_an_address_belongs_to_one_call_at_a_time(call: Call) -> None:
    victim, held = call()
    thief, robbed = call(connect=False)
    # The thief's own credentials, but from the victim's address, as a forged source address would have it.
    own, thief.socket = thief.socket, victim.socket
    thief.check()
    thief.pump()
    thief.socket = own
    assert not robbed.all(SelectedPair)
    victim.send_rtp("audio", 1, 0)
    victim.pump()
    assert len(victim.packets) == 1
    # Once the call has ended, its address is free.
    held.peer.close(None)
    thief.socket = victim.socket
    thief.check()
    thief.pump()
    thief.socket = own
    assert robbed.all(SelectedPair)


async def test_media_and_handshakes_need_a_proven_address(call: Call) -> None:
    client, handle = call()
    packet = client.rtp("audio", 1, 0)
    client.move()
    client.send(packet)
    client.send(b"\x16\xfe\xfd" + bytes(30))
    client.pump()
    assert not client.packets
    assert client.engine.dropped == {"unknown_source": 1}
    assert client.engine.ports[0].unknown_media == 1
    assert handle.peer.up


async def test_a_restart_takes_our_side_as_it_is_by_then(
    call: Call, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, handle = call()
    asking = client.engine.gathering.reflexive = Reflexive([], client.engine.ports)
    asking.mapped[client.engine.ports[0]] = ("203.0.113.7", 41_000)
    lent = Lent(clock)
    monkeypatch.setattr(Gathering, "relays", [lent.port])
    assert " srflx " not in handle.answer(client.offer())
    assert lent.port not in handle.peer.ice.local.ports
    client.ufrag, client.pwd = "restarted", "0123456789012345678901234"
    answer = handle.answer(client.offer())
    assert " 203.0.113.7 41000 typ srflx " in answer and " 203.0.113.5 50000 typ relay " in answer
    assert lent.port in handle.peer.ice.local.ports
    told = [fact.candidate.split(" ")[7] for fact in handle.all(LocalCandidate)]
    assert told == ["host", "srflx", "relay"]  # each once


async def test_old_credentials_end_with_the_restart(call: Call) -> None:
    client, handle = call()
    old_ufrag, old_pwd = client.transport.ice_ufrag, client.transport.ice_pwd
    client.ufrag, client.pwd = "restarted", "0123456789012345678901234"
    client.take(handle.answer(client.offer()))
    new_ufrag, new_pwd = client.transport.ice_ufrag, client.transport.ice_pwd
    assert (old_ufrag, old_pwd) != (new_ufrag, new_pwd)

    def check_as(ufrag: str | None, pwd: str | None) -> int:
        request = stun.binding_request(bytes(12), f"{ufrag}:x", 1, (pwd or "").encode(), controlling=1)
        before = len(client.responses)
        client.send(request)
        client.pump()
        return len(client.responses) - before

    assert check_as(old_ufrag, old_pwd) == 1  # consent on the pair in use, until the new one is nominated
    client.check()
    client.pump()
    assert [state.ice for state in handle.all(IceState)][-2:] == ["connected", "ready"]
    assert check_as(old_ufrag, old_pwd) == 0
    assert check_as(old_ufrag, "") == 0
    for number in range(20):
        client.ufrag = f"again{number}"
        client.take(handle.answer(client.offer()))
    assert len(client.engine._by_ufrag) <= 2


async def test_every_address_has_a_candidate_in_the_order_of_the_configuration(clock: FakeClock) -> None:
    found = await engine(clock, addresses=["127.0.0.1", "::1"], announced={"127.0.0.1": "203.0.113.9"})
    handle = Handle(found)
    client = Client(found, clock, host="::1")
    try:
        answer = client.take(handle.answer(client.offer()))
        first, second = answer.media[0].candidates
        assert (first.address, second.address) == ("203.0.113.9", "::1")
        assert first.priority > second.priority
        assert first.port == second.port == found.addresses[0][1]
        assert len(handle.all(LocalCandidate)) == 2
        client.server = ("::1", second.port)
        client.connect()
        client.send_rtp("audio", 1, 0)
        client.pump()
        assert len(client.packets) == 1
        (pair,) = handle.all(SelectedPair)
        assert pair.candidates is not None
        assert (pair.candidates.local.address, pair.candidates.local.family) == ("::1", 6)
    finally:
        client.close()
        await found.stop()


async def test_a_mapped_address_takes_the_place_of_ours_or_stands_beside_it(clock: FakeClock) -> None:
    for both, told in ((False, ["203.0.113.9", "::1"]), (True, ["203.0.113.9", "::1", "127.0.0.1"])):
        found = await engine(
            clock, addresses=["127.0.0.1", "::1"], announced={"127.0.0.1": "203.0.113.9"}, announce_private=both
        )
        handle = Handle(found)
        client = Client(found, clock)
        candidates = client.take(handle.answer(client.offer())).media[0].candidates
        client.close()
        await found.stop()
        assert [candidate.address for candidate in candidates] == told
        priorities = [candidate.priority for candidate in candidates]
        assert priorities == sorted(set(priorities), reverse=True)
        assert {candidate.type for candidate in candidates} == {"host"}


async def test_a_name_of_the_clients_own_network_is_no_hindrance(call: Call) -> None:
    name = "candidate:1 1 udp 2122260223 0b3dd0ca-5ed5-4a4a-8d4e-5a1ea5f9e6a2.local 50000 typ host"
    client, handle = call(candidates=(name,))
    (pair,) = handle.all(SelectedPair)
    host, port = client.address
    assert pair.pair.endswith(f"<-> {host}:{port} [prflx,udp]")
    assert handle.peer.ice.remote.ignored == {"mdns": 1}


def test_each_process_has_a_certificate_of_its_own() -> None:
    assert DtlsIdentity().fingerprint != DtlsIdentity().fingerprint
