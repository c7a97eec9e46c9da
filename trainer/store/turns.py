"""Turns at something that one at a time may have, in the order in which they were asked for."""

import collections
import contextlib
import threading
from collections.abc import Iterator


class Turns:
    """A lock that nobody overtakes at.

    SQLite lets writers wait by sleeping, up to 100 ms at a time, and whoever happens to be awake comes next:
    one who writes a lot shuts out those who write little. Threads of one process can do better.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: collections.deque[threading.Event] = collections.deque()
        self._taken = False

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for all who came before."""
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
