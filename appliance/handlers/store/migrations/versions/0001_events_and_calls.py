"""The tables of the article of 2016, whole events, and one row a call."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    """Make them in an empty database."""
    op.create_table(
        "calls",
        sa.Column("correlation_id", sa.String(length=128), nullable=False),
        sa.Column("server", sa.String(length=64), nullable=False),
        sa.Column("session", sa.BigInteger(), nullable=False),
        sa.Column("handle", sa.BigInteger(), nullable=False),
        sa.Column("opaque_id", sa.String(length=255)),
        sa.Column("plugin", sa.String(length=64)),
        sa.Column("room", sa.String(length=255)),
        sa.Column("client_address", sa.String(length=64)),
        sa.Column("selected_pair", sa.String(length=255)),
        sa.Column("started_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_us", sa.BigInteger()),
        sa.Column("verdict_code", sa.String(length=64)),
        sa.Column("verdict", LONG),
        sa.PrimaryKeyConstraint("correlation_id"),
    )
    op.create_index("ix_calls_ended", "calls", ["ended_us", "started_us"])
    op.create_index("ix_calls_started", "calls", ["started_us"])
    op.create_table(
        "connections",
        sa.Column("id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("session", sa.BigInteger()),
        sa.Column("handle", sa.BigInteger()),
        sa.Column("state", sa.String(length=32)),
        sa.Column("reason", sa.String(length=255)),
        sa.Column("correlation_id", sa.String(length=128)),
        sa.Column("server", sa.String(length=64)),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_connections_handle", "connections", ["session", "handle", "id"])
    op.create_table(
        "core",
        sa.Column("id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=32)),
        sa.Column("value", sa.String(length=64)),
        sa.Column("server", sa.String(length=64)),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_core_server", "core", ["server", "timestamp"])
    op.create_table(
        "dtls",
        sa.Column("id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("session", sa.BigInteger()),
        sa.Column("handle", sa.BigInteger()),
        sa.Column("stream", sa.Integer()),
        sa.Column("component", sa.Integer()),
        sa.Column("state", sa.String(length=32)),
        sa.Column("retransmissions", sa.Integer()),
        sa.Column("correlation_id", sa.String(length=128)),
        sa.Column("server", sa.String(length=64)),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_dtls_handle", "dtls", ["session", "handle", "id"])
    op.create_table(
        "events",
        sa.Column("id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("session", sa.BigInteger()),
        sa.Column("handle", sa.BigInteger()),
        sa.Column("type", sa.SmallInteger(), nullable=False),
        sa.Column("subtype", sa.SmallInteger(), nullable=False),
        sa.Column("opaque_id", sa.String(length=255)),
        sa.Column("body", LONG, nullable=False),
        sa.Column("correlation_id", sa.String(length=128)),
        sa.Column("server", sa.String(length=64)),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_events_correlation", "events", ["correlation_id", "id"])
    op.create_index("ix_events_handle", "events", ["session", "handle", "id"])
    op.create_table(
        "handles",
        sa.Column("id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("session", sa.BigInteger()),
        sa.Column("handle", sa.BigInteger()),
        sa.Column("event", sa.String(length=32)),
        sa.Column("plugin", sa.String(length=64)),
        sa.Column("opaque_id", sa.String(length=255)),
        sa.Column("correlation_id", sa.String(length=128)),
        sa.Column("server", sa.String(length=64)),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_handles_handle", "handles", ["session", "handle", "id"])
    op.create_index("ix_handles_opaque", "handles", ["opaque_id"])
    op.create_table(
        "ice",
        sa.Column("id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("session", sa.BigInteger()),
        sa.Column("handle", sa.BigInteger()),
        sa.Column("stream", sa.Integer()),
        sa.Column("component", sa.Integer()),
        sa.Column("state", sa.String(length=32)),
        sa.Column("correlation_id", sa.String(length=128)),
        sa.Column("server", sa.String(length=64)),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_ice_handle", "ice", ["session", "handle", "id"])
    op.create_table(
        "media",
        sa.Column("id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("session", sa.BigInteger()),
        sa.Column("handle", sa.BigInteger()),
        sa.Column("medium", sa.String(length=32)),
        sa.Column("receiving", sa.Boolean()),
        sa.Column("mid", sa.String(length=32)),
        sa.Column("substream", sa.Integer()),
        sa.Column("seconds", sa.Integer()),
        sa.Column("correlation_id", sa.String(length=128)),
        sa.Column("server", sa.String(length=64)),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_media_handle", "media", ["session", "handle", "id"])
    op.create_table(
        "plugins",
        sa.Column("id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("session", sa.BigInteger()),
        sa.Column("handle", sa.BigInteger()),
        sa.Column("plugin", sa.String(length=64)),
        sa.Column("event", LONG),
        sa.Column("correlation_id", sa.String(length=128)),
        sa.Column("server", sa.String(length=64)),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_plugins_handle", "plugins", ["session", "handle", "id"])
    op.create_table(
        "schema_version",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )
    op.create_table(
        "sdps",
        sa.Column("id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("session", sa.BigInteger()),
        sa.Column("handle", sa.BigInteger()),
        sa.Column("remote", sa.Boolean()),
        sa.Column("offer", sa.Boolean()),
        sa.Column("sdp", LONG),
        sa.Column("correlation_id", sa.String(length=128)),
        sa.Column("server", sa.String(length=64)),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_sdps_handle", "sdps", ["session", "handle", "id"])
    op.create_table(
        "selectedpairs",
        sa.Column("id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("session", sa.BigInteger()),
        sa.Column("handle", sa.BigInteger()),
        sa.Column("stream", sa.Integer()),
        sa.Column("component", sa.Integer()),
        sa.Column("selected", sa.String(length=255)),
        sa.Column("local_address", sa.String(length=64)),
        sa.Column("local_port", sa.Integer()),
        sa.Column("local_type", sa.String(length=32)),
        sa.Column("remote_address", sa.String(length=64)),
        sa.Column("remote_port", sa.Integer()),
        sa.Column("remote_type", sa.String(length=32)),
        sa.Column("correlation_id", sa.String(length=128)),
        sa.Column("server", sa.String(length=64)),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_selectedpairs_handle", "selectedpairs", ["session", "handle", "id"])
    op.create_table(
        "sessions",
        sa.Column("id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("session", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.String(length=32)),
        sa.Column("transport", sa.String(length=64)),
        sa.Column("transport_id", sa.String(length=64)),
        sa.Column("server", sa.String(length=64)),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_sessions_session", "sessions", ["session", "id"])
    op.create_table(
        "stats",
        sa.Column("id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("session", sa.BigInteger()),
        sa.Column("handle", sa.BigInteger()),
        sa.Column("medium", sa.String(length=32)),
        sa.Column("base", sa.Integer()),
        sa.Column("lsr", sa.BigInteger()),
        sa.Column("lostlocal", sa.BigInteger()),
        sa.Column("lostremote", sa.BigInteger()),
        sa.Column("jitterlocal", sa.Float()),
        sa.Column("jitterremote", sa.Float()),
        sa.Column("packetssent", sa.BigInteger()),
        sa.Column("packetsrecv", sa.BigInteger()),
        sa.Column("bytessent", sa.BigInteger()),
        sa.Column("bytesrecv", sa.BigInteger()),
        sa.Column("nackssent", sa.BigInteger()),
        sa.Column("nacksrecv", sa.BigInteger()),
        sa.Column("mid", sa.String(length=32)),
        sa.Column("mindex", sa.Integer()),
        sa.Column("codec", sa.String(length=32)),
        sa.Column("rtt", sa.Float()),
        sa.Column("correlation_id", sa.String(length=128)),
        sa.Column("server", sa.String(length=64)),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_stats_handle", "stats", ["session", "handle", "id"])
    op.create_table(
        "transports",
        sa.Column("id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("session", sa.BigInteger()),
        sa.Column("handle", sa.BigInteger()),
        sa.Column("plugin", sa.String(length=64)),
        sa.Column("event", LONG),
        sa.Column("transport_id", sa.String(length=64)),
        sa.Column("correlation_id", sa.String(length=128)),
        sa.Column("server", sa.String(length=64)),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_transports_handle", "transports", ["session", "handle", "id"])
    op.create_index("ix_transports_transport", "transports", ["transport_id", "id"])
