"""Full ICE: our own checks, roles, nomination, consent. The client is controlled by hand; the clock too."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from appliance.core.events import IceState, SelectedPair
from appliance.core.peer import OfferLine
from appliance.media.engine import Engine
from appliance.media.full import CHECKS_PER_TICK, FullIceAgent
from appliance.wire import sdp, stun
from tests.clock import FakeClock
from tests.media.client import Client
from tests.media.conftest import Call
from tests.media.harness import Handle, engine
from tests.media.test_offering import Subscriber

HIGHEST, LOWEST = (1 << 64) - 1, 0
"""Tie breakers that win, and lose, against any."""


@pytest_asyncio.fixture
async def server(clock: FakeClock) -> AsyncIterator[Engine]:
    found = await engine(clock, ice="full")
    for port in found.ports:
        asyncio.get_running_loop().remove_reader(port.fd)
    yield found
    await found.stop()


@pytest.fixture
def lite(server: Engine, clock: FakeClock) -> Iterator[tuple[Client, Handle]]:
    """A client that is lite, so that the gateway nominates."""
    client, handle = Client(server, clock), Handle(server)
    offer = client.offer().replace("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n")
    client.take(handle.answer(offer, trickle=True))
    yield client, handle
    client.close()


def agent(handle: Handle) -> FullIceAgent:
    found = handle.peer.ice
    assert isinstance(found, FullIceAgent)
    return found


async def test_a_call_connects_and_nobody_is_told_of_a_lite_agent(call: Call, clock: FakeClock) -> None:
    client, handle = call(connect=False, trickle=True)
    assert client.answer is not None
    assert not client.answer.ice_lite
    handle.peer.add_remote_candidate(client.own_candidate)
    client.drain()
    (check,) = client.probes  # at once, not at the next tick
    assert check.controlled is not None
    assert not check.use_candidate
    client.connect()
    client.send_rtp("audio", 1, 0)
    client.pump()
    assert len(client.packets) == 1
    assert [state.ice for state in handle.all(IceState)] == ["gathering", "connecting", "connected", "ready"]
    (pair,) = handle.all(SelectedPair)
    host, port = client.address
    assert pair.pair == f"127.0.0.1:{client.server[1]} [host,udp] <-> {host}:{port} [host,udp]"


async def test_a_nominated_pair_is_used_once_it_works_both_ways(call: Call, clock: FakeClock) -> None:
    client, handle = call(connect=False)
    client.answers_probes = False
    client.check()
    client.pump()
    assert len(client.responses) == 1
    assert len(client.probes) == 1  # triggered
    assert not handle.all(SelectedPair)
    client.answers_probes = True
    clock.advance(0.5)
    client.pump()
    assert len(handle.all(SelectedPair)) == 1


async def test_the_peer_cannot_trigger_more_checks_than_it_sends_in_time(call: Call, clock: FakeClock) -> None:
    client, _ = call(connect=False)
    client.answers_probes = False
    for _ in range(20):
        client.check(nominate=False)
    client.pump()
    assert len(client.probes) == 1
    clock.advance(0.06)
    client.check(nominate=False)
    client.pump()
    assert len(client.probes) == 2


async def test_towards_a_lite_peer_the_gateway_nominates(lite: tuple[Client, Handle]) -> None:
    client, handle = lite
    handle.peer.add_remote_candidate(client.own_candidate)
    client.pump()
    assert [(check.use_candidate, check.controlling is not None) for check in client.probes] == [
        (False, True), (True, True),
    ]  # fmt: skip
    assert len(handle.all(SelectedPair)) == 1
    client.start_dtls()
    client.pump()
    assert handle.peer.up


async def test_what_offers_nominates(server: Engine, clock: FakeClock) -> None:
    subscriber, handle = Subscriber(server, clock), Handle(server)
    offer = handle.peer.create_offer([OfferLine(mid="d", kind="application")])
    assert not sdp.parse(offer).ice_lite
    handle.peer.set_remote_answer(subscriber.reply(offer).replace("a=rtcp-mux\r\n", ""))
    handle.peer.gather(trickle=True)
    subscriber.check(nominate=False, controlling=None, controlled=5)
    subscriber.pump()
    assert subscriber.probes[-1].use_candidate
    assert len(handle.all(SelectedPair)) == 1
    subscriber.close()


async def test_a_better_pair_is_waited_for_but_not_for_long(lite: tuple[Client, Handle], clock: FakeClock) -> None:
    client, handle = lite
    nobody = client._bound()
    host, port = nobody.getsockname()[:2]
    handle.peer.add_remote_candidate(f"1 1 udp 2130706431 {host} {port} typ host")
    handle.peer.add_remote_candidate(client.own_candidate.replace("2130706431", "1000"))
    client.pump()
    assert client.probes
    assert not handle.all(SelectedPair)
    clock.advance(0.5)
    client.pump()
    (pair,) = handle.all(SelectedPair)
    assert pair.candidates is not None
    assert pair.candidates.remote.port == client.address[1]
    nobody.close()


async def test_who_does_not_answer_its_nomination_is_given_up(lite: tuple[Client, Handle], clock: FakeClock) -> None:
    client, handle = lite
    client.listener = lambda data: not (stun.is_stun(data) and stun.parse(data).use_candidate)
    handle.peer.add_remote_candidate(client.own_candidate)
    client.pump()
    for _ in range(8):
        clock.advance(0.5)
        client.pump()
    assert not handle.all(SelectedPair)
    client.listener = lambda _data: True
    for _ in range(2):
        clock.advance(0.5)
        client.pump()
    assert len(handle.all(SelectedPair)) == 1


@pytest.mark.parametrize(
    ("theirs", "refused", "controls"),
    [(HIGHEST, True, False), (LOWEST, False, True)],
)
async def test_two_that_would_be_controlled(call: Call, theirs: int, refused: bool, controls: bool) -> None:
    client, handle = call(connect=False)
    client.check(nominate=False, controlling=None, controlled=theirs)
    client.pump()
    assert [message.error_code for message in client.responses] == [(487, "Role Conflict") if refused else None]
    assert agent(handle).controlling is controls


@pytest.mark.parametrize(("theirs", "refused"), [(LOWEST, True), (HIGHEST, False)])
async def test_two_that_would_control(lite: tuple[Client, Handle], theirs: int, refused: bool) -> None:
    client, handle = lite
    client.check(nominate=True, controlling=theirs)
    client.pump()
    assert (client.responses[0].error_code is not None) is refused
    assert agent(handle).controlling is refused
    assert len(handle.all(SelectedPair)) == (0 if refused else 1)


async def test_a_refused_role_is_given_up(lite: tuple[Client, Handle], clock: FakeClock) -> None:
    client, handle = lite
    client.disputes_roles = True
    handle.peer.add_remote_candidate(client.own_candidate)
    client.drain()
    tie_breaker = client.probes[0].controlling
    client.disputes_roles = False
    client.pump()
    again = client.probes[1]
    assert again.controlling is None
    assert again.controlled not in {None, tie_breaker}
    client.check(controlling=1)
    client.pump()
    assert len(handle.all(SelectedPair)) == 1


async def test_without_consent_the_call_ends_whatever_is_sent(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    client.answers_probes = False
    for second in range(29):
        clock.advance(1.0)
        client.check(nominate=False)
        client.send_rtp("audio", second, second * 960)
        client.pump()
        assert handle.hangup() is None
    clock.advance(2.0)
    assert handle.hangup() == "ICE failed"
    assert handle.all(IceState)[-1].ice == "failed"


async def test_a_call_outlives_twelve_seconds_without_a_packet(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    clock.advance(12.0)
    assert handle.all(IceState)[-1].ice == "disconnected"
    client.drain()
    client.check(nominate=False)
    client.pump()
    assert [state.ice for state in handle.all(IceState)][-3:] == ["disconnected", "connected", "ready"]
    for _ in range(3):
        clock.advance(5.0)
        client.pump()
    assert handle.hangup() is None


async def test_a_client_that_moves_is_followed(call: Call, clock: FakeClock) -> None:
    client, handle = call()
    before = client.address
    client.move()
    client.check()
    client.pump()
    ports = [pair.candidates.remote.port for pair in handle.all(SelectedPair) if pair.candidates]
    assert ports == [before[1], client.address[1]]
    client.send_rtp("audio", 1, 0)
    client.pump()
    assert len(client.packets) == 1


async def test_a_controlled_client_that_moves_is_followed(lite: tuple[Client, Handle], clock: FakeClock) -> None:
    client, handle = lite
    handle.peer.add_remote_candidate(client.own_candidate)
    client.pump()
    client.start_dtls()
    client.pump()
    old = client.socket
    client.socket = client._bound()
    client.check(nominate=False, controlling=None, controlled=1)
    client.pump()
    # Not at once: the way in use may be as good as ever.
    assert len(handle.all(SelectedPair)) == 1
    for _ in range(3):
        clock.advance(1.0)
        client.check(nominate=False, controlling=None, controlled=1)
        client.pump()
    ports = [pair.candidates.remote.port for pair in handle.all(SelectedPair) if pair.candidates]
    assert ports == [old.getsockname()[1], client.address[1]]
    old.close()


async def test_our_end_is_called_what_the_peer_sees(call: Call) -> None:
    client, handle = call(connect=False)
    client.mapped = ("203.0.113.9", 41_000)
    client.connect()
    (pair,) = handle.all(SelectedPair)
    assert pair.pair.startswith("203.0.113.9:41000 [prflx,udp] <-> ")


async def test_many_candidates_are_checked_in_turn(call: Call, clock: FakeClock) -> None:
    _, handle = call(connect=False, trickle=True)
    for number in range(20):
        handle.peer.add_remote_candidate(f"1 1 udp {1000 + number} 127.0.0.{1 + number} 9 typ host")
    pairs = list(handle.peer.ice.pairs)
    assert len(pairs) == 16
    for _ in range(100):
        before = sum(pair.requests_sent for pair in pairs)
        clock.advance(0.5)
        assert sum(pair.requests_sent for pair in pairs) - before <= CHECKS_PER_TICK
        if handle.peer.closed:
            break
    assert handle.hangup() == "ICE failed"


async def test_a_restart_is_nominated_anew(call: Call) -> None:
    client, handle = call()
    client.ufrag, client.pwd = "restarted", "0123456789012345678901234"
    client.take(handle.answer(client.offer()))
    client.check()
    client.pump()
    assert [state.ice for state in handle.all(IceState)][-4:] == ["gathering", "connecting", "connected", "ready"]
    assert handle.peer.up
