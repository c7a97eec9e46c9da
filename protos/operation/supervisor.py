"""Background tasks that are restarted when they fail.

A failed background task, such as a file that cannot be read for a moment, must not end a service. The task is
restarted after a back-off of 0.1 to 30 s, and the service reports the failure until the task runs steadily
again.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from protos.operation.text import shortened

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 30.0
STEADY_S = 10.0
"""A task has recovered when it has run for this long since its failure [s]."""


def back_off(longest_s: float = LONGEST_WAIT_S) -> Iterator[float]:
    """Yield waits [s] that double from 0.1 to `longest_s`."""
    wait = FIRST_WAIT_S
    while True:
        yield wait
        wait = min(2.0 * wait, longest_s)


@dataclass
class _Failure:
    why: str
    failures: int
    again_at: float


class Failures:
    """Failures of background tasks by name, until they recover. Thread-safe."""

    def __init__(self, on_failure: Callable[[str], object] = lambda name: None) -> None:
        self._on_failure = on_failure
        self._known: dict[str, _Failure] = {}

    def record(self, name: str, error: BaseException, wait: float) -> None:
        """Record that `name` failed and is restarted after `wait` [s]."""
        known = self._known.get(name)
        failures = known.failures if known is not None else 0
        why = shortened(f"{type(error).__name__}: {error}", 300)
        self._known[name] = _Failure(why, failures + 1, time.monotonic() + wait)
        self._on_failure(name)

    def clear(self, name: str) -> None:
        """Record that `name` is done or has recovered."""
        self._known.pop(name, None)

    def recovered(self, name: str) -> bool:
        """Return whether `name` has not failed, or has run for long since."""
        known = self._known.get(name)
        return known is None or time.monotonic() - known.again_at > STEADY_S

    def messages(self) -> list[str]:
        """Return a message for each task that has not recovered."""
        for name in [name for name in list(self._known) if self.recovered(name)]:
            self.clear(name)
        return [
            f"{name} failed ({known.why}); it is restarted (failure {known.failures})"
            for name, known in list(self._known.items())
        ]


class Supervisor:
    """Owns the background tasks of a service. Belongs to one event loop."""

    def __init__(
        self, log: logging.Logger, failures: Failures, final: tuple[type[Exception], ...] = ()
    ) -> None:
        """Start without tasks. An error of a type in `final` ends the service."""
        self._log, self._final = log, final
        self.failures = failures
        self._tasks: list[asyncio.Task[None]] = []
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        """Start `work()`, and restart it whenever it raises, until it returns."""
        self._tasks.append(asyncio.create_task(self._run(name, work), name=name))

    async def until(self, stop: asyncio.Event) -> None:
        """Return when `stop` is set; raise the first error that is final."""
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({stopping, self._ended}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if self._ended.done():
            self._ended.result()

    async def end(self) -> None:
        """Cancel all tasks and wait for their end."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        waits = back_off()
        while True:
            began = time.monotonic()
            try:
                await work()
                self.failures.clear(name)
                return
            except self._final as error:
                if not self._ended.done():
                    self._ended.set_exception(error)
                return
            except Exception as error:
                if time.monotonic() - began > STEADY_S:
                    waits = back_off()
                wait = next(waits)
                self.failures.record(name, error, wait)
                self._log.exception("%s failed and is restarted", name)
            await asyncio.sleep(wait)


def start_supervised_thread(
    name: str, work: Callable[[], None], ended: threading.Event, say: Callable[[str], None]
) -> threading.Thread:
    """Run `work()` in a thread and restart it whenever it raises, until `ended` is set.

    `say` reports failures.
    """

    def run() -> None:
        waits = back_off()
        while not ended.is_set():
            began = time.monotonic()
            try:
                work()
                return
            except Exception as error:
                if ended.is_set():
                    return
                if time.monotonic() - began > STEADY_S:
                    waits = back_off()
                say(f"{name} failed ({type(error).__name__}: {error}), and is restarted")
            ended.wait(next(waits))

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread
