"""How far ICE is, and what may follow what."""

from collections.abc import Callable
from enum import Enum

from appliance.core.events import Body, IceState


class IceStage(Enum):
    """How far ICE is; the values are those of events. See :data:`STAGES`."""

    NEW = "new"
    GATHERING = "gathering"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    READY = "ready"
    DISCONNECTED = "disconnected"
    FAILED = "failed"
    CLOSED = "closed"


STAGES: dict[IceStage, frozenset[IceStage]] = {
    IceStage.NEW: frozenset({IceStage.GATHERING, IceStage.CLOSED}),
    IceStage.GATHERING: frozenset({IceStage.GATHERING, IceStage.CONNECTING, IceStage.FAILED, IceStage.CLOSED}),
    IceStage.CONNECTING: frozenset({IceStage.GATHERING, IceStage.CONNECTED, IceStage.FAILED, IceStage.CLOSED}),
    IceStage.CONNECTED: frozenset({IceStage.READY}),
    IceStage.READY: frozenset({IceStage.GATHERING, IceStage.DISCONNECTED, IceStage.FAILED, IceStage.CLOSED}),
    IceStage.DISCONNECTED: frozenset({IceStage.GATHERING, IceStage.CONNECTED, IceStage.FAILED, IceStage.CLOSED}),
    IceStage.FAILED: frozenset({IceStage.GATHERING, IceStage.CLOSED}),
    IceStage.CLOSED: frozenset(),
}


class IceProgress:
    """Goes from stage to stage, and tells ``emit`` of each."""

    def __init__(self, emit: Callable[[Body], None]) -> None:
        self.stage = IceStage.NEW
        self._emit = emit

    def to(self, stage: IceStage) -> None:
        """Go there. :raises ValueError: there is no way."""
        if stage not in STAGES[self.stage]:
            raise ValueError(f"ICE can't go from {self.stage.value} to {stage.value}")
        self.stage = stage
        if stage is not IceStage.CLOSED:
            self._emit(IceState(ice=stage.value))

    def heard(self) -> None:
        """Something of the peer is known, or came."""
        if self.stage is IceStage.GATHERING:
            self.to(IceStage.CONNECTING)

    def paired(self) -> None:
        """There is a pair to use, anew or again."""
        self.heard()
        if self.stage in {IceStage.CONNECTING, IceStage.DISCONNECTED}:
            self.to(IceStage.CONNECTED)
            self.to(IceStage.READY)

    def close(self) -> None:
        """For good."""
        if self.stage is not IceStage.CLOSED:
            self.to(IceStage.CLOSED)

    def let_go(self) -> None:
        """Know nobody any more."""
        del self._emit
