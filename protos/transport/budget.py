"""How much of a server one caller may take, so that there is something left for the others.

A call that comes while its budget is used up waits, and is refused if that takes long: what floods a server
is slowed down by its own calls, which all wait.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

TURN_S = 2.0
"""How long a call may wait for its turn."""
REFUSED_PER_S, SLOWED = 50.0, 1_500
"""So many refusals are sent a second, while not more than so many wait for theirs."""


class UsedUp(RuntimeError):
    """A budget is used up; the message says whose, and what it is."""


@dataclass
class Budget:
    """Calls at a time, and calls a second over a longer time; a burst uses what was not used before."""

    whose: str
    at_a_time: int
    per_s: float
    burst: int
    by_host: int = 0
    """Calls at a time of one machine; 0 bounds it by all of them."""
    open: int = 0
    hosts: Counter[str] = field(default_factory=Counter)
    now: Callable[[], float] = time.monotonic
    _turn_at: float = 0.0

    def enter(self, host: str) -> float:
        """Take a place and return how long to wait for the turn [s]; `leave` gives it back.

        Raises:
            UsedUp: there is no place, or the turn is too far off.
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
        """Give a place back."""
        self.open -= 1
        self.hosts[host] -= 1
        if not self.hosts[host]:
            del self.hosts[host]


class SlowRefusals:
    """Refusals, so many a second over all: who asks again as soon as it is answered, asks seldom."""

    def __init__(self, per_s: float = REFUSED_PER_S, most: int = SLOWED) -> None:
        self._every, self._most = 1.0 / per_s, most
        self._waiting, self._next = 0, 0.0

    async def wait(self) -> None:
        """Return when a refusal may be sent; at once if too many wait already."""
        if self._waiting >= self._most:
            return
        now = time.monotonic()
        at = self._next = max(self._next + self._every, now)
        self._waiting += 1
        try:
            await asyncio.sleep(at - now)
        finally:
            self._waiting -= 1
            if not self._waiting:  # those that went before their turn keep nobody waiting
                self._next = min(self._next, time.monotonic())
