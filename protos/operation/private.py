"""Files and directories with owner-only permissions: recorded data, policies, secrets."""

import contextlib
import os
from pathlib import Path

FILE, DIRECTORY = 0o600, 0o700


def private_directory(path: Path) -> None:
    """Create `path` with owner-only permissions. An existing directory keeps its mode.

    Raises:
        OSError: it cannot be created.
    """
    missing = [part for part in (path, *path.parents) if not part.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for part in missing:
        part.chmod(DIRECTORY)


def private_file(path: Path) -> None:
    """Create the file `path` if it does not exist, and restrict it to its owner.

    Raises:
        OSError: it cannot be created.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, FILE))
    with contextlib.suppress(PermissionError):  # a file of another owner
        path.chmod(FILE)
