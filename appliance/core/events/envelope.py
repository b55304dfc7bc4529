"""The envelope, and every kind of body that it carries."""

from typing import Any

from msgspec import Struct

from appliance.core.events.body import Body
from appliance.core.events.media import MediaFault, MediaState, MediaStats, RtcpReport, SlowLink
from appliance.core.events.server import ApiError, Core, Counters, Gap, Plugin, Shutdown, Transport
from appliance.core.events.session import External, Handle, Jsep, Session
from appliance.core.events.webrtc import (
    Connection,
    DtlsDetail,
    DtlsState,
    EndOfCandidates,
    IceState,
    LocalCandidate,
    PairCounters,
    RemoteCandidate,
    SelectedPair,
)


class Unknown(Body, frozen=True, kw_only=True):
    """A kind this version does not know; kept as it came."""

    content: dict[str, Any]


KINDS: tuple[type[Body], ...] = (
    Session, Handle, External, Jsep, IceState, LocalCandidate, RemoteCandidate, SelectedPair, DtlsState, Connection,
    PairCounters, DtlsDetail, EndOfCandidates, MediaState, SlowLink, MediaStats, RtcpReport, MediaFault, Plugin,
    Transport, Core, Shutdown, Gap, Counters, ApiError,
)  # fmt: skip
"""Every kind of event, in the order of its numbers."""

BODY_OF: dict[tuple[int, int], type[Body]] = {(int(kind.type), kind.subtype): kind for kind in KINDS}


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The envelope. Key order is Janus's; make one with :func:`event`."""

    emitter: str = ""
    """``server_name`` of the gateway it comes from; empty before Janus 0.2.6."""
    type: int
    subtype: int = 0
    timestamp: int
    """Wall clock, microseconds since the Unix epoch."""
    session_id: int | None = None
    handle_id: int | None = None
    opaque_id: str | None = None
    id: int = 0
    """Given by the collector: unique and rising within one collector's store, 0 before. What evidence refers to."""
    correlation_id: str | None = None
    """Given by the collector: the PeerConnection, see :mod:`appliance.core.correlation`; absent where there is none."""
    replayed: bool = False
    """Told again by a gateway to a collector that has just started, which may have told it on before it died."""
    inferred: bool = False
    """Not told by the server: the collector made it of what the server's Admin API says it has, or has no more."""
    event: Any
    """A :class:`Body`."""

    @property
    def body(self) -> Body:
        """The body, typed: what handlers match on."""
        body: Body = self.event
        return body


def event(
    body: Body,
    *,
    emitter: str,
    timestamp: int,
    session_id: int | None = None,
    handle_id: int | None = None,
    opaque_id: str | None = None,
) -> Event:
    """Put a body into its envelope."""
    return Event(
        emitter=emitter,
        type=int(body.type),
        subtype=body.subtype,
        timestamp=timestamp,
        session_id=session_id,
        handle_id=handle_id,
        opaque_id=opaque_id,
        event=body,
    )
