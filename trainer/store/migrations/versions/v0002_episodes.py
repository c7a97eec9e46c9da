"""Episodes as rows of their own, tags and origin of sessions, and the audit trail.

What is asked of a purpose is asked of episodes from here on: the index over all transitions goes, which
made each one dearer to store.
"""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    """Create the tables, and fill the episodes from the transitions that are there."""
    op.add_column("sessions", sa.Column("begun_ns", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("sessions", sa.Column("source", sa.String, nullable=False, server_default="stream"))
    op.create_table(
        "episodes",
        sa.Column("session", sa.String, sa.ForeignKey("sessions.id"), primary_key=True),
        sa.Column("episode", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("purpose", sa.Integer, nullable=False),
        sa.Column("first_sequence", sa.BigInteger, nullable=False),
        sa.Column("end_sequence", sa.BigInteger, nullable=False),
        sa.Column("steps", sa.Integer, nullable=False),
    )
    op.create_index("episodes_by_purpose", "episodes", ["purpose", "session"])
    op.execute(
        "INSERT INTO episodes (session, episode, purpose, first_sequence, end_sequence, steps) "
        "SELECT session, episode, MIN(purpose), MIN(sequence), MAX(sequence) + 1, COUNT(*) FROM transitions "
        "GROUP BY session, episode"
    )
    op.drop_index("transitions_by_purpose", "transitions")
    op.create_table(
        "tags",
        sa.Column("session", sa.String, sa.ForeignKey("sessions.id"), primary_key=True),
        sa.Column("tag", sa.String, primary_key=True),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.Column("deed", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
    )
