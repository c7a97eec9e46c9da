"""The tables. How they came to be is in `migrations`; how a database is opened, in `database`."""

import sqlalchemy as sa

METADATA = sa.MetaData()

SESSIONS = sa.Table(
    "sessions",
    METADATA,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("task", sa.String, nullable=False),
    sa.Column("plant", sa.String, nullable=False),
    sa.Column("state_names", sa.JSON, nullable=False),
    sa.Column("action_names", sa.JSON, nullable=False),
    sa.Column("control_dt_s", sa.Double, nullable=False),
    sa.Column("next_sequence", sa.BigInteger, nullable=False),
    sa.Column("begun_ns", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("source", sa.String, nullable=False, server_default="stream"),
)
"""`begun_ns`: first batch [ns since 1970-01-01 UTC], 0 before this was noted; `source`: stream or a file."""

EPISODES = sa.Table(
    "episodes",
    METADATA,
    sa.Column("session", sa.String, sa.ForeignKey("sessions.id"), primary_key=True),
    sa.Column("episode", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("purpose", sa.Integer, nullable=False),
    sa.Column("first_sequence", sa.BigInteger, nullable=False),
    sa.Column("end_sequence", sa.BigInteger, nullable=False),
    sa.Column("steps", sa.Integer, nullable=False),
)
sa.Index("episodes_by_purpose", EPISODES.c.purpose, EPISODES.c.session)
sa.Index("sessions_by_time", SESSIONS.c.begun_ns, SESSIONS.c.id)

TRANSITIONS = sa.Table(
    "transitions",
    METADATA,
    sa.Column("session", sa.String, sa.ForeignKey("sessions.id"), primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("episode", sa.Integer, nullable=False),
    sa.Column("purpose", sa.Integer, nullable=False),
    sa.Column("x", sa.LargeBinary, nullable=False),
    sa.Column("u_requested", sa.LargeBinary, nullable=False),
    sa.Column("u_applied", sa.LargeBinary, nullable=False),
    sa.Column("x_next", sa.LargeBinary, nullable=False),
    sa.Column("t_ns", sa.BigInteger, nullable=False),
    sa.Column("terminated", sa.Boolean, nullable=False),
    sa.Column("truncated", sa.Boolean, nullable=False),
    sa.Column("policy_version", sa.String, nullable=False),
    sa.Column("action_source", sa.Integer, nullable=False),
    sa.Column("fallback_reason", sa.String, key="reason", nullable=False),
    sa.Column("end_cause", sa.Integer, key="end", nullable=False, server_default="0"),
)

TAGS = sa.Table(
    "tags",
    METADATA,
    sa.Column("session", sa.String, sa.ForeignKey("sessions.id"), primary_key=True),
    sa.Column("tag", sa.String, primary_key=True),
)

POLICIES = sa.Table(
    "policies",
    METADATA,
    sa.Column("version", sa.String, primary_key=True),
    sa.Column("task", sa.String, nullable=False),
    sa.Column("parent", sa.String, nullable=False),
    sa.Column("real_seconds", sa.Double, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("pruned_ns", sa.BigInteger, nullable=False, server_default="0"),
)
"""`pruned_ns`: when its checkpoint was deleted [ns since 1970-01-01 UTC], 0 while it is there."""

LABELS = sa.Table(
    "labels",
    METADATA,
    sa.Column("label", sa.String, primary_key=True),
    sa.Column("task", sa.String, primary_key=True),
    sa.Column("version", sa.String, sa.ForeignKey("policies.version"), nullable=False),
)

JOBS = sa.Table(
    "jobs",
    METADATA,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("job", sa.LargeBinary, nullable=False),
)

EPOCHS = sa.Table(
    "job_epochs",
    METADATA,
    sa.Column("job", sa.String, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sa.Column("scalars", sa.JSON, nullable=False),
)
"""The figures of every epoch of a job, from number 1; `at_ns` is when it ended [ns since 1970-01-01 UTC]."""

AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sa.Column("action", sa.String, nullable=False),
    sa.Column("resource", sa.String, nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),
    sa.Column("actor", sa.String, nullable=False, server_default=""),
    sa.Column("peer", sa.String, nullable=False, server_default=""),
)
"""The audit trail: changes of labels, policies, imports, tags and deletions. Rows are only added.

`actor` is the token or certificate of the caller, `peer` its address.
"""
