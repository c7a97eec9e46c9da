"""The audit trail says who, a policy whether its checkpoint was deleted; sessions are found by their time."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0004", "0003"


def upgrade() -> None:
    """Add the columns and the index."""
    for column in ("actor", "peer"):
        op.add_column("audit", sa.Column(column, sa.String, nullable=False, server_default=""))
    op.add_column("policies", sa.Column("pruned_ns", sa.BigInteger, nullable=False, server_default="0"))
    op.create_index("sessions_by_time", "sessions", ["begun_ns", "id"])
