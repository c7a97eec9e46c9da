"""The only access to a plant: calls with time-outs, checked readings, and release from any thread.

A plant on the wall clock is called in a thread of its own, so that a hanging call blocks neither the loop nor
the shutdown. Calls of simulated plants have no time-out.
"""

import math
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from real_env.clock import Clock
from real_env.plant import Diverged, NoReading, Plant, PlantSpec, Reading, reader
from real_env.readings import checked

HANG_SHARE, LONGEST_SHARE, RELATIVE_SHARE = 0.6, 0.95, 1.5
"""A call hangs if it lasts longer than the first share of a control step after the next tick (the second
share on a busy machine), and longer than the third share after its start."""
PATIENCE_S, RESET_PATIENCE_S = 1.0, 0.2
"""Time-outs of each step of a release: a running call (a shorter one for `reset`), zero, `close` [s]."""
BUSY_SHARE = 0.05
"""A wake-up later than this share of a control step shows that the machine is busy."""
POLL_S = 0.05
"""Period at which a wait without time-out checks whether the run should end [s]."""


class PlantFailed(RuntimeError):
    """A call of the plant raised `__cause__`."""


class PlantHung(RuntimeError):
    """A call of the plant did not return in time."""


class PlantReleased(RuntimeError):
    """The plant was released; no command reaches it any more."""


class Exchanged(NamedTuple):
    """Result of one command.

    Attributes:
        reading: the reading at the end of the control step, or why there is no valid one.
        missing: whether there was none at all.
        instead: whether the command was too late and `instead()` was sent.
        asked_ns, returned_ns: start and end of the call that gave the reading, on the clock.
    """

    reading: Reading | str
    missing: bool
    instead: bool
    asked_ns: int
    returned_ns: int


