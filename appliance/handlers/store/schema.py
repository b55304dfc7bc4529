"""The tables. Their first twelve are those of the article that stored Janus's events in MariaDB (December 2016).

Its names are kept, so its queries work; what later versions and our gateway tell is further columns, ``NULL`` where
unknown. ``id`` is the event's own number in every table, so a row leads to the whole event in ``events``.
Timestamps are microseconds since the Unix epoch. Portable: SQLite, PostgreSQL, MariaDB. What a table and its columns
mean is ``info["about"]`` and ``doc``, which :mod:`appliance.handlers.store.document` writes into ``docs/store.md``.
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


def _table(name: str, about: str, *columns: Column[Any], of_handle: bool = True, **options: Any) -> Table:
    place = (
        (
            Column("session", BIG, doc="Session id."),
            Column("handle", BIG, doc="Handle id."),
            *columns,
            Column("correlation_id", CORRELATION, doc="The call, `session-handle-n@server`: n counts the"
                   " PeerConnections of a handle. `NULL` before the first."),
        )
        if of_handle
        else columns
    )  # fmt: skip
    table = Table(
        name,
        metadata,
        Column(
            "id", ROW_ID, primary_key=True, autoincrement=False, doc="Number of the event, the same in every table."
        ),
        Column("timestamp", BIG, nullable=False, doc="When, by the server's clock: microseconds since the Unix epoch."),
        *place,
        Column("server", NAME, doc="Name of the server, the event's `emitter`."),
        info={"about": about},
        **CHARACTERS,
        **options,
    )
    if of_handle:
        Index(f"ix_{name}_handle", table.c.session, table.c.handle, table.c.id)
    return table


events = _table(
    "events",
    "Every event, whole.",
    Column(
        "type",
        SmallInteger,
        nullable=False,
        doc="As Janus has it: 1 session, 2 handle, 4 external, 8 jsep, 16 webrtc, 32 media, 64 plugin, 128 transport, "
        "256 core.",
    ),
    Column("subtype", SmallInteger, nullable=False, doc="Within the type; 0 where there is none."),
    Column("opaque_id", String(255), doc="As the client named its handle."),
    Column(
        "body",
        LONG,
        nullable=False,
        doc="JSON of the event's body; `inferred` in it: the server did not tell it, its Admin API did.",
    ),
    **BY_DAY,
)
Index("ix_events_correlation", events.c.correlation_id, events.c.id)

sessions = _table(
    "sessions",
    "Sessions that were created, destroyed or timed out.",
    Column("session", BIG, nullable=False, doc="Session id."),
    Column("event", WORD, doc="created, destroyed, timeout."),
    Column("transport", NAME, doc="Plugin of the API transport that created it."),
    Column("transport_id", NAME, doc="Of the connection, as in `transports`."),
    of_handle=False,
)
Index("ix_sessions_session", sessions.c.session, sessions.c.id)

handles = _table(
    "handles",
    "Handles that were attached or detached.",
    Column("event", WORD, doc="attached, detached."),
    Column("plugin", NAME, doc="Its package name."),
    Column("opaque_id", String(255), doc="As the client named it."),
)
Index("ix_handles_opaque", handles.c.opaque_id)

core = _table(
    "core",
    "What a server said of itself.",
    Column("name", WORD, doc="status; gap: events are missing before this one."),
    Column("value", NAME, doc="started, update, shutdown; of a gap queue_full, link_down, sequence, restart."),
    of_handle=False,
)
Index("ix_core_server", core.c.server, core.c.timestamp)

sdps = _table(
    "sdps",
    "Session descriptions.",
    Column("remote", Boolean, doc="The client wrote it."),
    Column("offer", Boolean, doc="Otherwise an answer."),
    Column("sdp", LONG),
)

ice = _table(
    "ice",
    "ICE states.",
    Column("stream", Integer, doc="1 where the server tells it."),
    Column("component", Integer, doc="1: RTP."),
    Column("state", WORD, doc="gathering, connecting, connected, ready, failed, disconnected."),
)

selectedpairs = _table(
    "selectedpairs",
    "Candidate pairs that ICE selected, the latest last.",
    Column("stream", Integer, doc="1 where the server tells it."),
    Column("component", Integer, doc="1: RTP."),
    Column("selected", String(255), doc="As Janus writes it."),
    Column("local_address", NAME),
    Column("local_port", Integer),
    Column("local_type", WORD, doc="host, srflx, prflx, relay; these six where the server tells them."),
    Column("remote_address", NAME),
    Column("remote_port", Integer),
    Column("remote_type", WORD),
)

dtls = _table(
    "dtls",
    "DTLS states.",
    Column("stream", Integer, doc="1 where the server tells it."),
    Column("component", Integer, doc="1: RTP."),
    Column("state", WORD, doc="trying, connected, failed."),
    Column("retransmissions", Integer, doc="Of the handshake."),
)

connections = _table(
    "connections",
    "PeerConnections that came up or were hung up.",
    Column("state", WORD, doc="webrtcup, hangup."),
    Column("reason", String(255), doc="Of a hangup."),
)

media = _table(
    "media",
    "A track began or stopped to come from the client.",
    Column("medium", WORD, doc="audio, video."),
    Column("receiving", Boolean, doc="Whether it comes."),
    Column("mid", WORD),
    Column("substream", Integer, doc="Of simulcast."),
    Column("seconds", Integer, doc="Without media, where it stopped."),
)

stats = _table(
    "stats",
    "Statistics of a track, as often as the server tells them. Jitter and round trip are milliseconds, with decimals "
    "where our gateway measured them.",
    Column("medium", WORD, doc="audio, video."),
    Column("base", Integer, doc="Clock rate."),
    Column("lsr", BIG, doc="Last sender report."),
    Column("lostlocal", BIG, doc="Packets lost from the client."),
    Column("lostremote", BIG, doc="To the client, as it reports."),
    Column("jitterlocal", REAL, doc="`NULL` where the version's unit is uncertain."),
    Column("jitterremote", REAL, doc="As the client reports."),
    Column("packetssent", BIG, doc="To the client."),
    Column("packetsrecv", BIG, doc="From it."),
    Column("bytessent", BIG, doc="To the client."),
    Column("bytesrecv", BIG, doc="From it."),
    Column("nackssent", BIG, doc="To the client."),
    Column("nacksrecv", BIG, doc="From it."),
    Column("mid", WORD, doc="Of the m-line."),
    Column("mindex", Integer, doc="Its number."),
    Column("codec", WORD),
    Column("rtt", REAL, doc="Round trip."),
    **BY_DAY,
)

plugins = _table(
    "plugins",
    "What plugins told.",
    Column("plugin", NAME, doc="Its package name."),
    Column("event", LONG, doc="JSON, in the plugin's own words."),
)

transports = _table(
    "transports",
    "Connections of the API.",
    Column("plugin", NAME, doc="Of the API transport."),
    Column("event", LONG, doc="JSON: connected or disconnected, and from where."),
    Column("transport_id", NAME, doc="As `sessions` names it."),
)
Index("ix_transports_transport", transports.c.transport_id, transports.c.id)

calls = Table(
    "calls",
    metadata,
    Column("correlation_id", CORRELATION, primary_key=True, doc="`session-handle-n@server`."),
    Column("server", NAME, nullable=False),
    Column("session", BIG, nullable=False),
    Column("handle", BIG, nullable=False),
    Column("opaque_id", String(255), doc="As the client named its handle."),
    Column("plugin", NAME),
    Column("room", String(255), doc="The latest of the handle."),
    Column("client_address", NAME, doc="Of the API client, `ip:port`."),
    Column("selected_pair", String(255), doc="The latest."),
    Column("started_us", BIG, nullable=False, doc="Microseconds since the Unix epoch."),
    Column("ended_us", BIG, doc="`NULL` while it is up."),
    Column("verdict_code", NAME, doc="One of [verdicts.md](verdicts.md)."),
    Column("verdict", LONG, doc="The newest, as JSON."),
    info={"about": "Calls, live and past, one row a PeerConnection."},
    **CHARACTERS,
)
Index("ix_calls_started", calls.c.started_us)
Index("ix_calls_ended", calls.c.ended_us, calls.c.started_us)

callrecords = Table(
    "callrecords",
    metadata,
    Column("correlation_id", CORRELATION, primary_key=True),
    Column("id", BIG, nullable=False, doc="Of the event that told it."),
    Column("session", BIG),
    Column("handle", BIG),
    Column("server", NAME),
    Column("opaque_id", String(255), doc="As the client named its handle."),
    Column("plugin", NAME),
    Column("room", String(255)),
    Column("display", String(255), doc="Of the participant, as the plugin told it."),
    Column("client_address", NAME, doc="Of the API client, `ip:port`."),
    Column("network", NAME, doc="Where the media came from, else the API client: /24 of IPv4, /48 of IPv6."),
    Column("browser", WORD, doc="Family."),
    Column("started_us", BIG, nullable=False),
    Column("up_us", BIG, doc="`NULL`: it never was up."),
    Column("ended_us", BIG, nullable=False),
    Column("duration_us", BIG, nullable=False, doc="From being up to the end; 0 where it never was."),
    Column("signalling_us", BIG, doc="How long each step took, where it was completed."),
    Column("gathering_us", BIG),
    Column("ice_us", BIG),
    Column("dtls_us", BIG),
    Column("first_media_us", BIG),
    Column("stopped_in", WORD, doc="The step that failed."),
    Column("local_type", WORD, doc="Of the selected pair: host, srflx, prflx, relay."),
    Column("remote_type", WORD),
    Column("selected_pair", String(255)),
    Column("packets_in", BIG, doc="From the client."),
    Column("packets_out", BIG, doc="To it."),
    Column("loss_in", REAL, doc="Share of the whole call, 0 to 1, of the worst track."),
    Column("loss_out", REAL),
    Column("jitter_ms", REAL, doc="The highest that lasted, else the latest."),
    Column("rtt_ms", REAL, doc="The latest."),
    Column("hangup_reason", String(255)),
    Column("verdict_code", NAME, nullable=False, doc="One of [verdicts.md](verdicts.md)."),
    Column("severity", WORD, doc="good, notice or fault."),
    Column("actor", WORD, doc="Who should act."),
    Column("record", LONG, nullable=False, doc="All of it, as JSON."),
    info={"about": "Records (CDRs) of calls that are over, one row each. `NULL`: not told, or never came about."},
    **CHARACTERS,
)
"""See :class:`appliance.diagnosis.record.CallRecord`."""
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


def _room_table(name: str, about: str, *columns: Column[Any]) -> Table:
    """What a plugin told of a room."""
    word = Column("event", WORD, doc="The plugin's own word: created, joined, published, subscribing, leaving, ...")
    table = _table(name, about, Column("room", String(255)), word, *columns)
    Index(f"ix_{name}_room", table.c.room, table.c.id)
    return table


PRIVATE_ID = "Joins who publishes with the handles on which they watch others."
rooms = _room_table("rooms", "Rooms that plugins made or destroyed.")
participants = _room_table(
    "participants",
    "Who joined, published, left.",
    Column("feed", String(255), doc="The id as which they publish."),
    Column("private_id", BIG, doc=PRIVATE_ID),
    Column("display", String(255), doc="Their name."),
)
subscriptions = _room_table(
    "subscriptions",
    "Who watches whom: one row for each feed that a handle subscribes to.",
    Column("feed", String(255), primary_key=True, doc="Whom they watch."),
    Column("private_id", BIG, doc=PRIVATE_ID),
)

EVENT_TABLES: tuple[Table, ...] = (
    events, sessions, handles, core, sdps, ice, selectedpairs, dtls, connections, media, stats, plugins, transports,
    rooms, participants, subscriptions,
)  # fmt: skip
"""Those with a row for an event, by its number."""

PARTITIONED: tuple[Table, ...] = (events, stats)
"""By day, where the database is PostgreSQL."""
