"""What the trainer has not acknowledged yet, on disk.

SQLite in WAL mode: a commit costs no fsync, so that recording a tick takes some tens of
microseconds, and survives the death of the process. It is bounded: what does not fit is told, never dropped.
"""

import contextlib
import fcntl
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from protos.hds import v1
from protos.state import state_dir

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, session BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS transitions (
    session TEXT NOT NULL REFERENCES sessions (id),
    sequence INTEGER NOT NULL,
    transition BLOB NOT NULL,
    PRIMARY KEY (session, sequence)
) WITHOUT ROWID;
"""


MOST = 1_000_000
"""Transitions; some 250 MB."""
BUSY_S = 1.0
"""How long to wait for another program that has the file locked."""


def default_spool() -> Path:
    """Return where the spool lies unless told otherwise."""
    return state_dir("real_env") / "spool.sqlite"


class SpoolFull(OSError):
    """Nothing more can be kept."""


class Spool:
    """Transitions by session and sequence number; safe to use from several threads."""

    def __init__(self, path: Path, most: int = MOST) -> None:
        """Open or create the spool at `path`, for at most `most` transitions of all sessions.

        Raises:
            OSError: naming the path, if it cannot be written, or another run uses it: each needs its own.
        """
        self.path, self.most = path, most
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._held = path.with_name(path.name + ".lock").open("w")
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(f"the spool {path} is in use by another run; give each its own --spool") from error
        except OSError as error:
            raise OSError(f"the spool {path} cannot be written ({error}); give a writable --spool") from error
        try:
            self._database = sqlite3.connect(
                path, timeout=BUSY_S, check_same_thread=False, isolation_level=None
            )
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise OSError(f"the spool {path} cannot be written ({error}); give a writable --spool") from error
        self._lock = threading.Lock()
        self._count = self._database.execute("SELECT COUNT(*) FROM transitions").fetchone()[0]

    def open_session(self, session: v1.Session) -> None:
        """Note who the following transitions belong to.

        Raises:
            SpoolFull: it cannot be noted.
        """
        with self._writing():
            self._database.execute(
                "INSERT OR IGNORE INTO sessions VALUES (?, ?)", (session.id, session.SerializeToString())
            )

    def append(self, session: str, transition: v1.Transition) -> None:
        """Keep one transition.

        Raises:
            SpoolFull: there are `most`, or the disk takes no more; this one is not kept.
        """
        row = (session, transition.sequence, transition.SerializeToString())
        with self._writing():
            if self._count >= self.most:
                raise SpoolFull(
                    f"the spool {self.path} is full: {self._count} transitions wait for the trainer, allowed "
                    f"are {self.most}; connect the trainer, or give a larger --spool-limit"
                )
            self._database.execute("INSERT INTO transitions VALUES (?, ?, ?)", row)
            self._count += 1

    def sessions(self) -> list[v1.Session]:
        """Return the sessions that have transitions here, in the order of their ids."""
        kept = "SELECT 1 FROM transitions WHERE transitions.session = sessions.id"
        query = f"SELECT session FROM sessions WHERE EXISTS ({kept}) ORDER BY id"
        with self._lock:
            return [v1.Session.FromString(blob) for (blob,) in self._database.execute(query)]

    def read(self, session: str, first: int, limit: int) -> list[v1.Transition]:
        """Return up to `limit` transitions from sequence number `first` on."""
        query = (
            "SELECT transition FROM transitions WHERE session = ? AND sequence >= ? ORDER BY sequence LIMIT ?"
        )
        with self._lock:
            rows = self._database.execute(query, (session, first, limit)).fetchall()
        return [v1.Transition.FromString(blob) for (blob,) in rows]

    def acknowledge(self, session: str, next_sequence: int) -> None:
        """Drop the transitions with a smaller sequence number: the trainer has them.

        Raises:
            SpoolFull: the disk does not even take that; they stay, and do no harm.
        """
        with self._writing():
            gone = self._database.execute(
                "DELETE FROM transitions WHERE session = ? AND sequence < ?", (session, next_sequence)
            )
            self._count -= gone.rowcount

    def waiting(self) -> int:
        """Return how many transitions are not acknowledged."""
        with self._lock:
            return self._count

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()
            self._held.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.OperationalError as error:
                raise SpoolFull(f"the spool {self.path} takes no more ({error}); make space") from error
