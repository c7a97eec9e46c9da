"""A file that is read again when it changes. The last valid content stays while the file is invalid."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

LOG = logging.getLogger("security")
T = TypeVar("T")
Stamp = tuple[int, int, int] | None


def stamp(path: Path) -> Stamp:
    """Return time, size and inode of a file, which change with it; None if it cannot be accessed."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class FollowedFile(Generic[T]):
    """A file and its parsed content, `read(path)`."""

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
        """Return the content; a file that cannot be read is tried again at the next call."""
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
