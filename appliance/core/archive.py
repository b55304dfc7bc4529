"""What the console asks of whoever keeps events and calls: the store implements it."""

from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import Struct

from appliance.core.events import Event


class CallSummary(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One PeerConnection, live or past, in a list."""

    correlation_id: str
    server: str
    session_id: int
    handle_id: int
    opaque_id: str | None = None
    plugin: str | None = None
    room: str | None = None
    client_address: str | None = None
    """Of the API client, ``ip`` or ``ip:port``."""
    selected_pair: str | None = None
    started_us: int
    ended_us: int | None = None
    """``None`` while it is live."""
    verdict: dict[str, Any] | None = None
    """The newest :class:`appliance.diagnosis.verdict.Verdict` as built-in types; ``None`` before the first."""


DIMENSIONS = ("network", "browser", "pair", "protocol", "server", "room", "plugin", "code", "hour")
"""What ended calls can be grouped by. pair: candidate types, ``local-remote``; protocol: of that pair, udp or
tcp; hour: its beginning, as text."""


class CallGroup(Struct, frozen=True, kw_only=True):
    """Ended calls that have one thing in common."""

    key: str | None
    """``None``: those of which it is not known."""
    calls: int
    faults: int
    """Calls whose verdict is a fault."""
    codes: dict[str, int]
    """Calls by verdict, the most frequent first."""
    loss_in: float | None = None
    """Mean of the calls' own, 0 to 1; ``None``: not measured."""
    loss_out: float | None = None
    rtt_ms: float | None = None


class EndedCall(Struct, frozen=True, kw_only=True):
    """The record of a call that is over, in one row: what telephony calls a CDR. ``None``: not told, never came about.

    Losses are shares of the whole call, 0 to 1, of the worst track; ``in`` is from the client.
    """

    id: int
    """Of the event that told it; later ones have higher numbers."""
    correlation_id: str
    server: str | None
    session_id: int | None
    handle_id: int | None
    opaque_id: str | None
    plugin: str | None
    room: str | None
    display: str | None
    client_address: str | None
    network: str | None
    browser: str | None
    started_us: int
    up_us: int | None
    ended_us: int
    duration_us: int
    signalling_us: int | None
    gathering_us: int | None
    ice_us: int | None
    dtls_us: int | None
    first_media_us: int | None
    stopped_in: str | None
    local_type: str | None
    remote_type: str | None
    selected_pair: str | None
    packets_in: int | None
    packets_out: int | None
    loss_in: float | None
    loss_out: float | None
    jitter_ms: float | None
    rtt_ms: float | None
    hangup_reason: str | None
    code: str
    severity: str | None
    actor: str | None


class RecordFilter(Struct, frozen=True, kw_only=True):
    """Which records are wanted, the latest told first."""

    since_us: int = 0
    """Ended then or later."""
    until_us: int = 2**63 - 1
    """Ended before."""
    server: str | None = None
    room: str | None = None
    network: str | None = None
    browser: str | None = None
    code: str | None = None
    before: int | None = None
    """Number of the last one of the page before."""
    limit: int = 100


class UsualPhase(Struct, frozen=True, kw_only=True):
    """How long a step takes where nothing is wrong."""

    median_us: int
    p95_us: int
    calls: int
    """Of so many."""


class Watched(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody's subscription to somebody's feed."""

    feed: str
    display: str | None = None
    """Of who publishes it."""
    handle_id: int | None
    """That receives it."""
    correlation_id: str | None = None


class Member(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One stay of somebody in a room: what joins the handles that one person's browser has."""

    server: str
    room: str
    session_id: int | None
    opaque_id: str | None = None
    display: str | None = None
    feed: str
    """The id as which they publish."""
    handle_id: int | None
    """On which they do."""
    correlation_id: str | None = None
    """Of that handle's latest call."""
    client_address: str | None = None
    joined_us: int
    left_us: int | None = None
    """``None`` while they are there."""
    published: bool = False
    """They have published, at least once."""
    verdict_code: str | None = None
    watches: list[Watched] = []


class Archive(Protocol):
    """Events and calls that were kept."""

    async def calls(
        self,
        *,
        limit: int = 100,
        before_us: int | None = None,
        search: str | None = None,
        live: bool | None = None,
        codes: Sequence[str] | None = None,
        group: tuple[str, str] | None = None,
    ) -> Sequence[CallSummary]:
        """Newest first. ``search`` is matched within the ids, opaque id, room, address and verdict code, whose words
        may have blanks between them; ``codes``: only those whose newest verdict is one of these; ``group``: only those
        that are over and have this in common, one of :data:`DIMENSIONS` and the key of a :class:`CallGroup`.
        """

    async def call(self, correlation_id: str) -> CallSummary | None:
        """One call."""

    async def groups(
        self, by: str, *, since_us: int, until_us: int, server: str | None = None, code: str | None = None
    ) -> Sequence[CallGroup]:
        """Calls that ended in that time, by one of :data:`DIMENSIONS`: most faults first, then most calls."""

    async def members(
        self, *, room: str | None = None, user: str | None = None, server: str | None = None, since_us: int = 0
    ) -> Sequence[Member]:
        """Who is or was in a room, or where a user (opaque id or display name) was; the latest to join first."""

    async def records(self, wanted: RecordFilter) -> Sequence[EndedCall]:
        """Of calls that are over, the latest told first."""

    async def usual_phases(self, server: str) -> dict[str, UsualPhase]:
        """Of the latest good calls of a server, by the phase's name; empty before there are any."""

    async def events(self, correlation_id: str, *, limit: int = 20_000) -> Sequence[Event]:
        """Every kept event of a call in order, with those of its session and transport that explain it."""


class SentPacket(Struct, frozen=True, kw_only=True):
    """One HEP message that went out for a call."""

    timestamp_us: int
    payload_type: int
    source: str
    destination: str
    size: int
    summary: str
    """First line or first words of the payload."""


class HepJournal(Protocol):
    """The last HEP messages of each call (bounded), for the console."""

    def sent(self, correlation_id: str) -> Sequence[SentPacket]:
        """Oldest first; empty when unknown or forgotten."""
