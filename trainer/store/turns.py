"""A fair lock, which is granted in the order of requests."""

import collections
import contextlib
import threading
from collections.abc import Iterator


class Turns:
    """A fair lock for writers of an SQLite database.

    SQLite's own waiting polls with sleeps of up to 100 ms, so a busy writer starves others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: collections.deque[threading.Event] = collections.deque()
        self._taken = False

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the lock, after all earlier requests."""
        with self._lock:
            mine = threading.Event() if self._taken else None
            if mine is not None:
                self._waiting.append(mine)
            self._taken = True
        if mine is not None:
            mine.wait()
        try:
            yield
        finally:
            with self._lock:
                if self._waiting:
                    self._waiting.popleft().set()
                else:
                    self._taken = False
