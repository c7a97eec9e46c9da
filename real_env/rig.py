"""A rig: its name, its emergency stop latched on disk, and its lock, independent of the working directory."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import quote

from protos.operation.lock import InUse, lock
from protos.state import VARIABLE, rig_dirs


class StopLatched(RuntimeError):
    """The emergency stop is latched."""


class RigInUse(RuntimeError):
    """Another run drives the rig."""


class Rig:
    """The rig called `name`. Its files are in the directories `places`; the first writable one is written to.

    `legacy` is the latch file of earlier versions.
    """

    def __init__(self, name: str, places: list[Path], legacy: Path | None = None) -> None:
        self.name = name
        self._places, self._legacy = places, legacy

    def check(self) -> None:
        """Check that the rig may be driven.

        Raises:
            StopLatched: with the reason, and how to reset it.
        """
        for path in self._latches():
            if path.exists():
                raise StopLatched(
                    f"the emergency stop of rig {self.name!r} is latched ({path.read_text().strip()}); "
                    "look after the rig, then start once with --reset-stop"
                )

    def latch(self, why: str) -> None:
        """Latch the stop.

        Raises:
            OSError: it cannot be written.
        """
        words = " ".join(why.split())
        moment = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        path = self._file(".stopped")
        with path.open("w") as file:
            file.write(f"{moment}: {words}\n")
            file.flush()
            os.fsync(file.fileno())

    def reset(self) -> None:
        """Reset the emergency stop.

        Raises:
            OSError: the latch cannot be removed.
        """
        for path in self._latches():
            path.unlink(missing_ok=True)

    def check_free(self) -> None:
        """Check that no run drives the rig, without locking it.

        Raises:
            RigInUse: another run drives it.
        """
        for place in self._places:
            path = place / (quote(self.name, safe="") + ".lock")
            if os.access(path, os.R_OK):
                with path.open() as file:
                    self._lock(file)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the rig against other runs.

        Raises:
            RigInUse: another run drives it.
            OSError: no directory can be written.
        """
        with contextlib.ExitStack() as held:
            own = self._file(".lock")
            others = [place / own.name for place in self._places]
            for path in dict.fromkeys([own, *(path for path in others if os.access(path, os.R_OK))]):
                file = held.enter_context(path.open("a+" if path == own else "r"))
                self._lock(file)
            own.write_text(f"process {os.getpid()}")
            yield

    def _lock(self, file: IO[str]) -> None:
        try:
            lock(file)
        except InUse as error:
            raise RigInUse(
                f"rig {self.name!r} is driven by {error.holder}; if it is another rig, give each its own "
                "--rig NAME"
            ) from error

    def _latches(self) -> list[Path]:
        paths = [place / (quote(self.name, safe="") + ".stopped") for place in self._places]
        return paths + ([self._legacy] if self._legacy else [])

    def _file(self, suffix: str) -> Path:
        """Return the rig's file in the first writable directory."""
        for place in self._places:
            with contextlib.suppress(OSError):
                place.mkdir(parents=True, exist_ok=True)
            if os.access(place, os.W_OK):
                return place / (quote(self.name, safe="") + suffix)
        tried = ", ".join(map(str, self._places))
        raise OSError(
            f"nothing can be kept of rig {self.name!r}: tried {tried}; {VARIABLE} names another place"
        )


def rig_of(name: str, spool: Path, real: bool) -> Rig:
    """Return the rig called `name`.

    Files of a simulated rig are beside the spool.
    """
    legacy = spool.with_name(spool.name + ".stopped")
    return Rig(name, rig_dirs() if real else [spool.parent.resolve() / "rigs"], legacy)
