"""Types 1 to 8: sessions, handles, what is told from outside, and offers and answers."""

from typing import Any, ClassVar

from msgspec import Struct

from appliance.core.events.body import Body, EventType


class TransportRef(Struct, frozen=True, omit_defaults=True):
    """The API connection that created a session; ``id`` is that of a transport event, and so gives the address."""

    transport: str
    id: str


class Session(Body, frozen=True, kw_only=True):
    """``name`` is created, destroyed or timeout."""

    type: ClassVar[EventType] = EventType.SESSION
    name: str
    transport: TransportRef | None = None


class Handle(Body, frozen=True, kw_only=True):
    """``name`` is attached or detached; detached ends the PeerConnection even where no hangup came."""

    type: ClassVar[EventType] = EventType.HANDLE
    name: str
    plugin: str
    opaque_id: str | None = None
    token: str | None = None


class External(Body, frozen=True, kw_only=True):
    """Something that is not the gateway's own: an operator's custom event, or our verdicts and call records."""

    type: ClassVar[EventType] = EventType.EXTERNAL
    schema: str
    data: dict[str, Any]


VERDICT_SCHEMA = "appliance.verdict"
"""``External.schema`` of a verdict; ``data`` is :class:`appliance.diagnosis.verdict.Verdict` as built-in types."""

CALL_SCHEMA = "appliance.call"
"""``External.schema`` of a call that is over; ``data`` is :class:`appliance.diagnosis.record.CallRecord` likewise."""


NETTEST_SCHEMA = "appliance.nettest"
"""``External.schema`` of what a browser found in the network test; ``data``: :mod:`appliance.console.nettest`."""


class SessionDescription(Struct, frozen=True, omit_defaults=True):
    """``type`` is offer or answer."""

    type: str
    sdp: str


class Jsep(Body, frozen=True, kw_only=True):
    """``owner`` is remote (the client said it) or local (we said it)."""

    type: ClassVar[EventType] = EventType.JSEP
    owner: str
    jsep: SessionDescription
