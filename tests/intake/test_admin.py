"""Polls of a made-up server: what is asked, how often, and what trouble does."""

import asyncio
from collections.abc import Callable

import pytest

from appliance.core.intake import AsksServers
from appliance.intake.admin import AdminIntake, AdminIntakeConfig
from appliance.intake.poll import Poll
from appliance.net.admin_client import AdminRefusedError
from tests.intake.asked import ECHO, NAME, FakeServer, World
from tests.intake.test_announce import OVER, UP


class Polled(World):
    def __init__(self, *, max_requests: int = 100, requests_per_second: float = 1e6) -> None:
        super().__init__()
        self.api = FakeServer()
        self.pauses: list[float] = []
        self.poll = Poll(
            self.api,
            self.server,
            self.clock,
            self.deliver,
            interval_s=30,
            requests_per_second=requests_per_second,
            max_requests=max_requests,
            pause=self.pause,
        )

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.advance(seconds)
        await asyncio.sleep(0)

    async def polls(self, count: int = 1) -> list[bool]:
        found = []
        for _ in range(count):
            self.clock.advance(30)
            found.append(await self.poll.once())
        return found

    def asked(self, verb: str) -> list[tuple[int, ...]]:
        return [ids for each, ids in self.api.asked if each == verb]


@pytest.fixture
def world() -> Polled:
    return Polled()


async def test_calls_under_way_are_announced_once(world: Polled) -> None:
    world.api.has = {1: {10: UP, 11: OVER}, 2: {}}
    await world.polls(1)
    assert world.told == [] and world.poll.off == {"sessions": 2, "handles": 2}
    await world.polls(3)
    words = world.words()
    assert words[:3] == [("created", 1, None), ("created", 2, None), ("attached", 1, 10)]
    assert words.count(("webrtcup", 1, 10)) == 1 and words[-1] == ("attached", 1, 11)
    assert sum(world.poll.inferred.values()) == len(words)
    assert world.poll.off == {"sessions": 0, "handles": 0} and world.poll.polls["ok"] == 4


async def test_what_is_lost_is_ended_in_order(world: Polled) -> None:
    world.session(1)
    world.handle(1, 10)
    world.offer(1, 10)
    world.session(2)
    world.handle(2, 20)
    world.api.has = {2: {}}
    await world.polls(2)
    assert world.words() == [("hangup", 1, 10), ("detached", 1, 10), ("destroyed", 1, None), ("detached", 2, 20)]
    assert world.poll.inferred == {"hangup": 1, "detached": 2, "destroyed": 1}


async def test_a_lost_hangup_is_found(world: Polled) -> None:
    world.session(1)
    world.handle(1, 10)
    world.offer(1, 10)
    world.api.has = {1: {10: UP}}
    await world.polls(2)
    world.api.has[1][10] = OVER
    await world.polls(1)
    assert world.told == []
    await world.polls(2)
    assert world.words() == [("hangup", 1, 10)]


TROUBLE: list[tuple[str, Exception, str]] = [
    ("info", ConnectionError("no answer within 5 s"), "failed"),
    ("list_sessions", AdminRefusedError(403, "Unauthorized request"), "refused"),
    ("list_sessions", ConnectionError("it answers with what is no JSON object"), "failed"),
    ("list_handles", ConnectionError("connection reset"), "failed"),
    ("list_handles", AdminRefusedError(490, "something else"), "refused"),
    ("list_sessions", ZeroDivisionError(), "failed"),
]


@pytest.mark.parametrize(("verb", "problem", "outcome"), TROUBLE)
async def test_a_poll_that_failed_is_no_evidence(world: Polled, verb: str, problem: Exception, outcome: str) -> None:
    world.session(1)
    world.handle(1, 10)
    world.api.has = {1: {}, 2: {}}
    assert await world.polls(1) == [True]
    world.api.trouble = {verb: problem}
    assert await world.polls(3) == [False] * 3
    assert world.told == [] and world.poll.polls == dict.fromkeys(world.poll.polls, 0) | {"ok": 1, outcome: 3}
    assert not world.poll.answers
    world.api.trouble = {}
    assert await world.polls(1) == [True]
    assert ("detached", 1, 10) in world.words()


@pytest.mark.parametrize("answer", [None, "x", [1.5], [True], [-1], [2**60], [[1]]])
async def test_what_is_no_list_is_no_evidence(world: Polled, answer: object, monkeypatch: pytest.MonkeyPatch) -> None:
    world.session(1)

    async def ask(verb: str, *ids: int, **arguments: object) -> dict[str, object]:
        return {"server-name": NAME} if verb == "info" else {"sessions": answer}

    monkeypatch.setattr(world.api, "ask", ask)
    assert await world.polls(3) == [False] * 3
    assert world.told == []


