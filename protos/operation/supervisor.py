"""Background work that is begun anew when it fails, and whose troubles can be asked for.

A service that can serve is not ended by what it does on the side: a file that cannot be read for a moment, a
trainer that is away. What failed begins again, after a wait that doubles from a tenth of a second to half a
minute, and the service says so for as long as it has not run steadily again.
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
"""Work that has gone on for so long since it failed is well again."""


def back_off(longest_s: float = LONGEST_WAIT_S) -> Iterator[float]:
    """Yield waits [s] that double from 0.1 to `longest_s`."""
    wait = FIRST_WAIT_S
    while True:
        yield wait
        wait = min(2.0 * wait, longest_s)


@dataclass
class _Trouble:
    why: str
    failures: int
    again_at: float


class Troubles:
    """What failed, by the name of the work, until it has run steadily again. Safe to use from threads."""

    def __init__(self, on_failure: Callable[[str], object] = lambda name: None) -> None:
        self._on_failure = on_failure
        self._known: dict[str, _Trouble] = {}

    def note(self, name: str, error: BaseException, wait: float) -> None:
        """Note that `name` failed, and is begun anew after `wait` [s]."""
        known = self._known.get(name)
        failures = known.failures if known is not None else 0
        why = shortened(f"{type(error).__name__}: {error}", 300)
        self._known[name] = _Trouble(why, failures + 1, time.monotonic() + wait)
        self._on_failure(name)

    def over(self, name: str) -> None:
        """Note that `name` is done, or well."""
        self._known.pop(name, None)

    def steady(self, name: str) -> bool:
        """Return whether `name` is well: it never failed, or has run for long since."""
        known = self._known.get(name)
        return known is None or time.monotonic() - known.again_at > STEADY_S

    def told(self) -> list[str]:
        """Return in words what is not well."""
        for name in [name for name in list(self._known) if self.steady(name)]:
            self.over(name)
        return [
            f"{name} failed ({known.why}); it is begun anew (failure {known.failures})"
            for name, known in list(self._known.items())
        ]


class Supervisor:
    """Owns the background work of a service. Lives in one event loop."""

    def __init__(
        self, log: logging.Logger, troubles: Troubles, final: tuple[type[Exception], ...] = ()
    ) -> None:
        """Begin with nothing; an error of a kind in `final` ends the service, for nothing can mend it."""
        self._log, self._final = log, final
        self.troubles = troubles
        self._tasks: list[asyncio.Task[None]] = []
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def keep(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        """Begin `work()`, and begin it anew whenever it raises; where it returns, it is done."""
        self._tasks.append(asyncio.create_task(self._keep(name, work), name=name))

    async def until(self, stop: asyncio.Event) -> None:
        """Return when `stop` is set; raise the first error that is final."""
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({stopping, self._ended}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if self._ended.done():
            self._ended.result()

    async def end(self) -> None:
        """End all of it."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _keep(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        waits = back_off()
        while True:
            began = time.monotonic()
            try:
                await work()
                self.troubles.over(name)
                return
            except self._final as error:
                if not self._ended.done():
                    self._ended.set_exception(error)
                return
            except Exception as error:
                if time.monotonic() - began > STEADY_S:
                    waits = back_off()
                wait = next(waits)
                self.troubles.note(name, error, wait)
                self._log.exception("%s failed, and is begun anew", name)
            await asyncio.sleep(wait)


def keep_thread(
    name: str, work: Callable[[], None], ended: threading.Event, say: Callable[[str], None]
) -> threading.Thread:
    """Run `work()` in a thread, anew whenever it raises, until `ended` is set; `say` is told of failures."""

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
                say(f"{name} failed ({type(error).__name__}: {error}), and is begun anew")
            ended.wait(next(waits))

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread
