"""CPU affinity of the event loop and of other threads.

A thread inherits the affinity of the thread that starts it. When the event loop is pinned to one core,
threads that do other work must reset their affinity.
"""

import os

_ALL: set[int] | None = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
"""The cores that this process may use; None if the system does not support affinity."""


def check(cpu: int) -> None:
    """Raise ValueError, with the choices, if a thread cannot be pinned to core `cpu`."""
    if _ALL is None:
        raise ValueError("--cpu needs Linux: this system keeps no thread on a core")
    if cpu not in _ALL:
        raise ValueError(f"--cpu must be one of {sorted(_ALL)}; got {cpu}")


def pin_to(cpu: int) -> None:
    """Pin the calling thread, and those it starts from now on, to core `cpu`."""
    os.sched_setaffinity(0, {cpu})


def reset_affinity() -> None:
    """Let the calling thread use all cores again."""
    if _ALL is not None:
        os.sched_setaffinity(0, _ALL)
