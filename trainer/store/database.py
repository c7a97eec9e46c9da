"""How a database is opened, brought to the schema of this version, read and written."""

import contextlib
import logging
import os
import socket
import time
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.event import listen
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError

from protos.operation.lock import InUse, acquire
from protos.operation.private import private_file
from protos.security.caller import caller
from trainer.store.schema import AUDIT
from trainer.store.sqlite_file import FileMoved, SQLiteFile
from trainer.store.turns import Turns

BUSY_MS = 10_000
ONE_TRAINER = 0x4844_5354
"""The number of PostgreSQL's advisory lock that a trainer holds."""
WRITES = "hds_writes"
"""The execution option of a connection that is to write."""


_FILES: weakref.WeakKeyDictionary[sa.Dialect, SQLiteFile] = weakref.WeakKeyDictionary()
_TURNS: weakref.WeakKeyDictionary[sa.Dialect, Turns] = weakref.WeakKeyDictionary()
"""Of the threads of this process that write to a database of SQLite's, which takes one writer at a time."""


class StoreUnavailable(RuntimeError):
    """The database does not take or give anything now; nothing of what was asked is stored."""


def open_database(url: str | sa.URL, migrate: bool = True) -> sa.Engine:
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
            _TURNS[engine.dialect] = Turns()
            if (path := _file_of(engine)) is not None:
                private_file(path)
                _FILES[engine.dialect] = SQLiteFile(path)
        _migrate(engine, migrate)
    except OSError as error:
        if isinstance(error, PermissionError | FileNotFoundError | NotADirectoryError | IsADirectoryError):
            shown = _without_password(url)
            raise OSError(f"the database {shown} cannot be opened ({error}); give a writable one") from error
        raise
    except (SQLAlchemyError, ImportError) as error:
        detail = str(error).splitlines()[0]
        shown = _without_password(url)
        raise OSError(f"the database {shown} cannot be opened ({detail}); give a writable one") from error
    return engine


def sqlite_url(path: Path) -> sa.URL:
    """Return the URL of the SQLite database at `path`, with any characters."""
    return sa.URL.create("sqlite", database=str(path.resolve()))


class Claim(Protocol):
    """That this trainer alone runs on a database."""

    def check(self) -> None:
        """Raise `InUse` if another process holds it, `StoreUnavailable` if that is unknown."""
        ...

    def release(self) -> None:
        """Let another trainer have it."""
        ...


def claim(engine: sa.Engine) -> Claim | None:
    """Keep other trainers from this database; None where no other can reach it.

    Raises:
        InUse: another trainer runs on it, naming which.
        OSError: the lock cannot be written.
    """
    remedy = "give each trainer its own --database and --state-dir"
    if engine.dialect.name == "postgresql":
        return _AdvisoryLock(engine, remedy)
    if (path := _file_of(engine)) is None:
        return None
    return acquire(path.with_name(path.name + ".lock"), f"the database {path}", remedy)


class _AdvisoryLock:
    """PostgreSQL's advisory lock, which lasts as long as the connection that took it."""

    def __init__(self, engine: sa.Engine, remedy: str) -> None:
        self._engine, self._remedy = engine, remedy
        self._connection: sa.Connection | None = None
        self.check()

    def check(self) -> None:
        """Take the lock, or see that it is still held.

        Raises:
            InUse: another trainer has it.
            StoreUnavailable: the database is out of reach.
        """
        with _translated_errors(self._engine):
            try:
                if self._connection is not None:
                    self._connection.execute(sa.text("SELECT 1"))
                    return
            except DBAPIError:
                self._close()
            self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            try:
                self._take(self._connection)
            except BaseException:
                self._close()
                raise

    def _take(self, connection: sa.Connection) -> None:
        name = f"hds-trainer {os.getpid()} on {socket.gethostname()}"[:63]
        connection.execute(sa.text("SELECT set_config('application_name', :name, false)"), {"name": name})
        number = {"number": ONE_TRAINER}
        if connection.execute(sa.text("SELECT pg_try_advisory_lock(:number)"), number).scalar():
            return
        holder = connection.execute(
            sa.text(
                "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE "
                "locktype = 'advisory' AND objid = :number AND granted "
                "AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            ),
            number,
        ).scalar()
        shown = _without_password(self._engine.url)
        who = holder or "another trainer"
        raise InUse(f"the database {shown} is in use by {who}; {self._remedy}", str(who))

    def release(self) -> None:
        """Let another trainer have the database."""
        self._close()

    def _close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(SQLAlchemyError):
                self._connection.invalidate()
                self._connection.close()
            self._connection = None


@contextlib.contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Give a connection with one consistent view.

    Raises:
        StoreUnavailable: the database is out of reach.
    """
    if engine.dialect.name != "sqlite":  # whose readers have one view anyhow
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with _translated_errors(engine):
        with engine.connect() as connection:
            yield connection
        _look(engine)


@contextlib.contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Give a connection whose changes are committed at the end, all or none.

    Raises:
        StoreUnavailable: the database is out of reach or full; nothing was changed.
    """
    turns = _TURNS.get(engine.dialect)
    with turns.turn() if turns else contextlib.nullcontext(), _translated_errors(engine):
        with engine.execution_options(**{WRITES: True}).begin() as connection:
            yield connection
        _look(engine)


def audit(connection: sa.Connection, action: str, resource: str, **detail: Any) -> None:
    """Add a row to the audit trail, in the transaction of the action, with the caller of the RPC."""
    who = caller()
    values = {
        "at_ns": time.time_ns(), "action": action, "resource": resource, "detail": detail, "actor": who.name,
        "peer": who.peer,
    }  # fmt: skip
    connection.execute(AUDIT.insert().values(values))


def audit_rows(engine: sa.Engine, before: int | None = None, limit: int | None = None) -> Sequence[sa.Row]:
    """Return up to `limit` rows of the audit trail, newest first, of those with a smaller id than `before`.

    Raises:
        StoreUnavailable: the database is out of reach.
    """
    query = sa.select(AUDIT).order_by(AUDIT.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(AUDIT.c.id < before)
    with reading(engine) as connection:
        return connection.execute(query).all()


def _file_of(engine: sa.Engine) -> Path | None:
    """Return the file of an SQLite database; None for one in memory, or of another kind."""
    name = engine.url.database
    return Path(name) if engine.dialect.name == "sqlite" and name and name != ":memory:" else None


def _look(engine: sa.Engine) -> None:
    """Check that what was written, or read, is in the files that bear the database's name.

    Raises:
        FileMoved: it is not.
    """
    if (file := _FILES.get(engine.dialect)) is not None:
        file.look()


@contextlib.contextmanager
def _translated_errors(engine: sa.Engine) -> Iterator[None]:
    try:
        yield
    except FileMoved as error:
        file = _FILES[engine.dialect]
        if file.side_alone():  # closing the connections writes what is beside the database into it
            engine.dispose()
            file.forget_side()
        raise StoreUnavailable(f"the database is not available ({error})") from error
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


def _without_password(url: str | sa.URL) -> str:
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
