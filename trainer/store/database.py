"""How a database is opened, brought to the schema of this version, read and written."""

import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.event import listen
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError

from trainer.store.schema import AUDIT

BUSY_MS = 10_000
WRITES = "hds_writes"
"""The execution option of a connection that is to write."""


class StoreUnavailable(RuntimeError):
    """The database does not take or give anything now; nothing of what was asked is stored."""


def open_database(url: str, migrate: bool = True) -> sa.Engine:
    """Open the database at `url` and bring its schema to that of this version, or refuse it if not `migrate`.

    SQLite runs in WAL mode with `synchronous=FULL`: a commit is on the disk when it returns, and
    readers do not wait for the writer. Any other database is reached through SQLAlchemy's driver of the
    URL, for example `postgresql+psycopg://user:password@host/name`; a broken connection is made anew.

    Raises:
        OSError: naming the URL, if it cannot be opened or written, or was written by a newer version.
    """
    try:
        engine = sa.create_engine(url, pool_pre_ping=True)
        if engine.dialect.name == "sqlite":
            listen(engine, "connect", _configure_sqlite)
            listen(engine, "begin", _begin_sqlite)
        _migrate(engine, migrate)
    except (SQLAlchemyError, ImportError) as error:
        detail = str(error).splitlines()[0]
        shown = _without_password(url)
        raise OSError(f"the database {shown} cannot be opened ({detail}); give a writable one") from error
    return engine


def sqlite_url(path: Path) -> str:
    """Return the URL of the SQLite database at `path`."""
    return f"sqlite:///{path.resolve()}"


@contextlib.contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Give a connection with one consistent view.

    Raises:
        StoreUnavailable: the database is out of reach.
    """
    if engine.dialect.name != "sqlite":  # whose readers have one view anyhow
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with _told(), engine.connect() as connection:
        yield connection


@contextlib.contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Give a connection whose changes are committed at the end, all or none.

    Raises:
        StoreUnavailable: the database is out of reach or full; nothing was changed.
    """
    with _told(), engine.execution_options(**{WRITES: True}).begin() as connection:
        yield connection


def note(connection: sa.Connection, deed: str, subject: str, **detail: Any) -> None:
    """Add to the audit trail, in the transaction of what is noted."""
    values = {"at_ns": time.time_ns(), "deed": deed, "subject": subject, "detail": detail}
    connection.execute(AUDIT.insert().values(values))


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, psycopg.OperationalError) as error:
        if isinstance(error, IntegrityError | ProgrammingError | DataError):
            raise
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise StoreUnavailable(f"the database is not available ({str(cause).splitlines()[0]})") from error


def _migrate(engine: sa.Engine, may: bool) -> None:
    """Run the migrations that the database lacks, in one transaction; where it must not be, say so."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", "trainer.store:migrations")
    script = ScriptDirectory.from_config(config)
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    known = [revision.revision for revision in script.walk_revisions()]
    if current is not None and current not in known:
        raise OSError(
            f"the database {_without_password(str(engine.url))} has the schema {current!r}; this version of "
            f"HDS knows up to {script.get_current_head()!r}: use the version that wrote it, or a newer one"
        )
    if current == script.get_current_head():
        return
    if not may:
        raise OSError(
            f"the database {_without_password(str(engine.url))} has the schema {current!r}, and this version "
            f"of HDS {script.get_current_head()!r}: start its trainer once, which brings it there"
        )
    with engine.execution_options(**{WRITES: True}).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _without_password(url: str) -> str:
    return sa.make_url(url).render_as_string(hide_password=True)


def _configure_sqlite(connection: Any, record: object) -> None:
    del record
    connection.isolation_level = None  # transactions begin where SQLAlchemy begins them, DDL too
    pragmas = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", f"busy_timeout = {BUSY_MS}")
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    """Begin; a writer takes the lock at once, since what it reads must still hold when it writes."""
    writes = connection.get_execution_options().get(WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
