"""Moves of labels, delivered to every watcher in order, so that a move there and back is seen as two."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import NamedTuple

MOST_WAITING = 1000
"""Moves that wait for a slow watcher; beyond it the oldest are dropped."""


class Move(NamedTuple):
    """A label of a task that points to another version now."""

    label: str
    task: str
    version: str


class LabelMoves:
    """Delivers moves of labels to watchers. Used in one event loop."""

    def __init__(self) -> None:
        self._watchers: set[asyncio.Queue[Move]] = set()

    def publish(self, move: Move) -> None:
        """Deliver `move` to all who watch now."""
        for queue in self._watchers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(move)

    @contextlib.contextmanager
    def watch(self) -> Iterator["asyncio.Queue[Move]"]:
        """Give a queue of all moves from now on."""
        queue: asyncio.Queue[Move] = asyncio.Queue(MOST_WAITING)
        self._watchers.add(queue)
        try:
            yield queue
        finally:
            self._watchers.discard(queue)
