"""Partitions by day on PostgreSQL; on MariaDB every character, each different from every other, and doubles."""

from alembic import op
from sqlalchemy import text

revision = "0003"
down_revision = "0002"

DAY_US = 86_400_000_000
INDEXES = {
    "events": {"handle": "session, handle, id", "correlation": "correlation_id, id"},
    "stats": {"handle": "session, handle, id"},
}
TABLES = (
    "events", "sessions", "handles", "core", "sdps", "ice", "selectedpairs", "dtls", "connections", "media", "stats",
    "plugins", "transports", "calls", "callrecords", "rooms", "participants", "subscriptions",
)  # fmt: skip
TEXTS = {
    "events": ("body MEDIUMTEXT NOT NULL",), "sdps": ("sdp MEDIUMTEXT",), "plugins": ("event MEDIUMTEXT",),
    "transports": ("event MEDIUMTEXT",), "calls": ("verdict MEDIUMTEXT",),
    "callrecords": ("record MEDIUMTEXT NOT NULL",),
}  # fmt: skip
"""Which the conversion makes longer than they are."""
REALS = {
    "stats": ("jitterlocal", "jitterremote", "rtt"),
    "callrecords": ("loss_in", "loss_out", "jitter_ms", "rtt_ms"),
}


def upgrade() -> None:
    """What there is stays where it is: the old table becomes the first partition."""
    name = op.get_bind().dialect.name
    if name == "postgresql":
        for table, indexes in INDEXES.items():
            _partition(table, indexes)
    elif name in ("mysql", "mariadb"):
        for table in TABLES:
            changes = [
                "CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin",
                *(f"MODIFY {column} DOUBLE" for column in REALS.get(table, ())),
            ]
            op.execute(f"ALTER TABLE {table} {', '.join(changes)}")
            for column in TEXTS.get(table, ()):
                op.execute(f"ALTER TABLE {table} MODIFY {column}")


def _partition(table: str, indexes: dict[str, str]) -> None:
    old = f"{table}_before"
    op.execute(f"ALTER TABLE {table} RENAME TO {old}")
    op.execute(f"ALTER INDEX {table}_pkey RENAME TO {old}_pkey")
    for index in indexes:
        op.execute(f"ALTER INDEX ix_{table}_{index} RENAME TO ix_{old}_{index}")
    op.execute(f"CREATE TABLE {table} (LIKE {old}, CONSTRAINT {table}_pkey PRIMARY KEY (id)) PARTITION BY RANGE (id)")
    for index, columns in indexes.items():
        op.execute(f"CREATE INDEX ix_{table}_{index} ON {table} ({columns})")
    last = op.get_bind().execute(text(f"SELECT max(id) FROM {old}")).scalar()  # noqa: S608  # a name of ours
    end = 0 if last is None else (last // DAY_US + 1) * DAY_US
    op.execute(f"ALTER TABLE {table} ATTACH PARTITION {old} FOR VALUES FROM (MINVALUE) TO ({end})")