@pytest.mark.parametrize("sessions,handles", [(4, 1), (2, 3)])
async def test_more_than_is_followed_is_compared_with_nothing(
    world: Polled, sessions: int, handles: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.intake.poll.MAX_SESSIONS", 3)
    monkeypatch.setattr("appliance.intake.poll.MAX_HANDLES", 5)
    world.api.has = {session: dict.fromkeys(range(handles), UP) for session in range(sessions)}
    assert await world.polls(2) == [False, False]
    assert world.told == [] and world.poll.polls["failed"] == 2
    world.api.has = {1: {10: UP}}
    assert await world.polls(2) == [True, True] and world.told


async def test_others_have_their_turn_between_the_sessions_that_are_announced(
    world: Polled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.intake.poll.YIELD_EVERY", 10)
    world.api.has = {session: {} for session in range(95)}
    turns = list[int]()

    async def other() -> None:
        while len(world.told) < 95:
            turns.append(len(world.told))
            await asyncio.sleep(0)

    waiting = asyncio.create_task(other())
    await world.polls(2)
    await waiting
    assert {10, 50, 90} <= set(turns)


async def test_a_server_with_another_name_is_compared_with_nothing(
    world: Polled, caplog: pytest.LogCaptureFixture
) -> None:
    world.session(1)
    world.api.calls_itself = "MyJanusInstance"
    assert await world.polls(3) == [False] * 3
    assert world.poll.polls["other_name"] == 3 and world.told == []
    assert [record.message for record in caplog.records] == [
        "intake.admin: janus-ref: its events are those of 'MyJanusInstance', so console.admin should have name = that,"
        " or its server_name be changed; nothing is made of that"
    ]


async def test_a_session_that_goes_while_it_is_asked_is_no_trouble(
    world: Polled, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.session(1)
    world.handle(1, 10)
    world.api.has = {1: {10: UP}}
    ask = world.api.ask

    async def gone(verb: str, *ids: int, **arguments: object) -> dict[str, object]:
        if verb == "list_handles":
            raise AdminRefusedError(458, "No such session")
        return await ask(verb, *ids)

    monkeypatch.setattr(world.api, "ask", gone)
    assert await world.polls(3) == [True] * 3
    assert world.told == []


async def test_a_session_whose_end_is_told_while_its_handles_are_asked_is_not_announced(
    world: Polled, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.api.has = {1: {10: UP}, 2: {20: UP}}
    await world.polls(1)
    ask = world.api.ask

    async def told(verb: str, *ids: int, **arguments: object) -> dict[str, object]:
        answer = await ask(verb, *ids)
        if verb == "handle_info" and ids == (1, 10):
            world.end(1, 10)
        return answer

    monkeypatch.setattr(world.api, "ask", told)
    await world.polls(1)
    assert {session for _, session, _ in world.words()} == {2}


async def test_a_poll_makes_so_many_requests_and_the_next_goes_on() -> None:
    world = Polled(max_requests=12)
    world.api.has = {number: {100 + number: OVER} for number in range(1, 31)}
    asked: list[int] = []
    for _ in range(6):
        world.api.asked.clear()
        await world.polls(1)
        assert len(world.api.asked) <= 12
        asked += [ids[0] for ids in world.asked("list_handles")]
    assert sorted(asked) == list(range(1, 31))
    await world.polls(12)
    assert world.server.handles == 30 and world.poll.off == {"sessions": 0, "handles": 0}


async def test_requests_are_spread_over_time() -> None:
    world = Polled(requests_per_second=10)
    world.api.has = {number: {} for number in range(1, 31)}
    began = world.clock.monotonic() + 30
    await world.polls(1)
    assert len(world.api.asked) == 32
    assert world.clock.monotonic() - began >= 3.0


@pytest.mark.parametrize(
    ("trouble", "longer"), [({}, False), ({"info": ConnectionError("gone")}, True)], ids=["well", "down"]
)
async def test_a_server_in_trouble_is_asked_less_often(
    world: Polled, trouble: dict[str, Exception], longer: bool
) -> None:
    world.api.trouble = trouble
    task = asyncio.create_task(world.poll.run())
    await until(lambda: len(world.pauses) >= 8)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (max(world.pauses) > 300) is longer
    assert max(world.pauses) <= 600


async def test_a_full_book_announces_nothing(world: Polled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.core.alive.MAX_SESSIONS", 1)
    world.session(1)
    world.api.has = {1: {}, 2: {}, 3: {}}
    await world.polls(4)
    assert world.told == [] and world.poll.off["sessions"] == 2


WRONG: list[tuple[AdminIntakeConfig, str]] = [
    (AdminIntakeConfig(interval_s=0), "interval_s: 0 came"),
    (AdminIntakeConfig(requests_per_second=0), "requests_per_second: 0 came"),
    (AdminIntakeConfig(max_requests=3), "max_requests: 3 came"),
    (AdminIntakeConfig(servers=["other"]), "servers: 'other': console.admin has none"),
]


@pytest.mark.parametrize(("config", "words"), WRONG)
def test_settings_that_can_not_be_meant(config: AdminIntakeConfig, words: str) -> None:
    world = World()
    with pytest.raises(ValueError, match=words):
        AdminIntake(config, world.clock).lend([FakeServer()], world.alive)


def test_there_must_be_somebody_to_ask() -> None:
    world = World()
    with pytest.raises(ValueError, match=r"console\.admin names none"):
        AdminIntake(AdminIntakeConfig(), world.clock).lend([], world.alive)


async def test_the_intake_asks_each_of_them_and_counts() -> None:
    world = World()
    intake = AdminIntake(AdminIntakeConfig(servers=["b", NAME], interval_s=0.001), world.clock)
    assert isinstance(intake, AsksServers)
    servers = [FakeServer(name) for name in (NAME, "b", "c")]
    servers[0].has = {1: {10: OVER | {"plugin": ECHO}}}
    servers[1].trouble = {"info": ConnectionError("gone")}
    intake.lend(servers, world.alive)
    await intake.start(world.deliver)

    def count(name: str, **labels: str) -> float:
        return sum(
            each.value for each in intake.measure() if each.name == name and each.labels.items() >= labels.items()
        )

    await until(lambda: count("admin_polls_total", outcome="failed") >= 2 and len(world.told) >= 2)
    await intake.stop()
    assert [server.closed for server in servers] == [True, True, False] and not servers[2].asked
    assert world.words() == [("created", 1, None), ("attached", 1, 10)]
    assert count("admin_inferred_total", what="attached") == 1
    assert count("intake_events_total", intake="admin", outcome="ok") == 2
    assert count("intake_connected") == 1


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110  # nobody tells when it does
            await asyncio.sleep(0.001)
