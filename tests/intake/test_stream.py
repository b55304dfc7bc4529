"""The collector's end of the link, with gateways that are real, broken or hostile."""

import asyncio
import socket
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.core.events import Event, EventType, Gap, Plugin, encode_msgpack, event
from appliance.intake import stream
from appliance.intake.stream import HELLO_SECONDS, StreamConfig, StreamIntake
from appliance.net.link import MAX_HELLO, Ack, Events, Hello, LinkError, Replay, Request, Response, Welcome
from appliance.net.link_connection import RequestRefusedError
from tests.clock import FakeClock
from tests.intake.links import RawPeer, collector, gateway, socket_address, state, times, until

HELLO = Hello(v=1, boot="one", server="gw")


def frame(seq: int, *numbers: int) -> Events:
    return Events(seq=seq, events=[encode_msgpack(state(n)) for n in numbers])


async def greeted(address: str, hello: Hello = HELLO) -> RawPeer:
    peer = await RawPeer.dial(address)
    peer.send(hello)
    assert isinstance(await peer.receive(), Welcome)
    return peer


def gaps(got: list[Event]) -> list[tuple[str, dict[str, int]]]:
    return [(item.body.reason, item.body.dropped) for item in got if isinstance(item.body, Gap)]


async def test_events_come_and_are_acknowledged() -> None:
    got: list[Event] = []
    with socket_address() as address:
        async with collector(address, got.append) as intake:
            peer = await greeted(address)
            peer.send(frame(0, 1, 2), frame(2, 3))
            assert [await peer.receive(), await peer.receive()] == [Ack(next=2), Ack(next=3)]
            assert intake.gateways == ["gw"]
            counters = {c.labels.get("outcome"): c.value for c in intake.measure()}
            assert counters["ok"] == 3 and counters["malformed"] == 0
            await peer.close()
            await until(lambda: intake.gateways == [])
    assert times(got) == [1, 2, 3]
    assert gaps(got) == []


async def test_a_jump_is_a_gap_and_what_came_before_is_dropped() -> None:
    got: list[Event] = []
    with socket_address() as address:
        async with collector(address, got.append):
            peer = await greeted(address)
            peer.send(frame(0, 10, 11), frame(1, 11, 12), frame(7, 17), frame(0, 10))
            acks = [await peer.receive() for _ in range(4)]
            await peer.close()
    assert acks == [Ack(next=2), Ack(next=3), Ack(next=8), Ack(next=8)]
    assert times([item for item in got if item.type != EventType.CORE]) == [10, 11, 12, 17]
    assert gaps(got) == [("sequence", {"other": 4})]
    assert isinstance(got[3].body, Gap), "before the event that it precedes"
    assert got[3].emitter == "gw"


async def test_a_sequence_number_beyond_all_measure_ends_nothing() -> None:
    got: list[Event] = []
    with socket_address() as address:
        async with collector(address, got.append) as intake:
            hostile, other = await greeted(address), await greeted(address, Hello(v=1, boot="one", server="other"))
            hostile.send(*(frame(seq, 1) for seq in (2**64 - 1, 2**53, -1)), frame(2**53 - 1, 2))
            assert await hostile.receive() == Ack(next=2**53), "after which all else can still be told"
            other.send(frame(0, 3))
            assert await other.receive() == Ack(next=1)
            assert intake.gateways == ["gw", "other"]
            assert [c.value for c in intake.measure() if c.labels.get("outcome") == "malformed"] == [3]
            await hostile.close()
            await other.close()
    assert times([item for item in got if item.type != EventType.CORE]) == [2, 3]


@pytest.mark.parametrize("hello", [Hello(v=1, boot="b" * 1001, server="gw"), Hello(v=1, boot="b", server="s" * 1001)])
async def test_a_name_that_is_too_long_to_remember_is_no_hello(hello: Hello) -> None:
    with socket_address() as address:
        async with collector(address, lambda item: None) as intake:
            peer = await RawPeer.dial(address)
            peer.send(hello, frame(0, 1))
            assert await peer.receive() is None
            assert intake.gateways == []
            await peer.close()


