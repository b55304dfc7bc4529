"""A handle in small: keeps what the engine tells, and echoes as EchoTest does."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from aiortc import RTCConfiguration, RTCPeerConnection

from appliance.core.clock import Clock, LoopClock
from appliance.core.events import Body, Connection
from appliance.core.peer import AnswerPolicy
from appliance.media.config import MediaConfig
from appliance.media.engine import Engine
from appliance.media.peer import Peer

T = TypeVar("T", bound=Body)


def config(**changes: Any) -> MediaConfig:
    """On a free port."""
    return MediaConfig(**{"port": 0, **changes})


class Handle:
    """Implements PeerObserver."""

    def __init__(self, engine: Engine) -> None:
        self.facts: list[Body] = []
        self.opened: list[tuple[str, str]] = []
        self.messages: list[str | bytes] = []
        self.on_fact: Callable[[Body], None] | None = None
        self.peer: Peer = engine.open(self)

    def fact(self, body: Body) -> None:
        self.facts.append(body)
        if self.on_fact is not None:
            self.on_fact(body)

    def data_opened(self, label: str, protocol: str) -> None:
        self.opened.append((label, protocol))

    def data(self, label: str, protocol: str, message: str | bytes) -> None:
        self.messages.append(message)
        self.peer.send_data(label, protocol, "echo: " + message if isinstance(message, str) else message)

    def answer(self, sdp: str, *, trickle: bool = False, policy: AnswerPolicy | None = None) -> str:
        """Offer in, answer out, every medium routed to itself."""
        self.peer.set_remote_offer(sdp)
        self.peer.gather(trickle=trickle)
        text = self.peer.create_answer(policy or AnswerPolicy())
        for medium in self.peer.media:
            if medium.kind in {"audio", "video"} and not medium.rejected and medium.direction == "sendrecv":
                self.peer.forward(medium.mid, self.peer, medium.mid)
        return text

    def all(self, kind: type[T]) -> list[T]:
        return [fact for fact in self.facts if isinstance(fact, kind)]

    def hangup(self) -> str | None:
        """The reason, once it has hung up."""
        return next((fact.reason for fact in self.all(Connection) if fact.connection == "hangup"), None)


async def engine(clock: Clock | None = None, **changes: Any) -> Engine:
    """A started engine."""
    found = Engine(config(**changes), clock or LoopClock())
    await found.start()
    return found


async def until(handle: Handle, found: Any) -> None:
    """Wait for a fact for which ``found()`` is true."""
    event = asyncio.Event()

    def look(_fact: Body) -> None:
        if found():
            event.set()

    handle.on_fact = look
    look(Connection(connection="now"))
    async with asyncio.timeout(20):
        await event.wait()


def aiortc_client() -> Any:
    """A PeerConnection that asks no STUN server."""
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))
