"""The tables. Their first twelve are those of the article that stored Janus's events in MariaDB (December 2016).

Its names are kept, so its queries work; what later versions and our gateway tell is further columns, ``NULL`` where
unknown. ``id`` is the event's own number in every table, so a row leads to the whole event in ``events``.
Timestamps are microseconds since the Unix epoch. Portable: SQLite, PostgreSQL, MariaDB.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects import mysql

REVISION = "0004"
"""Of the schema: the last of ``migrations/versions``."""

metadata = MetaData()

BIG = BigInteger()
ROW_ID = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite makes only ``INTEGER PRIMARY KEY`` the row's own number, and so needs no second tree."""
LONG = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
"""MariaDB's TEXT ends at 64 kB, less than a large description."""
REAL = Float().with_variant(mysql.DOUBLE(asdecimal=False), "mysql", "mariadb")
"""MariaDB's FLOAT has seven digits."""
NAME = String(64)
WORD = String(32)
CORRELATION = String(128)
CHARACTERS: dict[str, Any] = {
    f"{dialect}_{what}": value
    for dialect in ("mysql", "mariadb")
    for what, value in (("charset", "utf8mb4"), ("collate", "utf8mb4_nopad_bin"))
}
"""On MariaDB, whatever the database's own are: every character, and ``a`` is neither ``A`` nor ``a`` with a blank."""
BY_DAY: dict[str, Any] = {"postgresql_partition_by": "RANGE (id)"}
"""See :mod:`appliance.handlers.store.partitions`."""


def _table(name: str, *columns: Column[Any], of_handle: bool = True, **options: Any) -> Table:
    place = (
        (Column("session", BIG), Column("handle", BIG), *columns, Column("correlation_id", CORRELATION))
        if of_handle
        else columns
    )
    table = Table(
        name,
        metadata,
        Column("id", ROW_ID, primary_key=True, autoincrement=False),
        Column("timestamp", BIG, nullable=False),
        *place,
        Column("server", NAME),
        **CHARACTERS,
        **options,
    )
    if of_handle:
        Index(f"ix_{name}_handle", table.c.session, table.c.handle, table.c.id)
    return table


events = _table(
    "events",
    Column("type", SmallInteger, nullable=False),
    Column("subtype", SmallInteger, nullable=False),
    Column("opaque_id", String(255)),
    Column("body", LONG, nullable=False),
    **BY_DAY,
)
"""Every event, whole: ``body`` is its JSON."""
Index("ix_events_correlation", events.c.correlation_id, events.c.id)

sessions = _table(
    "sessions",
    Column("session", BIG, nullable=False),
    Column("event", WORD),
    Column("transport", NAME),
    Column("transport_id", NAME),
    of_handle=False,
)
Index("ix_sessions_session", sessions.c.session, sessions.c.id)

handles = _table(
    "handles",
    Column("event", WORD),
    Column("plugin", NAME),
    Column("opaque_id", String(255)),
)
Index("ix_handles_opaque", handles.c.opaque_id)

core = _table("core", Column("name", WORD), Column("value", NAME), of_handle=False)
Index("ix_core_server", core.c.server, core.c.timestamp)

sdps = _table("sdps", Column("remote", Boolean), Column("offer", Boolean), Column("sdp", LONG))

ice = _table("ice", Column("stream", Integer), Column("component", Integer), Column("state", WORD))

selectedpairs = _table(
    "selectedpairs",
    Column("stream", Integer),
    Column("component", Integer),
    Column("selected", String(255)),
    Column("local_address", NAME),
    Column("local_port", Integer),
    Column("local_type", WORD),
    Column("remote_address", NAME),
    Column("remote_port", Integer),
    Column("remote_type", WORD),
)

dtls = _table(
    "dtls",
    Column("stream", Integer),
    Column("component", Integer),
    Column("state", WORD),
    Column("retransmissions", Integer),
)

connections = _table("connections", Column("state", WORD), Column("reason", String(255)))

media = _table(
    "media",
    Column("medium", WORD),
    Column("receiving", Boolean),
    Column("mid", WORD),
    Column("substream", Integer),
    Column("seconds", Integer),
)

stats = _table(
    "stats",
    Column("medium", WORD),
    Column("base", Integer),
    Column("lsr", BIG),
    Column("lostlocal", BIG),
    Column("lostremote", BIG),
    Column("jitterlocal", REAL),
    Column("jitterremote", REAL),
    Column("packetssent", BIG),
    Column("packetsrecv", BIG),
    Column("bytessent", BIG),
    Column("bytesrecv", BIG),
    Column("nackssent", BIG),
    Column("nacksrecv", BIG),
    Column("mid", WORD),
    Column("mindex", Integer),
    Column("codec", WORD),
    Column("rtt", REAL),
    **BY_DAY,
)
"""``rtt`` and ``jitter*`` in milliseconds, with decimals where our gateway measured them."""

