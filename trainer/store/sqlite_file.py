"""The files of an SQLite database, watched: a deleted or replaced one still takes what is written to it.

A process that has a file open goes on writing to it when it has lost its name, and everything written is gone
with the last one that closes it. So who acknowledges looks first whether the names still lead to the files.
"""

import os
from pathlib import Path

Identity = tuple[int, int]
SIDE = ("-wal", "-shm")
"""What SQLite keeps beside the database while it is open."""


class FileMoved(RuntimeError):
    """A file of the database is not the one that was opened; the message says which and what to do."""


class SQLiteFile:
    """The files of the database at `path`, as they were when `look` first saw them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[Path, Identity] = {}

    def look(self) -> None:
        """Check that the files are those of before.

        Raises:
            FileMoved: one of them is not.
        """
        self._check(self.path, "put it back, or restart the trainer, which then begins anew")
        for ending in SIDE:
            self._check(self.path.with_name(self.path.name + ending), "what is in it is saved first")

    def forget_side(self) -> None:
        """Take the files beside the database as they come: all connections were closed."""
        self._known = {path: known for path, known in self._known.items() if path == self.path}

    def side_alone(self) -> bool:
        """Return whether the database itself is the one of before."""
        return _identity(self.path) == self._known.get(self.path)

    def _check(self, path: Path, remedy: str) -> None:
        now, known = _identity(path), self._known.get(path)
        if known is None:
            if now is not None:
                self._known[path] = now
            return
        if now != known:
            what = "was deleted" if now is None else "was replaced by another file"
            raise FileMoved(f"{path} {what} while it was open: {remedy}")


def _identity(path: Path) -> Identity | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
