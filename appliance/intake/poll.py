"""One server's Admin API, asked again and again what the server has; what no event told is put into the stream.

A poll takes a request for each session, and one more for each handle that is looked at closer, so it is held back: so
many requests a second, so many a poll; sessions and handles that found no room are the first ones next time. A poll
in which a request failed is no evidence of anything, and the next comes later.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from appliance.core.alive import MAX_HANDLES, MAX_SESSIONS, LiveServer
from appliance.core.clock import Clock
from appliance.core.events import Event
from appliance.core.intake import AdminApi, Deliver
from appliance.intake.announce import announce_handle, announce_session, has_peer
from appliance.intake.dialect import MAX_ID
from appliance.intake.reconcile import Ends, HandleId, Lists, Reconciler
from appliance.net.admin_client import AdminRefusedError
from appliance.net.backoff import Backoff

logger = logging.getLogger(__name__)

SLOWEST_S = 600.0
"""Between polls of a server that does not answer."""
AT_ONCE = 4
"""Requests to one server."""
YIELD_EVERY = 500
"""Events after which others get their turn."""
NO_SESSION, NO_HANDLE = 458, 459
"""Janus's codes."""
OUTCOMES = ("ok", "failed", "refused", "other_name")


class WrongNameError(Exception):
    """The server's events have another name than the one that it is configured with."""


