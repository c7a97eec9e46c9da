"""The tables, and how a database is opened."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.event import listen
from sqlalchemy.exc import SQLAlchemyError

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
)

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
)
sa.Index("transitions_by_purpose", TRANSITIONS.c.purpose, TRANSITIONS.c.session, TRANSITIONS.c.sequence)

POLICIES = sa.Table(
    "policies",
    METADATA,
    sa.Column("version", sa.String, primary_key=True),
    sa.Column("task", sa.String, nullable=False),
    sa.Column("parent", sa.String, nullable=False),
    sa.Column("real_seconds", sa.Double, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
)

LABELS = sa.Table(
    "labels",
    METADATA,
    sa.Column("label", sa.String, primary_key=True),
    sa.Column("version", sa.String, sa.ForeignKey("policies.version"), nullable=False),
)

JOBS = sa.Table(
    "jobs",
    METADATA,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("job", sa.LargeBinary, nullable=False),
)


def open_database(url: str) -> sa.Engine:
    """Open the database at `url` and create the tables it lacks.

    SQLite runs in WAL mode with `synchronous=FULL`: a commit is on the disk when it returns, and
    readers do not wait for the writer.

    Raises:
        OSError: naming the URL, if it cannot be opened or written.
    """
    try:
        engine = sa.create_engine(url)
        if engine.dialect.name == "sqlite":
            listen(engine, "connect", _configure_sqlite)
        METADATA.create_all(engine)
    except (SQLAlchemyError, ImportError) as error:
        detail = str(error).splitlines()[0]
        raise OSError(f"the database {url} cannot be opened ({detail}); give a writable one") from error
    return engine


def sqlite_url(path: Path) -> str:
    """Return the URL of the SQLite database at `path`."""
    return f"sqlite:///{path.resolve()}"


def _configure_sqlite(connection: Any, record: object) -> None:
    del record
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "busy_timeout = 10000"):
        connection.execute(f"PRAGMA {pragma}")
