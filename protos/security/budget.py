"""Rate limits of callers.

A call beyond its caller's budget waits for its turn, and is refused if that is too far off. A client that
floods a server is slowed down by its own waiting calls.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

TURN_S = 2.0
"""The longest wait for a turn [s]."""
REFUSED_PER_S, SLOWED = 50.0, 1_500
"""Refusals per second, and how many may wait to be sent."""


class UsedUp(RuntimeError):
    """A budget is used up. The message names it and its limit."""


@dataclass
class Budget:
    """A limit of concurrent calls, and a rate limit with bursts."""

    whose: str
    at_a_time: int
    per_s: float
    burst: int
    by_host: int = 0
    """Concurrent calls of one host; 0 for no limit of its own."""
    open: int = 0
    hosts: Counter[str] = field(default_factory=Counter)
    now: Callable[[], float] = time.monotonic
    _turn_at: float = 0.0

    def enter(self, host: str) -> float:
        """Count a call and return how long it has to wait [s]; `leave` ends it.

        Raises:
            UsedUp: too many calls are open, or the turn is too far off.
        """
        if self.open >= self.at_a_time:
            raise UsedUp(
                f"{self.whose} has {self.open} calls open, which is the most: end some, or try later"
            )
        if self.by_host and self.hosts[host] >= self.by_host:
            raise UsedUp(
                f"{host} has {self.by_host} calls of {self.whose} open, which is the most: end some, "
                "or try later"
            )
        now = self.now()
        turn_at = max(self._turn_at, now - self.burst / self.per_s)
        if (wait := turn_at - now) > TURN_S:
            raise UsedUp(f"{self.whose} makes more than {self.per_s:g} calls a second: try later")
        self._turn_at = turn_at + 1.0 / self.per_s
        self.open += 1
        self.hosts[host] += 1
        return max(0.0, wait)

    def leave(self, host: str) -> None:
        """Count the end of a call."""
        self.open -= 1
        self.hosts[host] -= 1
        if not self.hosts[host]:
            del self.hosts[host]


class SlowRefusals:
    """Sends refusals at a fixed rate, so that clients that retry at once retry slowly."""

    def __init__(self, per_s: float = REFUSED_PER_S, most: int = SLOWED) -> None:
        self._every, self._most = 1.0 / per_s, most
        self._waiting, self._next = 0, 0.0

    async def wait(self) -> None:
        """Wait until a refusal may be sent; do not wait if too many wait already."""
        if self._waiting >= self._most:
            return
        now = time.monotonic()
        at = self._next = max(self._next + self._every, now)
        self._waiting += 1
        try:
            await asyncio.sleep(at - now)
        finally:
            self._waiting -= 1
            if not self._waiting:  # cancelled calls leave no delay behind
                self._next = min(self._next, time.monotonic())
