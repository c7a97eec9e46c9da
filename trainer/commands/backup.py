"""`hds-trainer backup` and `restore`: the whole store in one directory, while the trainer runs."""

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from protos.state import state_dir

CHECKPOINTS, DATABASE = "checkpoints", "hds.sqlite"


@dataclass(frozen=True)
class Backup:
    """Copy everything that a trainer keeps to a new directory, also while it runs.

    The database is copied as it is at one moment, to an SQLite file, whichever database it is.
    Example: hds-trainer backup --out backup-2026-11-25
    """

    out: Path
    """Directory to make."""
    state_dir: Path = field(default_factory=lambda: state_dir("trainer"))
    """As in 'hds-trainer serve'."""
    database: str = ""
    """As in 'hds-trainer serve'."""

    def run(self) -> None:
        """Copy, and say how much."""
        from trainer.store.backup import copy_database
        from trainer.store.database import open_database, sqlite_url

        url = self.database or sqlite_url(self.state_dir / DATABASE)
        if not self.database and not (self.state_dir / DATABASE).is_file():
            raise FileNotFoundError(f"{self.state_dir} holds no database; give --state-dir or --database")
        with _made(self.out):
            source = open_database(url, migrate=False)  # a trainer may run on it
            target = open_database(sqlite_url(self.out / DATABASE))
            rows = copy_database(source, target)
            target.dispose()  # so that all is in the one file
            _copy_checkpoints(self.state_dir, self.out)
        print(f"{self.out}: {rows} rows and the checkpoints")


@dataclass(frozen=True)
class Restore:
    """Make a trainer's state from a backup. Nothing that is there is overwritten.

    Also the way from SQLite to PostgreSQL: back up one, restore into the other.
    Example: hds-trainer restore backup-2026-11-25 --database postgresql+psycopg://hds@localhost/hds
    """

    backup: Annotated[Path, tyro.conf.Positional]
    """Directory that 'backup --out' made."""
    state_dir: Path = field(default_factory=lambda: state_dir("trainer"))
    """A directory that is empty or not there."""
    database: str = ""
    """SQLAlchemy URL of an empty database; empty is SQLite in the state directory."""

    def run(self) -> None:
        """Copy, and say how much."""
        from trainer.store.backup import copy_database
        from trainer.store.database import open_database, sqlite_url

        if not (self.backup / DATABASE).is_file():
            raise FileNotFoundError(f"{self.backup} holds no backup; 'hds-trainer backup --out' makes one")
        with _made(self.state_dir), tempfile.TemporaryDirectory() as scratch:
            _copy_checkpoints(self.backup, self.state_dir)
            copy = Path(scratch) / DATABASE  # which is brought to this version's schema
            kept, copied = sqlite3.connect(self.backup / DATABASE), sqlite3.connect(copy)
            with contextlib.closing(kept), contextlib.closing(copied):
                kept.backup(copied)
            target = open_database(self.database or sqlite_url(self.state_dir / DATABASE))
            rows = copy_database(open_database(sqlite_url(copy)), target)
        print(f"{self.state_dir}: {rows} rows and the checkpoints")


@contextlib.contextmanager
def _made(directory: Path) -> Iterator[None]:
    """Make a directory to fill; it is gone again if that fails."""
    if directory.exists() and any(directory.iterdir()):
        raise FileExistsError(f"{directory} is not empty; nothing is overwritten, so name another directory")
    directory.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        shutil.rmtree(directory)
        raise


def _copy_checkpoints(source: Path, target: Path) -> None:
    """Copy checkpoints; they never change once they have their name."""
    (target / CHECKPOINTS).mkdir()
    for path in sorted((source / CHECKPOINTS).glob("[!.]*")):
        shutil.copytree(path, target / CHECKPOINTS / path.name)
