"""Columns of the audit trail with the usual names: action and resource."""

from alembic import op

revision, down_revision = "0005", "0004"


def upgrade() -> None:
    """Rename the columns."""
    for before, after in (("deed", "action"), ("subject", "resource")):
        op.execute(f"ALTER TABLE audit RENAME COLUMN {before} TO {after}")
