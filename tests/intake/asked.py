"""A server that can be asked what it has, made up; and the events of one."""

import asyncio
from typing import Any

from appliance.core.alive import Alive, LiveServer
from appliance.core.events import Body, Event, Handle, Jsep, Session, SessionDescription, event
from appliance.net.admin_client import AdminRefusedError
from tests.clock import FakeClock

NAME = "janus-ref"
ECHO = "janus.plugin.echotest"


class FakeServer:
    """Contract: :class:`appliance.core.intake.AdminApi`. ``has``: handles by session, and what each says of itself."""

    def __init__(self, name: str = NAME) -> None:
        self.name = name
        self.calls_itself = name
        self.has: dict[int, dict[int, dict[str, Any]]] = {}
        self.asked: list[tuple[str, tuple[int, ...]]] = []
        self.trouble: dict[str, Exception] = {}
        """By verb: what is raised."""
        self.closed = False

    async def ask(self, verb: str, *ids: int, **arguments: Any) -> dict[str, Any]:
        self.asked.append((verb, ids))
        await asyncio.sleep(0)
        if verb in self.trouble:
            raise self.trouble[verb]
        if verb == "info":
            return {"server-name": self.calls_itself}
        if verb == "list_sessions":
            return {"sessions": list(self.has)}
        if ids[0] not in self.has:
            raise AdminRefusedError(458, "No such session")
        if verb == "list_handles":
            return {"handles": list(self.has[ids[0]])}
        if ids[1] not in self.has[ids[0]]:
            raise AdminRefusedError(459, "No such handle")
        return {"info": self.has[ids[0]][ids[1]]}

    async def close(self) -> None:
        self.closed = True


class World:
    """What the events of one server said, and what came of it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.alive = Alive(self.clock)
        self.alive.follow([NAME])
        self.told: list[Event] = []

    @property
    def server(self) -> LiveServer:
        return self.alive[NAME]

    def deliver(self, item: Event) -> None:
        self.told.append(item)
        self.alive.take(item)

    def hear(self, body: Body, session: int | None = None, handle: int | None = None, emitter: str = NAME) -> None:
        now = self.clock.wall_us()
        self.alive.take(event(body, emitter=emitter, timestamp=now, session_id=session, handle_id=handle))

    def session(self, number: int, name: str = "created") -> None:
        self.hear(Session(name=name), number)

    def handle(self, session: int, number: int, name: str = "attached") -> None:
        self.hear(Handle(name=name, plugin=ECHO), session, number)

    def end(self, session: int, handle: int) -> None:
        """Both, as a server tells it."""
        self.session(session, "destroyed")
        self.handle(session, handle, "detached")

    def offer(self, session: int, number: int) -> None:
        self.hear(Jsep(owner="remote", jsep=SessionDescription("offer", "v=0\r\n")), session, number)

    def words(self) -> list[tuple[str, int | None, int | None]]:
        """What was inferred, in order."""
        found = []
        for item in self.told:
            body = item.event
            word = getattr(body, "name", None) or getattr(body, "connection", None) or type(body).__name__
            found.append((str(word), item.session_id, item.handle_id))
        return found
