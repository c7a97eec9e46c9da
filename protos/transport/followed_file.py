"""What a file says, read anew when the file changes; what was read before stays while it cannot be used."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

LOG = logging.getLogger("transport")
T = TypeVar("T")
Stamp = tuple[int, int, int] | None


def stamp(path: Path) -> Stamp:
    """Return what changes with a file; None where it cannot be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class FollowedFile(Generic[T]):
    """A file and what `read(path)` makes of it."""

    def __init__(self, path: Path, read: Callable[[Path], T]) -> None:
        """Read it.

        Raises:
            OSError, ValueError: as `read` does.
        """
        self.path, self._read = path, read
        self.readings = 1
        """How often it was read."""
        self._stamp, self._content = stamp(path), read(path)

    def now(self) -> T:
        """Return what it says; one that cannot be used is tried again the next time."""
        seen = stamp(self.path)
        if seen != self._stamp:
            try:
                self._content = self._read(self.path)
            except (OSError, ValueError) as error:
                LOG.error("what was read before stays in force: %s", error)
            else:
                self._stamp = seen
                self.readings += 1
                LOG.info("read %s anew", self.path)
        return self._content
