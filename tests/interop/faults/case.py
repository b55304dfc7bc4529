"""A row of the matrix: a call that goes wrong (or well) on purpose, and the verdict that it must get."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from msgspec import Struct

from tests.interop.faults.house import House, JsonObject
from tests.interop.faults.kept import keep
from tests.interop.faults.phone import Phone
from tests.peers.caller import Caller, WebSocketCaller, caller

logger = logging.getLogger(__name__)

LIVE_S = 26.0
"""For a verdict of a call that is on: the longest wait of a rule, twice the time between two looks, and some load."""
FINAL_S = 12.0
BUSY = "high_jitter"


class Line:
    """What a case plays on: an API connection with a handle, and the phones that it uses."""

    def __init__(self, house: House, api: Caller, stack: AsyncExitStack) -> None:
        self.house = house
        self._stack = stack
        self.api = api
        self.session_id = 0
        self.phones: list[Phone] = []

    def phone(self, *tracks: Any, **more: Any) -> Phone:
        made = Phone(*tracks, **more)
        self.phones.append(made)
        return made

    async def begin(self, plugin: str = "janus.plugin.echotest") -> None:
        self.api.ids["session_id"] = self.session_id = (await self.api.ask("create"))["data"]["id"]
        self.house.recording.start_rule(f"session {self.session_id}")
        self.api.began.set()
        self.api.ids["handle_id"] = (await self.api.ask("attach", plugin=plugin))["data"]["id"]

    async def another(self, plugin: str) -> "Line":
        """Somebody else's, for as long as this one's."""
        line = await self._stack.enter_async_context(_line(self.house))
        await line.begin(plugin)
        return line

    async def drop(self) -> None:
        """Lose the API connection without a word."""
        assert isinstance(self.api, WebSocketCaller)
        await self.api._socket.close()

    async def up(self) -> None:
        """The PeerConnection is up, as the server says."""
        async with asyncio.timeout(15):
            while (await self.api.told.get())["janus"] != "webrtcup":
                continue


Play = Callable[[Line], Awaitable[None]]


async def leave(line: Line) -> None:
    """As most applications do."""
    line.api.ids.pop("handle_id", None)
    await line.api.ask("destroy")


async def stay(_line: Line) -> None:
    """It ends by itself."""


class Case(Struct, frozen=True, kw_only=True):
    """``play`` sets the call up; it ends by ``end`` once it has been judged live."""

    name: str
    play: Play
    code: str
    """Of the final verdict."""
    live: str | None = None
    """The code that must be told while the call is on; ``None``: it is over before anybody can."""
    end: Play = leave
    plugin: str = "janus.plugin.echotest"
    also: tuple[str, ...] = ()
    wire: str | None = None
    """What the packets alone must tell, without signalling and keys; ``None``: they can't know."""


class Outcome(Struct):
    """What became of a case."""

    live: list[JsonObject]
    final: JsonObject
    recorded: JsonObject = {}
    wire: str | None = None


def said(verdict: JsonObject, wanted: str | None) -> str | None:
    """The code, or the wanted one where it stands behind the jitter that a busy machine gives to honest clients."""
    code = verdict.get("code")
    if code == BUSY and wanted is not None and (wanted in verdict["also"] or wanted in {"healthy", "ended_by_app"}):
        return wanted
    return code


@asynccontextmanager
async def _line(house: House) -> AsyncIterator[Line]:
    async with caller(house.server, "websocket") as api, AsyncExitStack() as stack:
        line = Line(house, api, stack)
        try:
            yield line
        finally:
            for phone in line.phones:
                await phone.close()


async def _run(house: House, case: Case) -> Outcome:
    async with _line(house) as line:
        await line.begin(case.plugin)
        await case.play(line)
        if case.live is not None:
            await house.heard(
                line.session_id, lambda one: said(one, case.live) == case.live and not one["final"], LIVE_S
            )
        await case.end(line)
        await house.heard(line.session_id, lambda one: bool(one["final"]), FINAL_S)
        told = house.verdicts.get(line.session_id, [])
        return Outcome([one for one in told if not one["final"]], house.final(line.session_id) or {})


async def _run_within_time(house: House, case: Case) -> Outcome:
    try:
        return await _run(house, case)
    except TimeoutError:
        return Outcome([], {})


async def run(house: House, cases: Sequence[Case]) -> dict[str, Outcome]:
    """Play all of them at once, then read their recordings; once more what others at once may have spoilt."""
    outcomes = await _play(house, cases)
    spoilt = [case for case in cases if _found(case, outcomes[case.name]) != _wanted(case)]
    if spoilt and len(spoilt) <= max(1, len(cases) // 4):
        for case in spoilt:
            logger.warning("%s: %s, played again", case.name, _found(case, outcomes[case.name]))
        outcomes |= await _play(house, spoilt)
    return outcomes


async def _play(house: House, cases: Sequence[Case]) -> dict[str, Outcome]:
    done = await asyncio.gather(*(_run_within_time(house, case) for case in cases))
    outcomes = dict(zip((case.name for case in cases), done, strict=True))
    replayed = await house.replayed()
    for case in cases:
        for code in {case.code, case.wire or case.code}:
            keep(house.bundle(outcomes[case.name].final.get("correlation_id", "")), code, case.name)
    for outcome in outcomes.values():
        explained, outcome.wire = replayed.get(outcome.final.get("correlation_id", ""), ({}, None))
        outcome.recorded = explained.get("verdict", {})
    for case in cases:
        outcome = outcomes[case.name]
        live = [one["code"] for one in outcome.live]
        final, recorded = outcome.final.get("code"), outcome.recorded.get("code")
        logger.info("%s: %s, live %s, recorded %s, packets alone %s", case.name, final, live, recorded, outcome.wire)
    return outcomes


Judged = tuple[str | None, str | None, str | None, str | None, bool]
"""The codes live, at the end, from the recording, from the packets alone; and is there what must stand beside them?"""


def _wanted(case: Case) -> Judged:
    return (case.live, case.code, case.code, case.wire, True)


def _found(case: Case, outcome: Outcome) -> Judged:
    live = [said(one, case.live) for one in outcome.live]
    return (
        case.live if case.live in live else live[-1] if case.live and live else None,
        said(outcome.final, case.code),
        said(outcome.recorded, case.code),
        outcome.wire if case.wire is not None else None,
        set(case.also) <= {*outcome.recorded.get("also", ())},
    )


def check(cases: Sequence[Case], outcomes: dict[str, Outcome]) -> None:
    """Every case, live and from its recording, in one comparison of those that differ."""
    both = {case.name: (_found(case, outcomes[case.name]), _wanted(case)) for case in cases}
    wrong = {name: f"{found}, wanted {wanted}" for name, (found, wanted) in both.items() if found != wanted}
    assert not wrong, wrong