plugins = _table("plugins", Column("plugin", NAME), Column("event", LONG))

transports = _table("transports", Column("plugin", NAME), Column("event", LONG), Column("transport_id", NAME))
Index("ix_transports_transport", transports.c.transport_id, transports.c.id)

calls = Table(
    "calls",
    metadata,
    Column("correlation_id", CORRELATION, primary_key=True),
    Column("server", NAME, nullable=False),
    Column("session", BIG, nullable=False),
    Column("handle", BIG, nullable=False),
    Column("opaque_id", String(255)),
    Column("plugin", NAME),
    Column("room", String(255)),
    Column("client_address", NAME),
    Column("selected_pair", String(255)),
    Column("started_us", BIG, nullable=False),
    Column("ended_us", BIG),
    Column("verdict_code", NAME),
    Column("verdict", LONG),
    **CHARACTERS,
)
"""One row a PeerConnection; ``verdict`` is the newest, as JSON."""
Index("ix_calls_started", calls.c.started_us)
Index("ix_calls_ended", calls.c.ended_us, calls.c.started_us)

callrecords = Table(
    "callrecords",
    metadata,
    Column("correlation_id", CORRELATION, primary_key=True),
    Column("id", BIG, nullable=False),
    Column("session", BIG),
    Column("handle", BIG),
    Column("server", NAME),
    Column("opaque_id", String(255)),
    Column("plugin", NAME),
    Column("room", String(255)),
    Column("display", String(255)),
    Column("client_address", NAME),
    Column("network", NAME),
    Column("browser", WORD),
    Column("started_us", BIG, nullable=False),
    Column("up_us", BIG),
    Column("ended_us", BIG, nullable=False),
    Column("duration_us", BIG, nullable=False),
    Column("signalling_us", BIG),
    Column("gathering_us", BIG),
    Column("ice_us", BIG),
    Column("dtls_us", BIG),
    Column("first_media_us", BIG),
    Column("stopped_in", WORD),
    Column("local_type", WORD),
    Column("remote_type", WORD),
    Column("selected_pair", String(255)),
    Column("packets_in", BIG),
    Column("packets_out", BIG),
    Column("loss_in", REAL),
    Column("loss_out", REAL),
    Column("jitter_ms", REAL),
    Column("rtt_ms", REAL),
    Column("hangup_reason", String(255)),
    Column("verdict_code", NAME, nullable=False),
    Column("severity", WORD),
    Column("actor", WORD),
    Column("record", LONG, nullable=False),
    **CHARACTERS,
)
"""One row a call that is over, :class:`appliance.diagnosis.record.CallRecord`; ``record`` is all of it, as JSON.

``id`` is that of the event that told it.
"""
Index("ix_callrecords_ended", callrecords.c.ended_us)
Index("ix_callrecords_id", callrecords.c.id)

deliveries = Table(
    "deliveries",
    metadata,
    Column("message", NAME, primary_key=True, doc="What its sender calls the message, or a digest of it."),
    Column("id", BIG, nullable=False, doc="Number of the last of its events that is stored."),
    Column("places", Integer, nullable=False, doc="How many of its events, from the first, are stored."),
    info={"about": "What a broker brought in the last hour, so that it is stored once when it comes again."},
    **CHARACTERS,
)
"""See :mod:`appliance.handlers.store.deliveries`."""
Index("ix_deliveries_id", deliveries.c.id)


def _room_table(name: str, *columns: Column[Any]) -> Table:
    """What a plugin told of a room; ``event`` is its own word: created, joined, published, subscribing, leaving, ..."""
    table = _table(name, Column("room", String(255)), Column("event", WORD), *columns)
    Index(f"ix_{name}_room", table.c.room, table.c.id)
    return table


rooms = _room_table("rooms")
participants = _room_table(
    "participants", Column("feed", String(255)), Column("private_id", BIG), Column("display", String(255))
)
"""``feed`` is the id as which somebody publishes; ``private_id`` joins it with the handles that subscribe for them."""
subscriptions = _room_table("subscriptions", Column("feed", String(255), primary_key=True), Column("private_id", BIG))
"""One row for each feed that a handle subscribes to."""

EVENT_TABLES: tuple[Table, ...] = (
    events, sessions, handles, core, sdps, ice, selectedpairs, dtls, connections, media, stats, plugins, transports,
    rooms, participants, subscriptions,
)  # fmt: skip
"""Those with a row for an event, by its number."""

PARTITIONED: tuple[Table, ...] = (events, stats)
"""By day, where the database is PostgreSQL."""
