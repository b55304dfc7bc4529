"""Call records, and who is in which room and subscribed to whom."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    """Add them; the version that 0001 counted by hand is alembic's to count from here."""
    op.create_table(
        "callrecords",
        sa.Column("correlation_id", sa.String(128), primary_key=True),
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("session", sa.BigInteger()),
        sa.Column("handle", sa.BigInteger()),
        sa.Column("server", sa.String(64)),
        sa.Column("opaque_id", sa.String(255)),
        sa.Column("plugin", sa.String(64)),
        sa.Column("room", sa.String(255)),
        sa.Column("display", sa.String(255)),
        sa.Column("client_address", sa.String(64)),
        sa.Column("network", sa.String(64)),
        sa.Column("browser", sa.String(32)),
        sa.Column("started_us", sa.BigInteger(), nullable=False),
        sa.Column("up_us", sa.BigInteger()),
        sa.Column("ended_us", sa.BigInteger(), nullable=False),
        sa.Column("duration_us", sa.BigInteger(), nullable=False),
        sa.Column("signalling_us", sa.BigInteger()),
        sa.Column("gathering_us", sa.BigInteger()),
        sa.Column("ice_us", sa.BigInteger()),
        sa.Column("dtls_us", sa.BigInteger()),
        sa.Column("first_media_us", sa.BigInteger()),
        sa.Column("stopped_in", sa.String(32)),
        sa.Column("local_type", sa.String(32)),
        sa.Column("remote_type", sa.String(32)),
        sa.Column("selected_pair", sa.String(255)),
        sa.Column("packets_in", sa.BigInteger()),
        sa.Column("packets_out", sa.BigInteger()),
        sa.Column("loss_in", sa.Float()),
        sa.Column("loss_out", sa.Float()),
        sa.Column("jitter_ms", sa.Float()),
        sa.Column("rtt_ms", sa.Float()),
        sa.Column("hangup_reason", sa.String(255)),
        sa.Column("verdict_code", sa.String(64), nullable=False),
        sa.Column("severity", sa.String(32)),
        sa.Column("actor", sa.String(32)),
        sa.Column("record", LONG, nullable=False),
    )
    op.create_index("ix_callrecords_ended", "callrecords", ["ended_us"])
    op.create_index("ix_callrecords_id", "callrecords", ["id"])
    for name, further in (
        ("rooms", ()),
        ("participants", (sa.Column("feed", sa.String(255)), sa.Column("private_id", sa.BigInteger()),
                          sa.Column("display", sa.String(255)))),
        ("subscriptions", (sa.Column("feed", sa.String(255), primary_key=True),
                           sa.Column("private_id", sa.BigInteger()))),
    ):  # fmt: skip
        op.create_table(
            name,
            sa.Column("id", ROW_ID, primary_key=True, autoincrement=False),
            sa.Column("timestamp", sa.BigInteger(), nullable=False),
            sa.Column("session", sa.BigInteger()),
            sa.Column("handle", sa.BigInteger()),
            sa.Column("room", sa.String(255)),
            sa.Column("event", sa.String(32)),
            *further,
            sa.Column("correlation_id", sa.String(128)),
            sa.Column("server", sa.String(64)),
        )
        op.create_index(f"ix_{name}_handle", name, ["session", "handle", "id"])
        op.create_index(f"ix_{name}_room", name, ["room", "id"])
    op.drop_table("schema_version")