async def test_who_has_not_said_hello_gets_no_memory() -> None:
    got: list[Event] = []
    big = Events(seq=0, events=[encode_msgpack(state(1)), bytes(MAX_HELLO)])
    with socket_address() as address:
        async with collector(address, got.append, token="a long secret") as intake:
            stranger = await RawPeer.dial(address)
            stranger.send(big)
            assert await stranger.receive() is None, "at once, and not once it has all come"
            peer = await greeted(address, Hello(v=1, boot="one", server="gw", token="a long secret"))
            peer.send(big)
            assert await peer.receive() == Ack(next=2)
            assert intake.gateways == ["gw"]
            await stranger.close()
            await peer.close()
    assert times(got) == [1]


async def test_a_gateway_that_started_anew_is_a_gap() -> None:
    got: list[Event] = []
    with socket_address() as address:
        async with collector(address, got.append):
            peer = await greeted(address)
            peer.send(frame(0, 1))
            await peer.receive()
            await peer.close()
            peer = await greeted(address, Hello(v=1, boot="two", server="gw"))
            peer.send(frame(0, 2))
            await peer.receive()
            await peer.close()
    assert [item.timestamp for item in (got[0], got[2])] == [1, 2]
    assert gaps(got) == [("restart", {})]


async def test_a_gateway_that_comes_back_is_told_where_to_go_on() -> None:
    with socket_address() as address:
        async with collector(address, lambda item: None):
            peer = await greeted(address)
            peer.send(frame(0, 1, 2, 3))
            await peer.receive()
            await peer.close()
            peer = await RawPeer.dial(address)
            peer.send(HELLO)
            assert await peer.receive() == Welcome(v=1, next=3)
            await peer.close()


async def test_a_second_connection_of_a_gateway_takes_the_place_of_the_first() -> None:
    with socket_address() as address:
        async with collector(address, lambda item: None) as intake:
            first = await greeted(address)
            second = await greeted(address)
            assert await first.receive() is None
            assert intake.gateways == ["gw"]
            for peer in (first, second):
                await peer.close()


async def test_a_gateway_that_is_alive_keeps_its_name() -> None:
    with socket_address() as address:
        async with collector(address, lambda item: None) as intake, gateway(address, boot="one") as first:
            await until(lambda: first.connected)
            late = await RawPeer.dial(address)
            late.send(Hello(v=1, boot="two", server="gw"))
            answer = await late.receive()
            assert isinstance(answer, Welcome)
            assert answer.error == "another gateway named gw is connected; give each a server.name of its own"
            assert await late.receive() is None
            assert (first.connected, intake.gateways, intake.refused) == (True, ["gw"], 1)
            await late.close()


async def test_a_gateway_that_no_longer_answers_loses_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PROBE_SECONDS", 0.02)
    with socket_address() as address:
        async with collector(address, lambda item: None) as intake:
            dead = await greeted(address)
            late = await RawPeer.dial(address)
            late.send(Hello(v=1, boot="two", server="gw"))
            assert isinstance(await dead.receive(), Request)
            assert await late.receive() == Welcome(v=1, next=None)
            assert await dead.receive() is None
            assert intake.gateways == ["gw"]
            for peer in (dead, late):
                await peer.close()


async def test_of_two_newcomers_only_one_takes_the_place_of_the_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PROBE_SECONDS", 0.02)
    with socket_address() as address:
        async with collector(address, lambda item: None) as intake:
            dead = await greeted(address)
            async with gateway(address, boot="two") as second:
                await until(lambda: intake._contests)
                third = await RawPeer.dial(address)
                third.send(Hello(v=1, boot="three", server="gw"))
                answer = await third.receive()
                assert isinstance(answer, Welcome)
                assert answer.error.startswith("another gateway named gw is connected")
                assert second.connected
                await third.close()
            await dead.close()


async def test_many_gateways_at_once() -> None:
    got: list[Event] = []
    with socket_address() as address:
        async with collector(address, got.append) as intake:
            peers = [await greeted(address, Hello(v=1, boot="b", server=f"gw{n}")) for n in range(20)]
            for peer in peers:
                peer.send(frame(0, 1))
            await until(lambda: len(got) == 20)
            assert intake.gateways == sorted(f"gw{n}" for n in range(20))
            for peer in peers:
                await peer.close()


