"""Clocks: wall clock and virtual clock.

The loop uses `Clock` only. On the virtual clock it runs as fast as plant and policy answer, with the same
ticks, deadlines and decisions.
"""

import threading
import time
from collections.abc import Callable
from typing import Protocol

PATIENCE_S = 5.0


class Clock(Protocol):
    """Monotonic time [ns] with an arbitrary origin; `real` for the wall clock."""

    real: bool

    def now_ns(self) -> int:
        """Return the current time."""
        ...

    def sleep_until(self, until_ns: int) -> None:
        """Return at `until_ns`, or at once if that has passed."""
        ...

    def wait_for(self, condition: threading.Condition, ready: Callable[[], bool], until_ns: int) -> bool:
        """Wait on `condition` (held) for `ready()` until `until_ns`; return whether it became ready."""
        ...


class WallClock:
    """The monotonic clock of the system."""

    real = True

    def now_ns(self) -> int:
        """Return the monotonic time."""
        return time.monotonic_ns()

    def sleep_until(self, until_ns: int) -> None:
        """Sleep; never returns early."""
        while (left := until_ns - time.monotonic_ns()) > 0:
            time.sleep(left * 1e-9)

    def wait_for(self, condition: threading.Condition, ready: Callable[[], bool], until_ns: int) -> bool:
        """Wait in real time."""
        return condition.wait_for(ready, timeout=max(0.0, (until_ns - time.monotonic_ns()) * 1e-9))


class VirtualClock:
    """Time that advances only when the loop sleeps or gives up waiting for an answer.

    An answer takes no virtual time. If it has not arrived after `patience` seconds of wall time, the clock
    advances to the deadline.
    """

    real = False

    def __init__(self, patience: float = PATIENCE_S) -> None:
        self._now_ns = 0
        self._patience = patience

    def now_ns(self) -> int:
        """Return the virtual time."""
        return self._now_ns

    def sleep_until(self, until_ns: int) -> None:
        """Advance the time and return at once."""
        self._now_ns = max(self._now_ns, until_ns)

    def wait_for(self, condition: threading.Condition, ready: Callable[[], bool], until_ns: int) -> bool:
        """Wait for up to `patience` seconds of wall time."""
        if condition.wait_for(ready, timeout=self._patience):
            return True
        self.sleep_until(until_ns)
        return False
