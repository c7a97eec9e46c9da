"""What the trainer has not acknowledged yet, on disk.

SQLite in WAL mode: a commit costs no fsync, so that recording a tick takes some tens of
microseconds, and survives the death of the process. It is bounded: what does not fit is told, never dropped.
While the disk is full, or another program has the file locked, transitions are held in memory, in order, and
written as soon as that is possible; nobody who records waits for it.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from google.protobuf.message import DecodeError

from protos.hds import v1
from protos.operation.lock import acquire
from protos.operation.private import private_directory, private_file
from protos.state import state_dir

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, session BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS transitions (
    session TEXT NOT NULL REFERENCES sessions (id),
    sequence INTEGER NOT NULL,
    transition BLOB NOT NULL,
    PRIMARY KEY (session, sequence)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refused (session TEXT PRIMARY KEY, why TEXT NOT NULL);
"""


MOST = 1_000_000
"""Transitions; some 250 MB."""
MOST_HELD = 100_000
"""Transitions in memory while the file takes none; some 25 MB."""
BUSY_S = 1.0
"""How long a reader waits for another program that has the file locked [s]; who records waits for nobody."""
LARGEST = 2**63 - 1
TOGETHER = 200
"""Transitions written at a time, some 2 ms. After a failure many are held, and no tick may wait for all."""
AGAIN_S = 0.25
"""How long after a failure the file is tried again [s]."""


def default_spool() -> Path:
    """Return where the spool lies unless told otherwise."""
    return state_dir("real_env") / "spool.sqlite"


class SpoolFull(OSError):
    """Nothing more can be kept."""


class Unreadable(ValueError):
    """What is kept of a session cannot be read."""


class Kept(NamedTuple):
    """What the spool has of a session; `refused` is why it is not sent, empty if it is."""

    session: str
    task: str
    plant: str
    transitions: int
    refused: str


class _Row(NamedTuple):
    session: str
    sequence: int
    transition: bytes


