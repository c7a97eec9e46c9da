"""One program at a time in a directory or on a device, and who it is.

A lock is the system's own (`flock`): it ends with the process that holds it, however that ends. The file
says in words who holds it.
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
    """Another program holds the lock; `holder` says which."""

    def __init__(self, message: str, holder: str = "") -> None:
        super().__init__(message)
        self.holder = holder

    def __str__(self) -> str:
        return str(self.args[0])


def lock(file: IO[str]) -> None:
    """Lock an open file for this process.

    Raises:
        InUse: another one has it; the message is who.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = printable(file.read(200).strip()) or "another process"
        raise InUse(holder, holder) from error


def sign(file: IO[str]) -> None:
    """Write into a locked file who holds it."""
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    file.seek(0)
    file.truncate()
    file.write(f"process {os.getpid()} on {socket.gethostname()} since {since}\n")
    file.flush()


class Held:
    """A lock that this process holds until `release`, or its end."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def check(self) -> None:
        """Return: what a process has locked stays its own until it ends."""

    def release(self) -> None:
        """Let others have it."""
        self._file.close()


def hold(path: Path, what: str, remedy: str) -> Held:
    """Lock the file `path`, which is made if need be.

    Args:
        path: the lock's file, beside what it guards.
        what: what it guards, for messages: "the state directory /srv/hds".
        remedy: what to do if another has it: "give each trainer its own --state-dir".

    Raises:
        InUse: another process has it; naming which.
        OSError: the file cannot be written.
    """
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, FILE), "r+")
    try:
        lock(file)
        sign(file)
    except InUse as error:
        file.close()
        raise InUse(f"{what} is in use by {error.holder}; {remedy}", error.holder) from error
    except OSError:
        file.close()
        raise
    return Held(file)
