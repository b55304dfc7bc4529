"""How far ICE is, and what may follow what."""

from enum import Enum


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