class Guard:
    """Calls `plant` for the loop. `release` may be called from any thread, at any time, repeatedly."""

    def __init__(self, plant: Plant, clock: Clock) -> None:
        self.spec: PlantSpec = plant.spec
        self._plant, self._clock = plant, clock
        self._reads = reader(plant) is not None
        self._caller = _Caller() if clock.real else None
        self._before: object = None
        """The state array of the last reading, as the plant returned it."""
        self._busy = threading.Lock()
        """Held while the plant is called."""
        self._under_way, self._hangs = "", False
        """The last call, and whether it hangs."""
        self._released, self._releasing = threading.Event(), threading.Lock()
        self._trouble = ""
        self._zero = np.zeros(len(self.spec.action_names), np.float32)

    def reset(self, stop: threading.Event) -> Reading | str:
        """Reset the plant; return its reading, or why that is invalid.

        Raises:
            PlantFailed: it raised.
            PlantReleased: `stop` was set, or the plant was released.
        """
        self._before = None
        return self._checked(self._call("reset", self._plant.reset, None, stop))

    def exchange(
        self,
        command: np.ndarray,
        tick_ns: int,
        until_ns: float = math.inf,
        instead: Callable[[], np.ndarray] | None = None,
    ) -> Exchanged:
        """Apply `command[m]` over the control step that began at `tick_ns`, and return the result.

        If the plant is called after `until_ns`, `instead()` is applied; zero if that is None.

        Raises:
            Diverged: the simulated plant cannot continue.
            PlantFailed, PlantHung, PlantReleased: no command may follow.
        """
        asked_ns, late = 0, False

        def apply() -> Any:
            nonlocal asked_ns, late
            asked_ns = self._clock.now_ns()
            late = asked_ns > until_ns
            sent = command if not late else self._zero if instead is None else instead()
            return self._plant.exchange(np.array(sent, np.float32))

        def read() -> Any:
            nonlocal asked_ns
            asked_ns = self._clock.now_ns()
            return self._plant.read()  # pyright: ignore[reportAttributeAccessIssue]

        try:
            raw = self._call("exchange", apply, self._limit_ns(tick_ns))
            if self._reads:
                self._clock.sleep_until(tick_ns + self._dt_ns)
                raw = self._call("read", read, self._limit_ns(tick_ns))
        except NoReading as error:
            why = str(error) or "no reading came"
            return Exchanged(why, True, late, asked_ns, self._clock.now_ns())
        return Exchanged(self._checked(raw), False, late, asked_ns, self._clock.now_ns())

    def command_zero(self) -> None:
        """Command zero, unless the plant was released."""
        if not self._released.is_set():
            self.exchange(self._zero, self._clock.now_ns())

    def release(self) -> str:
        """Leave the plant without torque for good; return a message if that failed.

        Command zero through `exchange` unless a call hangs, then `close`. Each has a time-out of a second, as
        a running call has.
        """
        with self._releasing:
            if self._released.is_set():
                return self._trouble
            self._released.set()  # blocks commands of the loop from now on
            patience = RESET_PATIENCE_S if self._under_way == "reset" else PATIENCE_S
            idle = not self._hangs and self._busy.acquire(timeout=patience)
            answers = idle and not self._bounded(
                lambda: self._plant.exchange(self._zero.copy()), self._caller
            )
            if trouble := self._bounded(self._plant.close, self._caller if answers else None):
                self._trouble = f"the plant's close {trouble}; only the plant's own watchdog can act now"
            if idle:
                self._busy.release()
            if self._caller is not None:
                self._caller.end()
            return self._trouble

    @property
    def _dt_ns(self) -> int:
        return round(self.spec.control_dt * 1e9)

    def _limit_ns(self, tick_ns: int) -> float | None:
        """Return the time-out of a call that starts now, for the control step from `tick_ns` on."""
        if not self.spec.real_time:
            return None
        now_ns, dt_ns = self._clock.now_ns(), self._dt_ns
        return max(max(tick_ns + dt_ns, now_ns) + HANG_SHARE * dt_ns, now_ns + RELATIVE_SHARE * dt_ns)

    def _checked(self, raw: Any) -> Reading | str:
        reading = checked(raw, self.spec, self._before)
        self._before = getattr(raw, "x", None)
        return reading

    def _call(
        self,
        name: str,
        function: Callable[[], Any],
        limit_ns: float | None,
        stop: threading.Event | None = None,
    ) -> Any:
        """Return what `function` returns, if it does by `limit_ns` on the clock and before `stop` is set."""
        if self._hangs:
            raise PlantHung(f"the plant's {self._under_way} hangs")
        self._busy.acquire()
        if self._released.is_set():
            self._busy.release()
            raise PlantReleased("the plant was released")
        self._under_way = name
        try:
            return self._made(_Call(function, self._busy), limit_ns, stop)
        except (NoReading, Diverged, PlantHung, PlantReleased):
            raise
        except BaseException as error:
            raise PlantFailed(f"the plant's {name} failed") from error

    def _made(self, call: "_Call", limit_ns: float | None, stop: threading.Event | None) -> Any:
        if self._caller is None:
            call.make()
            return call.outcome()
        began_ns = self._clock.now_ns()
        self._caller.make(call)
        if limit_ns is not None and not self._returned_by(call, limit_ns):
            self._hangs = True
            lasts_ns = self._clock.now_ns() - began_ns
            raise PlantHung(
                f"the plant's {self._under_way} hangs: it did not return within {lasts_ns * 1e-6:.0f} ms, "
                f"with a control step of {self.spec.control_dt * 1e3:g} ms"
            )
        while not call.done.wait(POLL_S):
            if stop is not None and stop.is_set():
                raise PlantReleased("the run was asked to end")
        return call.outcome()

    def _returned_by(self, call: "_Call", limit_ns: float) -> bool:
        """Return whether `call` returned by `limit_ns`.

        The machine is busy, and the time-out is extended, if this thread wakes up late, or if the plant's
        thread has not started or is waiting for a processor.
        """
        granted_ns, latest_ns = 0.0, limit_ns + (LONGEST_SHARE - HANG_SHARE) * self._dt_ns
        while not call.done.wait(1e-9 * max(0.0, limit_ns - self._clock.now_ns())):
            now_ns = self._clock.now_ns()
            stopped = now_ns - limit_ns > self._dt_ns  # for example the whole process
            waiting = not call.begun or (self._caller is not None and self._caller.runnable())
            longer_ns = max(now_ns - limit_ns, 0.25 * self._dt_ns if waiting else 0.0)
            longer_ns = min(longer_ns, 0.5 * self._dt_ns)
            granted_ns += longer_ns
            if longer_ns < BUSY_SHARE * self._dt_ns or granted_ns > self._dt_ns:
                return False
            limit_ns = now_ns + longer_ns if stopped else min(now_ns + longer_ns, latest_ns)
            if limit_ns <= now_ns:
                return False
        return True

    def _bounded(self, function: Callable[[], Any], caller: "_Caller | None") -> str:
        """Call `function` in a thread with a time-out of a second; return an error message."""
        call, thread = _Call(function, None), caller or _Caller()
        thread.make(call)
        if caller is None:
            thread.end()
        if not call.done.wait(PATIENCE_S):
            return f"hangs: it did not return within {PATIENCE_S:g} s"
        return "" if call.error is None else f"raised {type(call.error).__name__}: {call.error}"


class _Call:
    """A call of the plant; releases `busy` when it returns."""

    def __init__(self, function: Callable[[], Any], busy: "threading.Lock | None") -> None:
        self.done = threading.Event()
        self.begun = False
        self.error: BaseException | None = None
        self._function, self._busy = function, busy
        self._result: Any = None

    def make(self) -> None:
        self.begun = True
        try:
            self._result = self._function()
        except BaseException as error:
            self.error = error
        if self._busy is not None:
            self._busy.release()
        self.done.set()

    def outcome(self) -> Any:
        """Return what the call returned, or raise what it raised."""
        if self.error is not None:
            raise self.error
        return self._result


class _Caller:
    """A thread that makes calls one by one."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="plant", daemon=True)
        self._thread.start()

    def make(self, call: _Call) -> None:
        """Queue `call`."""
        self._calls.put(call)

    def runnable(self) -> bool:
        """Return whether the thread runs or waits for a processor; False where the system does not say."""
        try:
            status = Path(f"/proc/self/task/{self._thread.native_id}/stat").read_text()
        except OSError:
            return False
        return status.rpartition(") ")[2].startswith("R")

    def end(self) -> None:
        """End the thread once it is idle."""
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call.make()