DEEP = event(Plugin(plugin="p", data={"a": [[[[[[[]]]]]]]}), emitter="gw", timestamp=1)


def nested(levels: int) -> bytes:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return encode_msgpack(event(Plugin(plugin="p", data={"a": value}), emitter="gw", timestamp=1))


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\xc1\xc1",
        b"\x80",
        b"\x91" * 100_000,
        nested(40),
        nested(700),
        encode_msgpack(DEEP)[:-1],
        encode_msgpack(replace(state(1), timestamp=2**63)),
        encode_msgpack(replace(state(1), session_id=2**64 - 1)),
        encode_msgpack(replace(state(1), handle_id=-1)),
    ],
    ids=["empty", "reserved", "no-fields", "bomb", "deep", "very-deep", "truncated", "late", "session", "handle"],
)
async def test_a_malformed_event_costs_itself_alone(bad: bytes) -> None:
    got: list[Event] = []
    with socket_address() as address:
        async with collector(address, got.append) as intake:
            peer = await greeted(address)
            good = encode_msgpack(state(1))
            peer.send(Events(seq=0, events=[good, bad, good, encode_msgpack(DEEP)]))
            assert await peer.receive() == Ack(next=4)
            assert (len(got), intake.received, intake.malformed) == (3, 3, 1)
            await peer.close()


async def test_a_malformed_frame_is_counted_and_the_connection_goes_on() -> None:
    got: list[Event] = []
    with socket_address() as address:
        async with collector(address, got.append) as intake:
            peer = await greeted(address)
            peer.writer.write(b"\0\0\0\x03\xc1\xc1\xc1" * 3)
            peer.send(frame(0, 1))
            assert await peer.receive() == Ack(next=1)
            assert [c.value for c in intake.measure() if c.labels.get("outcome") == "malformed"] == [3]
            await peer.close()
            await until(lambda: not intake.gateways)
            assert intake.malformed == 3, "kept when the connection has gone"
    assert len(got) == 1


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\xff" * 64, b"\0\x80\0\x01"])
async def test_garbage_ends_its_connection_and_no_other(garbage: bytes) -> None:
    got: list[Event] = []
    with socket_address() as address:
        async with collector(address, got.append):
            good, bad = await greeted(address), await RawPeer.dial(address)
            bad.writer.write(garbage)
            assert await bad.receive() is None
            good.send(frame(0, 1))
            assert await good.receive() == Ack(next=1)
            for peer in (good, bad):
                await peer.close()
    assert len(got) == 1


async def test_events_before_the_hello_end_the_connection() -> None:
    got: list[Event] = []
    with socket_address() as address:
        async with collector(address, got.append):
            peer = await RawPeer.dial(address)
            peer.send(frame(0, 1))
            assert await peer.receive() is None
            await peer.close()
    assert not got


async def test_who_says_nothing_is_not_waited_for() -> None:
    clock = FakeClock()
    with socket_address() as address:
        async with collector(address, lambda item: None, clock) as intake:
            peer = await RawPeer.dial(address)
            await until(lambda: len(intake._connections) == 1)
            clock.advance(HELLO_SECONDS)
            assert await peer.receive() is None
            await peer.close()


