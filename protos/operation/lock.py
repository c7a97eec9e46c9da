"""File locks that name their holder.

A lock (`flock`) is released when its process ends, however it ends. The lock file names the holder.
"""

import fcntl
import os
import socket
import time
from pathlib import Path
from typing import IO

from protos.operation.private import FILE
from protos.operation.text import printable


class InUse(OSError):
    """Another process holds the lock; `holder` names it."""

    def __init__(self, message: str, holder: str = "") -> None:
        super().__init__(message)
        self.holder = holder

    def __str__(self) -> str:
        return str(self.args[0])


def lock(file: IO[str]) -> None:
    """Lock an open file for this process.

    Raises:
        InUse: another process holds it; the message names it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = printable(file.read(200).strip()) or "another process"
        raise InUse(holder, holder) from error


def write_holder(file: IO[str]) -> None:
    """Write the name of this process into a locked file."""
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    file.seek(0)
    file.truncate()
    file.write(f"process {os.getpid()} on {socket.gethostname()} since {since}\n")
    file.flush()


class FileLock:
    """A lock that this process holds until `release` or its end."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def check(self) -> None:
        """Do nothing: a process keeps its file locks."""

    def release(self) -> None:
        """Release the lock."""
        self._file.close()


def acquire(path: Path, what: str, remedy: str) -> FileLock:
    """Lock the file `path`, and create it if it does not exist.

    Args:
        path: the lock file, beside the resource that it guards.
        what: the resource, for messages: "the state directory /srv/hds".
        remedy: what to do if it is in use: "give each trainer its own --state-dir".

    Raises:
        InUse: another process holds it; the message names it.
        OSError: the file cannot be written.
    """
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, FILE), "r+")
    try:
        lock(file)
        write_holder(file)
    except InUse as error:
        file.close()
        raise InUse(f"{what} is in use by {error.holder}; {remedy}", error.holder) from error
    except OSError:
        file.close()
        raise
    return FileLock(file)
