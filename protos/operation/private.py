"""Files and directories that only their owner reads: recorded data, policies, secrets."""

import contextlib
import os
from pathlib import Path

FILE, DIRECTORY = 0o600, 0o700


def private_directory(path: Path) -> None:
    """Make `path` for its owner alone; one that is there keeps its mode, for it may hold others' files too.

    Raises:
        OSError: it cannot be made.
    """
    missing = [part for part in (path, *path.parents) if not part.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for part in missing:
        part.chmod(DIRECTORY)


def private_file(path: Path) -> None:
    """Make the file `path` if it is not there, and keep all but its owner from it.

    Raises:
        OSError: it cannot be made.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, FILE))
    with contextlib.suppress(PermissionError):  # another's file, which its owner has opened to us
        path.chmod(FILE)
