"""The tables of the first version, which may be there from a time before migrations."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade() -> None:
    """Create what is not there."""
    there = set(sa.inspect(op.get_bind()).get_table_names())
    for name, columns in _tables().items():
        if name not in there:
            op.create_table(name, *columns)
    if "transitions" not in there:
        op.create_index("transitions_by_purpose", "transitions", ["purpose", "session", "sequence"])


def _tables() -> dict[str, list[sa.Column]]:
    session = sa.Column("session", sa.String, sa.ForeignKey("sessions.id"), primary_key=True)
    return {
        "sessions": [
            sa.Column("id", sa.String, primary_key=True),
            *(sa.Column(name, sa.String, nullable=False) for name in ("task", "plant")),
            *(sa.Column(name, sa.JSON, nullable=False) for name in ("state_names", "action_names")),
            sa.Column("control_dt_s", sa.Double, nullable=False),
            sa.Column("next_sequence", sa.BigInteger, nullable=False),
        ],
        "transitions": [
            session,
            sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
            *(sa.Column(name, sa.Integer, nullable=False) for name in ("episode", "purpose")),
            *(
                sa.Column(name, sa.LargeBinary, nullable=False)
                for name in ("x", "u_requested", "u_applied", "x_next")
            ),
            sa.Column("t_ns", sa.BigInteger, nullable=False),
            *(sa.Column(name, sa.Boolean, nullable=False) for name in ("terminated", "truncated")),
            sa.Column("policy_version", sa.String, nullable=False),
            sa.Column("action_source", sa.Integer, nullable=False),
            sa.Column("fallback_reason", sa.String, nullable=False),
        ],
        "policies": [
            sa.Column("version", sa.String, primary_key=True),
            *(sa.Column(name, sa.String, nullable=False) for name in ("task", "parent")),
            sa.Column("real_seconds", sa.Double, nullable=False),
            sa.Column("metrics", sa.JSON, nullable=False),
            sa.Column("created_ns", sa.BigInteger, nullable=False),
        ],
        "labels": [
            sa.Column("label", sa.String, primary_key=True),
            sa.Column("version", sa.String, sa.ForeignKey("policies.version"), nullable=False),
        ],
        "jobs": [
            sa.Column("id", sa.String, primary_key=True),
            sa.Column("created_ns", sa.BigInteger, nullable=False),
            sa.Column("job", sa.LargeBinary, nullable=False),
        ],
    }