@pytest.mark.parametrize(
    ("hello", "error"),
    [
        (Hello(v=9, boot="b", server="gw", token="secret"), "version 9 came, wanted 1"),
        (Hello(v=1, boot="b", server="gw", token="guess"), "wrong token"),
        (Hello(v=1, boot="b", server="gw"), "wrong token"),
    ],
)
async def test_a_wrong_version_or_token_is_refused_in_words(
    hello: Hello, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    with socket_address() as address:
        async with collector(address, lambda item: None, token="secret") as intake:
            peer = await RawPeer.dial(address)
            peer.send(hello)
            assert await peer.receive() == Welcome(v=1, error=error)
            assert await peer.receive() is None
            assert intake.refused == 1 and intake.gateways == []
            await peer.close()
    assert "guess" not in caplog.text and "secret" not in caplog.text


async def test_the_right_token_opens() -> None:
    got: list[Event] = []
    with socket_address() as address:
        async with collector(address, got.append, token="secret"), gateway(address, token="secret") as link:
            await link.handle([state(1)])
            await until(lambda: got)


async def test_a_replay_is_marked_and_needs_no_number() -> None:
    got: list[Event] = []
    with socket_address() as address:
        async with collector(address, got.append):
            peer = await greeted(address)
            peer.send(Replay(events=[encode_msgpack(state(1))]), frame(40, 2))
            assert await peer.receive() == Ack(next=41)
            await peer.close()
    assert [(item.timestamp, item.replayed) for item in (got[0], got[2])] == [(1, True), (2, False)]
    assert gaps(got) == [("restart", {})]


async def test_a_gateway_is_asked_and_answers() -> None:
    def serve(verb: str, args: dict[str, object]) -> dict[str, object]:
        if verb != "describe":
            raise LookupError(f"{verb}: unknown")
        return {"handle": args["handle_id"]}

    with socket_address() as address:
        async with collector(address, lambda item: None) as intake, gateway(address) as link:
            link.on_request = serve
            await until(lambda: intake.gateways)
            many = [intake.request("gw", "describe", {"handle_id": n}) for n in range(20)]
            assert [answer["handle"] for answer in await asyncio.gather(*many)] == list(range(20))
            with pytest.raises(RequestRefusedError, match="hangup: unknown"):
                await intake.request("gw", "hangup")
            with pytest.raises(LookupError, match="no gateway 'other' is connected; there are: gw"):
                await intake.request("other", "describe")


async def test_a_gateway_that_does_not_answer_is_waited_for_no_longer_than_said() -> None:
    with socket_address() as address:
        async with collector(address, lambda item: None) as intake:
            peer = await greeted(address)
            with pytest.raises(TimeoutError):
                await intake.request("gw", "describe", within=0.01)
            asked = await peer.receive()
            assert isinstance(asked, Request)
            # Too late: nobody waits any more, and nothing breaks.
            peer.send(Response(id=asked.id, ok=True), frame(0, 1))
            assert await peer.receive() == Ack(next=1)
            waiting = asyncio.ensure_future(intake.request("gw", "describe"))
            await peer.receive()
            await peer.close()
            with pytest.raises(ConnectionError, match="link gw"):
                await waiting


async def test_only_its_owner_may_connect_and_a_second_collector_is_told() -> None:
    with socket_address() as address:
        path = Path(address.removeprefix("unix:"))
        async with collector(address, lambda item: None):
            assert path.stat().st_mode & 0o777 == 0o600  # noqa: ASYNC240 - a test's own folder
            second = StreamIntake(StreamConfig(), FakeClock())
            second.listen_on(address)
            with pytest.raises(OSError, match=rf"can't be listened for at {address}: somebody listens there already"):
                await second.start(lambda item: None)
        assert not path.exists()  # noqa: ASYNC240 - a test's own folder


async def test_it_works_over_tcp() -> None:
    got: list[Event] = []
    async with collector("tcp://127.0.0.1:0", got.append) as intake, gateway(intake.address) as link:
        await link.handle([state(1)])
        await until(lambda: got)


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        intake = StreamIntake(StreamConfig(), FakeClock())
        intake.listen_on(f"tcp://127.0.0.1:{port}")
        with pytest.raises(OSError, match=f"gateways can't be listened for at tcp://127.0.0.1:{port}"):
            await intake.start(lambda item: None)


async def test_an_address_that_others_can_reach_wants_a_token() -> None:
    intake = StreamIntake(StreamConfig(), FakeClock())
    intake.listen_on("tcp://0.0.0.0:0")
    with pytest.raises(PermissionError, match=r"tcp://0\.0\.0\.0:0: others can reach it; a token is wanted"):
        await intake.start(lambda item: None)
    for address, token in (("tcp://0.0.0.0:0", "secret"), ("tcp://localhost:0", "")):
        async with collector(address, lambda item: None, token=token):
            pass


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(LinkError, match="wanted unix:/path or tcp://host:port"):
        StreamIntake(StreamConfig(), FakeClock()).listen_on("collector")
