"""Faults made on purpose between the real media engine and a client of sockets, on a clock that moves by hand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from appliance.core import events as e
from appliance.diagnosis.explain import Explanation, explain
from appliance.media.engine import Engine
from appliance.media.identity import DtlsIdentity
from appliance.wire import rtcp
from tests.clock import FakeClock
from tests.media.client import Client
from tests.media.harness import Handle, engine

CLOSED_PORT = "candidate:1 1 udp 2130706431 127.0.0.1 9 typ host"
MDNS = "candidate:1 1 udp 2130706431 0b1c2d3e-1111-4222-8333-444455556666.local 50000 typ host"


class Scene:
    """One call: both sides, and what the core and the engine told of it."""

    def __init__(self, server: Engine, clock: FakeClock, **options: Any) -> None:
        self.clock = clock
        self.events: list[e.Event] = []
        self.client = Client(server, clock, **options)
        self.handle = Handle(server)
        self.handle.on_fact = self.tell
        self.sequence = 0
        self.tell(e.Handle(name="attached", plugin="janus.plugin.echotest"))

    def tell(self, body: e.Body) -> None:
        self.events.append(e.event(body, emitter="gw", timestamp=self.clock.wall_us(), session_id=7, handle_id=9))

    def negotiate(self, *, trickle: bool = False) -> "Scene":
        """What the core does with an offer."""
        offer = self.client.offer()
        self.tell(e.Jsep(owner="remote", jsep=e.SessionDescription("offer", offer)))
        answer = self.handle.answer(offer, trickle=trickle)
        self.tell(e.Jsep(owner="local", jsep=e.SessionDescription("answer", answer)))
        self.client.take(answer)
        return self

    def up(self) -> "Scene":
        self.negotiate().client.connect()
        return self

    def run(self, seconds: float, each: Callable[[], None] = lambda: None, *, step: float = 0.02) -> "Scene":
        """Let time pass; ``each`` is what the client does meanwhile."""
        for _ in range(round(seconds / step)):
            each()
            self.client.pump()
            self.clock.advance(step)
        self.client.pump()
        return self

    def talk(self, *, lose: Callable[[int], bool] = lambda _number: False, kinds: tuple[str, ...] = ()) -> None:
        """20 ms of audio, and of video."""
        self.sequence += 1
        for kind in kinds or self.client.kinds:
            if not lose(self.sequence):
                clock_rate = 960 if kind == "audio" else 1800
                self.client.send_rtp(kind, self.sequence, clock_rate * self.sequence)

    def hangup(self, reason: str = "Janus API") -> "Scene":
        self.handle.peer.close(reason)
        self.client.pump()
        return self

    def explained(self, **more: Any) -> Explanation:
        return explain(self.events, now_us=self.clock.wall_us(), **more)

    @property
    def found(self) -> tuple[str, str]:
        verdict = self.explained().verdict
        return verdict.code, verdict.confidence


Stage = Callable[..., Scene]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest_asyncio.fixture
async def scene(clock: FakeClock) -> AsyncIterator[Stage]:
    server = await engine(clock)
    for port in server.ports:
        asyncio.get_running_loop().remove_reader(port.fd)
    scenes: list[Scene] = []

    def place(**options: Any) -> Scene:
        scenes.append(Scene(server, clock, **options))
        return scenes[-1]

    yield place
    for each in scenes:
        each.client.close()
    await server.stop()


async def test_a_good_call_is_a_good_call(scene: Stage) -> None:
    stage = scene().up()
    stage.run(12, stage.talk)
    live = stage.explained().verdict
    assert (live.code, live.final) == ("healthy", False)
    assert stage.hangup().found == ("ended_by_app", "certain")
    found = stage.explained()
    assert [phase.outcome for phase in found.phases] == ["ok"] * 7
    assert found.dtls is not None
    assert found.dtls.fingerprint_received is not None
    (pair,) = [pair for pair in found.pairs if pair.selected]
    assert pair.requests_received
    assert pair.responses_sent
    assert all(track.loss_in == 0 for track in found.tracks)


async def test_nothing_gets_through(scene: Stage) -> None:
    stage = scene(candidates=(CLOSED_PORT,)).negotiate().run(6)
    assert stage.explained().verdict.code == "udp_blocked_or_firewall"
    assert stage.run(30).found == ("udp_blocked_or_firewall", "certain")
    assert stage.explained().hangup_reason == "ICE failed"


async def test_the_clients_packets_come_and_ours_do_not_arrive(scene: Stage) -> None:
    """Its checks are answered, but it never sees it, and so does not nominate."""
    stage = scene(candidates=(CLOSED_PORT,)).negotiate()
    stage.client.answers_probes = False
    stage.run(35, lambda: stage.client.check(nominate=False), step=0.5)
    assert stage.found == ("one_way_network", "certain")


async def test_both_ways_are_open_and_the_client_does_not_choose(scene: Stage) -> None:
    stage = scene().negotiate()
    stage.run(35, lambda: stage.client.check(nominate=False), step=0.5)
    assert stage.found[0] == "ice_failed_unknown"


async def test_no_candidate_ever(scene: Stage) -> None:
    stage = scene().negotiate(trickle=True).run(12)
    assert stage.explained().verdict.code == "no_remote_candidates"
    stage.run(30)
    assert stage.found == ("no_remote_candidates", "certain")


async def test_nothing_but_mdns_names(scene: Stage) -> None:
    assert scene(candidates=(MDNS,)).negotiate().run(35).found[0] == "mdns_only"


async def test_mdns_names_and_packets_that_arrive(scene: Stage) -> None:
    """A public server sees where the client is: the names are no matter."""
    stage = scene(candidates=(MDNS,)).up()
    assert stage.run(3, stage.talk).hangup().found == ("ended_by_app", "certain")


async def test_the_password_of_another_exchange(scene: Stage) -> None:
    stage = scene(candidates=(CLOSED_PORT,)).negotiate()
    stage.client.answers_probes = False
    stage.run(35, lambda: stage.client.check(pwd="not the one in the answer"), step=0.5)
    assert stage.found == ("ice_credentials_mismatch", "certain")


async def test_stun_passes_and_dtls_does_not(scene: Stage) -> None:
    stage = scene().negotiate()
    stage.client.check()
    stage.run(11, stage.client.check, step=1)
    assert stage.explained().verdict.code == "dtls_no_response"
    assert stage.run(20, stage.client.check, step=1).found == ("dtls_no_response", "certain")
    assert [phase.name for phase in stage.explained().phases if phase.outcome == "failed"] == ["dtls"]


async def test_a_certificate_that_nobody_announced(scene: Stage) -> None:
    stage = scene(fingerprint=DtlsIdentity().fingerprint).negotiate()
    stage.client.check()
    stage.client.pump()
    stage.client.start_dtls()
    stage.run(2)
    assert stage.found == ("fingerprint_mismatch", "certain")


async def test_the_client_closes(scene: Stage) -> None:
    stage = scene().up()
    stage.run(5, stage.talk)
    assert stage.client.dtls is not None
    stage.client.dtls.close()
    stage.client.pump()
    assert stage.found == ("normal_close", "certain")


async def test_up_and_not_a_packet(scene: Stage) -> None:
    stage = scene().up()
    stage.run(8, stage.client.check, step=0.5)
    live = stage.explained().verdict
    assert (live.code, live.actor) == ("no_media_from_client", "client")
    assert stage.hangup().found == ("no_media_from_client", "certain")


async def test_a_client_that_only_listens_is_no_fault(scene: Stage) -> None:
    stage = scene(directions=("recvonly", "recvonly")).up()
    stage.run(12, stage.client.check, step=0.5)
    assert stage.explained().verdict.severity != "fault"
    assert stage.hangup().explained().verdict.severity != "fault"


async def test_data_alone_is_no_fault(scene: Stage) -> None:
    stage = scene(kinds=("data",)).up()
    stage.run(12, stage.client.check, step=0.5)
    assert stage.explained().verdict.code == "healthy"
    assert stage.hangup().found[0] == "ended_by_app"


async def test_audio_comes_and_video_does_not(scene: Stage) -> None:
    stage = scene().up()
    stage.run(8, lambda: stage.talk(kinds=("audio",)))
    assert stage.hangup().found[0] == "no_video_from_client"


async def test_the_client_vanishes(scene: Stage) -> None:
    stage = scene().up()
    stage.run(5, stage.talk)
    stage.client.answers_probes = False
    stage.run(11)
    assert stage.explained().verdict.code == "network_lost"
    assert stage.run(25).found == ("network_lost", "likely")
    assert stage.explained().hangup_reason == "ICE failed"


async def test_media_stop_while_the_client_is_there(scene: Stage) -> None:
    stage = scene().up()
    stage.run(5, stage.talk)
    stage.run(12, stage.client.check, step=0.5)
    assert stage.explained().verdict.code == "media_stopped"
    found = stage.hangup().explained().verdict
    assert (found.code, found.confidence, found.severity) == ("media_stopped", "likely", "notice")


async def test_a_black_out_that_passes(scene: Stage) -> None:
    stage = scene(kinds=("audio",)).up()
    stage.run(8, stage.talk)
    stage.client.answers_probes = False
    stage.run(8, lambda: stage.talk(lose=lambda _number: True))
    stage.client.answers_probes = True
    stage.run(8, stage.talk)
    assert stage.hangup().found == ("network_interrupted", "likely")


async def test_loss_on_the_way_to_us(scene: Stage) -> None:
    stage = scene(kinds=("audio",)).up()
    stage.run(5, stage.talk)
    stage.run(10, lambda: stage.talk(lose=lambda number: number % 8 == 0))
    assert stage.explained().verdict.code == "uplink_loss"
    stage.run(12, stage.talk)
    assert stage.explained().verdict.code == "healthy"
    found = stage.hangup().explained().verdict
    assert (found.code, found.also, found.confidence) == ("uplink_loss", (), "certain")
    assert 11 < float(found.detail["percent"] or 0) < 14


async def test_loss_on_the_way_to_the_client(scene: Stage) -> None:
    """Its receiver reports say so."""
    stage = scene(kinds=("audio",)).up()
    lost = 0

    def each() -> None:
        nonlocal lost
        stage.talk()
        if stage.sequence % 50 == 0:
            lost += 6
            highest = stage.client.packets[-1][0].sequence_number if stage.client.packets else 0
            block = rtcp.ReportBlock(
                ssrc=stage.client.ssrc_of("audio"), fraction_lost=30, packets_lost=lost, highest_sequence=highest,
                jitter=10, lsr=0, dlsr=0,
            )  # fmt: skip
            stage.client.send_rtcp(rtcp.ReceiverReport(ssrc=stage.client.ssrcs["audio"], reports=(block,)))

    stage.run(15, each)
    found = stage.hangup().explained().verdict
    assert (found.code, found.also) == ("downlink_loss", ())
    assert 10 < float(found.detail["percent"] or 0) < 14