class Poll:
    """Looks at one server. Whatever it answers, :meth:`run` goes on until it is cancelled."""

    def __init__(
        self,
        api: AdminApi,
        server: LiveServer,
        clock: Clock,
        deliver: Deliver,
        *,
        interval_s: float,
        requests_per_second: float,
        max_requests: int,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = api.name
        self.polls = dict.fromkeys(OUTCOMES, 0)
        self.inferred: dict[str, int] = {}
        """Events by what they say."""
        self.off: dict[str, int] = {}
        """By ``sessions`` and ``handles``: in how many the last poll differed from the events."""
        self.answers = False
        """Whether the last poll went well."""
        self._api = api
        self._server = server
        self._clock = clock
        self._deliver = deliver
        self._interval_s = interval_s
        self._gap_s = 1 / requests_per_second
        self._max_requests = max_requests
        self._pause = pause
        self._reconciler = Reconciler(server)
        self._ends = Ends(api.name, server)
        self._backoff = Backoff(interval_s, max(SLOWEST_S, interval_s))
        self._left = 0
        """Requests that this poll may still make."""
        self._next_at = 0.0
        self._asked: dict[int, int] = {}
        """Sessions by the poll that listed their handles last."""
        self._looked: dict[HandleId, int] = {}
        """Handles with a PeerConnection by the poll that looked at it last."""
        self._number = 0
        self._said = ""
        """The last trouble, which is logged once."""

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            began = self._clock.monotonic()
            if await self.once():
                self._backoff.reset()
                await self._pause(max(0.0, began + self._interval_s - self._clock.monotonic()))
            else:
                await self._pause(self._backoff.next())

    async def once(self) -> bool:
        """One poll; whether it went well."""
        outcome, trouble = "failed", ""
        try:
            await self._poll()
            outcome = "ok"
        except WrongNameError as problem:
            outcome, trouble = "other_name", str(problem)
        except AdminRefusedError as refusal:
            outcome, trouble = "refused", f"it refuses: {refusal}"
        except ConnectionError as problem:
            trouble = f"it can't be asked: {problem}"
        except Exception:
            logger.exception("intake.admin: %s", self.name)
        self.polls[outcome] += 1
        self.answers = outcome == "ok"
        if trouble and trouble != self._said:
            logger.warning("intake.admin: %s: %s; nothing is made of that", self.name, trouble)
        elif self._said and self.answers:
            logger.info("intake.admin: %s answers again", self.name)
        self._said = trouble
        return self.answers

    async def _poll(self) -> None:
        self._number += 1
        self._left = self._max_requests
        began, wall_us = self._clock.monotonic(), self._clock.wall_us()
        self._check(await self._ask("info"))
        sessions = _ids((await self._ask("list_sessions")).get("sessions"), MAX_SESSIONS)
        handles = await self._list_handles(sessions)
        difference = self._reconciler.compare(Lists(began=began, wall_us=wall_us, sessions=sessions, handles=handles))
        self.off = difference.off
        await self._tell(self._ends.of(difference))
        if not self._server.is_full:
            await self._announce(difference.new_sessions, sorted(difference.new_handles))
        await self._look_at_peers(began)

    @property
    def _room(self) -> int:
        return max(0, self._left)

    def _check(self, info: dict[str, Any]) -> None:
        found = info.get("server-name")
        if found != self.name:
            raise WrongNameError(
                f"its events are those of {str(found)[:100]!r}, so console.admin should have name = that, or its"
                " server_name be changed"
            )

    async def _list_handles(self, sessions: frozenset[int]) -> dict[int, frozenset[int]]:
        """Of those sessions first that have waited longest; half of the requests are for looking closer."""
        self._asked = {each: number for each, number in self._asked.items() if each in sessions}
        turn = sorted(sessions, key=lambda each: self._asked.get(each, 0))[: max(1, self._room // 2)]
        found: dict[int, frozenset[int]] = {}
        room = MAX_HANDLES

        async def look(session: int) -> None:
            nonlocal room
            answer = await self._ask_of("list_handles", session)
            self._asked[session] = self._number
            if answer is not None:
                found[session] = _ids(answer.get("handles"), room)
                room -= len(found[session])

        await _each(turn, look)
        return found

    async def _announce(self, sessions: frozenset[int], handles: Sequence[HandleId]) -> None:
        """Sessions and handles whose beginning was missed. A session that has none yet is told alone."""
        beginnings: dict[int, Event] = {}
        told: dict[HandleId, list[Event]] = {}

        async def look(place: HandleId) -> None:
            answer = await self._ask_of("handle_info", *place)
            if answer is not None and isinstance(answer.get("info"), dict):
                # What it means, and not what it says: that may be megabytes of each.
                about = answer["info"], self._clock.wall_us()
                beginnings.setdefault(place[0], announce_session(self.name, place[0], *about))
                told[place] = list(announce_handle(self.name, *place, *about))

        await _each(handles[: self._room], look)
        now_us = self._clock.wall_us()
        await self._tell(
            beginnings.get(session) or announce_session(self.name, session, {}, now_us)
            for session in sorted(sessions)
            # Its end may have been told while its handles were asked.
            if not self._server.has_ended(session)
        )
        for place in sorted(told):
            if not self._server.has_ended(*place):
                await self._tell(told[place])

    async def _look_at_peers(self, began: float) -> None:
        """With the requests that are left: whether PeerConnections that should be there are."""
        places = {
            (number, handle_id)
            for number, session in self._server.sessions.items()
            for handle_id, handle in session.handles.items()
            if handle.peer_since is not None and handle.peer_since < began and handle.seen_us
        }
        self._looked = {each: number for each, number in self._looked.items() if each in places}

        async def look(place: HandleId) -> None:
            answer = await self._ask_of("handle_info", *place)
            self._looked[place] = self._number
            if answer is None or not isinstance(answer.get("info"), dict):
                return
            if self._reconciler.has_hung_up(place, has_peer=has_peer(answer["info"]), began=began):
                await self._tell(self._ends.of_peer(place))

        await _each(sorted(places, key=lambda each: self._looked.get(each, 0))[: self._room], look)

    async def _tell(self, events: Iterable[Event]) -> None:
        for count, item in enumerate(events, 1):
            word = _word(item)
            self.inferred[word] = self.inferred.get(word, 0) + 1
            self._deliver(item)
            if count % YIELD_EVERY == 0:
                await asyncio.sleep(0)

    async def _ask_of(self, verb: str, *ids: int) -> dict[str, Any] | None:
        """About a session or handle; ``None``: it has gone meanwhile."""
        try:
            return await self._ask(verb, *ids)
        except AdminRefusedError as refusal:
            if refusal.code in {NO_SESSION, NO_HANDLE}:
                return None
            raise

    async def _ask(self, verb: str, *ids: int) -> dict[str, Any]:
        self._left -= 1
        now = self._clock.monotonic()
        at = max(now, self._next_at)
        self._next_at = at + self._gap_s
        if at > now:
            await self._pause(at - now)
        return await self._api.ask(verb, *ids)


async def _each(items: Sequence[Any], action: Callable[[Any], Awaitable[None]]) -> None:
    """A few at a time. :raises Exception: the first that fails; no further one is begun."""
    waiting = iter(items)

    async def work() -> None:
        for item in waiting:
            await action(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(items))):
                group.create_task(work())
    except ExceptionGroup as problems:
        raise problems.exceptions[0] from None


def _ids(listed: object, limit: int) -> frozenset[int]:
    """:raises ConnectionError: it is no list of ids, or too long a one, so there is nothing to compare."""
    if not isinstance(listed, list) or not all(type(each) is int and 0 <= each < MAX_ID for each in listed):
        raise ConnectionError("it answers with what is no list of ids")
    if len(listed) > limit:
        raise ConnectionError(f"it lists more than the {MAX_SESSIONS} sessions or {MAX_HANDLES} handles that we follow")
    return frozenset(listed)


def _word(item: Event) -> str:
    body = item.event
    return str(getattr(body, "name", None) or getattr(body, "connection", None) or "detail")
