"""What all command lines share: the version, and a reader that goes away early."""

import importlib.metadata
import os
import sys
from collections.abc import Callable, Sequence

DISTRIBUTION = "hds"


def version() -> str:
    """Return the version that is installed."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "unknown: the package 'hds' is not installed"


def told_version(program: str, words: Sequence[str] | None = None) -> bool:
    """Print the version if that is all that the command line, or `words` in its place, asks for."""
    if list(sys.argv[1:] if words is None else words) != ["--version"]:
        return False
    print(f"{program} {version()}")
    return True


def to_the_end(main: Callable[[], int]) -> int:
    """Return the exit status of `main()`; 0 if whoever read its output has seen enough, as `| head` has."""
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        return 0
    return status
