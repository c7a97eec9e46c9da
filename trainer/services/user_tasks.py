"""Loads tasks from users' files in threads, with a time-out.

The code of a file may sleep, compile or hang while it is loaded.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from trainer.tasks import is_file, load_task

if TYPE_CHECKING:
    from trainer.tasks.task import Task

LONGEST_S = 30.0
"""Time-out of loading a task [s]. The first one imports JAX."""
THREADS = 4


class TaskLoader:
    """Loads tasks by name. Belongs to one event loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "task-loader")
        self._known: dict[str, Task] = {}
        self._loading: dict[str, asyncio.Future[Task]] = {}

    async def load(self, name: str) -> "Task":
        """Return the task called `name`. A file is checked for changes at each call.

        Raises:
            ValueError: there is none, or it takes too long to load.
        """
        if name in self._known:
            return self._known[name]
        loading = self._loading.get(name)
        if loading is None:
            loop = asyncio.get_running_loop()
            loading = asyncio.ensure_future(loop.run_in_executor(self._threads, load_task, name))
            self._loading[name] = loading
            loading.add_done_callback(lambda done: self._done(name, done))
        try:
            task = await asyncio.wait_for(asyncio.shield(loading), LONGEST_S)
        except TimeoutError as error:
            raise ValueError(f"task {name!r}: its file is not loaded after {LONGEST_S:g} s") from error
        if not is_file(name):
            self._known[name] = task
        return task

    def _done(self, name: str, loading: "asyncio.Future[Task]") -> None:
        self._loading.pop(name, None)
        if not loading.cancelled():
            loading.exception()  # the callers have seen the error
