"""Which cores answer, and which do the rest.

A thread inherits the core of the one that starts it: with the event loop kept on one core, whatever works
beside it says so itself.
"""

import os

_ALL: set[int] | None = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
"""The cores that this process may use; None where the system does not tell."""


def check(cpu: int) -> None:
    """Raise ValueError, with the choices, if a thread can't be kept on core `cpu`."""
    if _ALL is None:
        raise ValueError("--cpu needs Linux: this system keeps no thread on a core")
    if cpu not in _ALL:
        raise ValueError(f"--cpu must be one of {sorted(_ALL)}; got {cpu}")


def stay_on(cpu: int) -> None:
    """Keep the calling thread, and those that it starts from now on, on core `cpu`."""
    os.sched_setaffinity(0, {cpu})


def beside() -> None:
    """Let the calling thread use every core again: for work beside the event loop."""
    if _ALL is not None:
        os.sched_setaffinity(0, _ALL)