class Spool:
    """Transitions by session and sequence number; safe to use from several threads."""

    def __init__(self, path: Path, most: int = MOST, say: Callable[[str], None] = lambda words: None) -> None:
        """Open or create the spool at `path`, for at most `most` transitions of all sessions.

        A file that is no spool is set aside, which `say` is told.

        Raises:
            OSError: naming the path, if it cannot be written, or another run uses it: each needs its own.
        """
        self.path, self.most, self._say = path, most, say
        try:
            private_directory(path.parent)
            self._lock_file = acquire(
                path.with_name(path.name + ".lock"), f"the spool {path}", "give each run its own --spool"
            )
        except OSError as error:
            if isinstance(error, PermissionError | FileExistsError | NotADirectoryError | IsADirectoryError):
                raise OSError(
                    f"the spool {path} cannot be written ({error}); give a writable --spool"
                ) from error
            raise
        self._reading, self._writing, self._holding = threading.Lock(), threading.Lock(), threading.Lock()
        """Taken in the order: holding, writing, reading."""
        self._held: list[_Row] = []
        self._held_sessions: dict[str, bytes] = {}
        self._trouble, self._again_at, self._closed = "", 0.0, False
        self._gone: dict[str, int] = {}
        """By session: what is acknowledged below this number could not be deleted yet."""
        try:
            self._open_or_set_aside()
        except BaseException:
            self._lock_file.release()
            raise

    def open_session(self, session: v1.Session) -> None:
        """Note who the following transitions belong to."""
        with self._holding:
            self._held_sessions[session.id] = session.SerializeToString()
            self._write_held()

    def append(self, session: str, transition: v1.Transition) -> None:
        """Keep one transition.

        Raises:
            SpoolFull: there are `most`, or the file has taken none for long; this one is not kept.
        """
        row = _Row(session, transition.sequence, transition.SerializeToString())
        with self._holding:
            if self._count >= self.most:
                raise SpoolFull(
                    f"the spool {self.path} is full: {self._count} transitions wait for the trainer, allowed "
                    f"are {self.most}; connect the trainer, or give a larger --spool-limit"
                )
            if len(self._held) >= MOST_HELD:
                raise SpoolFull(
                    f"the spool {self.path} takes no more ({self._trouble}), and {len(self._held)} "
                    "transitions are held in memory; make space, or connect the trainer"
                )
            self._held.append(row)
            self._count += 1
            self._write_held()

    def sessions(self) -> list[v1.Session]:
        """Return the sessions that have transitions here, in the order of their ids."""
        with self._holding:
            blobs = {row.session: self._held_sessions.get(row.session) for row in self._held}
            gone = dict(self._gone)
        last = "SELECT MAX(sequence) FROM transitions WHERE transitions.session = sessions.id"
        for name, blob, reached in self._read(f"SELECT id, session, ({last}) FROM sessions"):
            if reached is not None and reached >= gone.get(name, 0):
                blobs[name] = blob
        for name in [name for name, blob in blobs.items() if blob is None]:
            blobs |= dict(self._read("SELECT id, session FROM sessions WHERE id = ?", name))
        found = []
        for name, blob in sorted(blobs.items()):
            try:
                found.append(v1.Session.FromString(blob or b""))
            except DecodeError:
                self.refuse(name, "what is kept of the session cannot be read")
        return found

    def read(self, session: str, first: int, limit: int) -> list[v1.Transition]:
        """Return up to `limit` transitions from sequence number `first` on.

        Raises:
            Unreadable: one of them is damaged.
        """
        query = (
            "SELECT sequence, transition FROM transitions WHERE session = ? AND sequence >= ? "
            "ORDER BY sequence LIMIT ?"
        )
        with self._holding:  # first, for what is written meanwhile is then found twice, and not missed
            held = {row.sequence: row.transition for row in self._held if row.session == session}
            first = max(first, self._gone.get(session, 0))
        rows = dict(self._read(query, session, first, limit))
        rows |= {sequence: blob for sequence, blob in held.items() if sequence >= first}
        try:
            return [v1.Transition.FromString(rows[sequence]) for sequence in sorted(rows)[:limit]]
        except DecodeError as error:
            raise Unreadable(f"a transition from {first} on cannot be read") from error

    def acknowledge(self, session: str, next_sequence: int) -> None:
        """Drop the transitions with a smaller sequence number: the trainer has them.

        Where the disk does not even take that, they are dropped later.
        """
        with self._holding:
            gone = [row for row in self._held if row.session == session and row.sequence < next_sequence]
            if gone:
                dropped = set(gone)
                self._held = [row for row in self._held if row not in dropped]
                self._count -= len(gone)
        self._delete(session, next_sequence)

    def refuse(self, session: str, why: str) -> None:
        """Note that the trainer does not take a session; it stays here until it is discarded or taken."""
        with contextlib.suppress(sqlite3.Error), self._writing:
            self._writer.execute("INSERT OR REPLACE INTO refused VALUES (?, ?)", (session, why))

    def kept(self) -> list[Kept]:
        """Return what there is, by session."""
        query = (
            "SELECT transitions.session, sessions.session, COUNT(*), refused.why FROM transitions "
            "LEFT JOIN sessions ON sessions.id = transitions.session "
            "LEFT JOIN refused ON refused.session = transitions.session "
            "GROUP BY transitions.session ORDER BY transitions.session"
        )
        rows = self._read(query)
        found = []
        for name, blob, count, why in rows:
            try:
                session = v1.Session.FromString(blob or b"")
            except DecodeError:
                session = v1.Session()
            found.append(Kept(name, session.task, session.plant.name, count, why or ""))
        return found

    def discard(self, session: str) -> int:
        """Delete what is kept of a session, and return how many transitions that were."""
        with self._holding:
            count = sum(row.session == session for row in self._held)
            self._held = [row for row in self._held if row.session != session]
            self._count -= count
        return count + self._delete(session, LARGEST)

    def waiting(self) -> int:
        """Return how many transitions are not acknowledged."""
        with self._holding:
            return self._count

    def held(self) -> int:
        """Return how many transitions are in memory only, since the file does not take them."""
        with self._holding:
            self._write_held(everything=True)
            return len(self._held)

    def close(self) -> None:
        """Close the file; closing it twice is harmless."""
        if self._closed:
            return
        self._closed = True
        with self._holding:
            self._again_at = 0.0
            self._write_held(everything=True)
            self._forget()
        with self._holding, self._writing, self._reading:
            if self._held:
                self._say(
                    f"{len(self._held)} transitions are lost: the spool {self.path} takes no more "
                    f"({self._trouble}), and the trainer was not there"
                )
            self._writer.close()
            self._reader.close()
            self._lock_file.release()

    def _read(self, query: str, *values: object) -> list[tuple]:
        """Return the rows of a query; none while another program has had the file locked from the start."""
        if not self._prepared:
            return []
        with self._reading:
            return self._reader.execute(query, values).fetchall()

    def _write_held(self, everything: bool = False) -> None:
        """Write what is held, if the file takes it, or the first `TOGETHER` rows; `_holding` is held."""
        if not (self._held or self._held_sessions) or time.monotonic() < self._again_at:
            return
        try:
            self._prepare()
            self._write_some()
            while everything and self._held:
                self._write_some()
        except sqlite3.Error as error:
            self._again_at = time.monotonic() + AGAIN_S
            if not self._trouble:
                self._say(f"the spool {self.path} takes nothing ({error}); transitions are held in memory")
            self._trouble = str(error)
            return
        self._again_at = 0.0
        if self._trouble and not self._held:
            self._say(f"the spool {self.path} takes transitions again")
            self._trouble = ""
            self._forget()

    def _write_some(self) -> None:
        part = self._held[:TOGETHER]
        with self._writing:
            self._commit(list(self._held_sessions.items()), part)
        self._held, self._held_sessions = self._held[len(part) :], {}

    def _commit(self, sessions: list[tuple[str, bytes]], rows: list[_Row]) -> None:
        """Write all, or nothing; `_writing` is held."""
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.executemany("INSERT OR IGNORE INTO sessions VALUES (?, ?)", sessions)
            self._writer.executemany("INSERT OR IGNORE INTO transitions VALUES (?, ?, ?)", rows)
            self._writer.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                self._writer.execute("ROLLBACK")
            raise

    def _delete(self, session: str, end: int) -> int:
        """Delete what is before `end`, now or as soon as the file takes that; return how many there were."""
        rows = "FROM transitions WHERE session = ? AND sequence >= ? AND sequence < ?"
        with self._holding:
            first = self._gone.get(session, 0)
        count = sum(n for (n,) in self._read(f"SELECT COUNT(*) {rows}", session, first, end))
        with self._holding:
            self._gone[session] = max(end, first)
            self._count -= count
            self._forget()
        return count

    def _forget(self) -> None:
        """Delete what is acknowledged, as far as the file takes that; `_holding` is held."""
        if not self._gone or not self._prepared:
            return
        with contextlib.suppress(sqlite3.Error), self._writing:
            for session, end in list(self._gone.items()):
                self._writer.execute(
                    "DELETE FROM transitions WHERE session = ? AND sequence < ?", (session, end)
                )
                self._writer.execute(f"DELETE FROM refused WHERE session = ? AND {_NONE_LEFT}", (session,))
                del self._gone[session]

    def _open_or_set_aside(self) -> None:
        try:
            self._open()
        except sqlite3.OperationalError as error:
            raise OSError(
                f"the spool {self.path} cannot be written ({error}); give a writable --spool"
            ) from error
        except sqlite3.DatabaseError as error:
            aside = f"{self.path.name}.broken-{time.time_ns()}"
            for ending in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    self.path.with_name(self.path.name + ending).rename(self.path.with_name(aside + ending))
            self._say(
                f"the spool {self.path} cannot be read ({error}); it is now {aside}, and a new one began"
            )
            self._open()

    def _open(self) -> None:
        private_file(self.path)
        self._reader = self._connection(BUSY_S)
        self._writer = self._connection(0.0)
        self._count, self._prepared = 0, False
        try:
            self._prepare()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            self._trouble, self._again_at = str(error), time.monotonic() + AGAIN_S
            self._say(f"the spool {self.path} is locked by another program; transitions are held in memory")

    def _prepare(self) -> None:
        """Make the tables, and count what is there; once, as soon as nobody has the file locked.

        Raises:
            sqlite3.Error: it is locked, or no spool.
        """
        if self._prepared:
            return
        with self._writing:
            for pragma in ("journal_mode = WAL", "synchronous = NORMAL"):
                self._writer.execute(f"PRAGMA {pragma}")
            for statement in _SCHEMA.split(";\n"):
                self._writer.execute(statement)
            self._count += self._writer.execute("SELECT COUNT(*) FROM transitions").fetchone()[0]
        self._prepared = True

    def _connection(self, busy_s: float) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=busy_s, check_same_thread=False, isolation_level=None)


_NONE_LEFT = "NOT EXISTS (SELECT 1 FROM transitions WHERE transitions.session = refused.session)"
