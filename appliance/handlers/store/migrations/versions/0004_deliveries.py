"""What a broker brought, so that it is stored once though the broker brings it to two collectors."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

CHARACTERS: dict[str, Any] = {
    f"{dialect}_{what}": value
    for dialect in ("mysql", "mariadb")
    for what, value in (("charset", "utf8mb4"), ("collate", "utf8mb4_nopad_bin"))
}


def upgrade() -> None:
    """Add it."""
    op.create_table(
        "deliveries",
        sa.Column("message", sa.String(64), primary_key=True),
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("places", sa.Integer(), nullable=False),
        **CHARACTERS,
    )
    op.create_index("ix_deliveries_id", "deliveries", ["id"])
