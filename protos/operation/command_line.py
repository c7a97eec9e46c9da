"""What all command lines share: `--version`, and output into closed pipes."""

import importlib.metadata
import os
import sys
from collections.abc import Callable, Sequence

DISTRIBUTION = "hds"


def version() -> str:
    """Return the installed version."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "unknown: the package 'hds' is not installed"


def print_version_if_asked(program: str, words: Sequence[str] | None = None) -> bool:
    """Print the version and return True if the only argument is `--version`; `words` replaces `sys.argv`."""
    if list(sys.argv[1:] if words is None else words) != ["--version"]:
        return False
    print(f"{program} {version()}")
    return True


def run_main(main: Callable[[], int]) -> int:
    """Return the exit status of `main()`; 0 if the reader of its output closed the pipe, as `| head` does."""
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        return 0
    return status
