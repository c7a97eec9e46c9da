"""Loads tasks, algorithms and dynamics models from users' files in threads, with a time-out.

The code of a file may sleep, compile or hang while it is loaded.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from trainer.tasks import load_task
from trainer.user_file import is_file

if TYPE_CHECKING:
    from trainer.tasks.task import Task

LONGEST_S = 30.0
"""Time-out of loading a file [s]. The first task imports JAX."""
THREADS = 4


class UserCodeLoader:
    """Loads tasks, algorithms and dynamics models by name. Belongs to one event loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "task-loader")
        self._known: dict[str, Task] = {}
        self._loading: dict[tuple[str, str], asyncio.Future[Any]] = {}

    async def load(self, name: str) -> "Task":
        """Return the task called `name`. A file is checked for changes at each call.

        Raises:
            ValueError: there is none, or it takes too long to load.
        """
        if name not in self._known:
            task = await self._load("task", name, load_task)
            if is_file(name):
                return task
            self._known[name] = task
        return self._known[name]

    async def check_algorithm(self, name: str) -> None:
        """Check that there is an algorithm called `name`.

        Raises:
            ValueError: there is none, or it takes too long to load.
        """
        await self._load("algorithm", name, _algorithm)

    async def dynamics_name(self, name: str) -> str:
        """Return the full name of a dynamics model.

        Raises:
            ValueError: there is none, or it takes too long to load.
        """
        return await self._load("dynamics model", name, _dynamics_name)

    async def _load(self, kind: str, name: str, load: Callable[[str], Any]) -> Any:
        key = kind, name
        loading = self._loading.get(key)
        if loading is None:
            loop = asyncio.get_running_loop()
            loading = asyncio.ensure_future(loop.run_in_executor(self._threads, load, name))
            self._loading[key] = loading
            loading.add_done_callback(lambda done: self._done(key, done))
        try:
            return await asyncio.wait_for(asyncio.shield(loading), LONGEST_S)
        except TimeoutError as error:
            raise ValueError(f"{kind} {name!r}: its file is not loaded after {LONGEST_S:g} s") from error

    def _done(self, key: tuple[str, str], loading: "asyncio.Future[Any]") -> None:
        self._loading.pop(key, None)
        if not loading.cancelled():
            loading.exception()  # the callers have seen the error


def _algorithm(name: str) -> Any:
    from trainer.jobs.algorithms import load_algorithm  # with JAX

    return load_algorithm(name)


def _dynamics_name(name: str) -> str:
    from trainer.dynamics.catalogue import known_name  # with JAX

    return known_name(name)
