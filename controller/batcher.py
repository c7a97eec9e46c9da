"""Who computes when: a lone fast call at once, calls that come together in a batch, slow ones in a thread.

A batch waits for at most `delay` after its first observation, and only while observations come so densely
that two more are to be expected by then; with a delay of 0, for one turn of the event loop, so it holds what
has been read from the sockets. A policy that takes longer than `SLOW_S` runs in a thread, and what arrives
meanwhile is the next batch.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from controller.cores import beside
from controller.metrics import Metrics
from controller.served_policy import ServedPolicy

SLOW_S = 1e-3
GAP_WEIGHT, LONGEST_GAP_S = 0.1, 1.0
"""The usual gap between observations is an exponential mean with this weight."""


class Stale(RuntimeError):
    """The deadline of an observation passed before its turn came."""


class _Waiting(NamedTuple):
    x: np.ndarray
    until: float
    future: asyncio.Future[np.ndarray]


class Batcher:
    """Computes the actions of all streams. Lives in one event loop."""

    def __init__(self, delay: float, largest: int, metrics: Metrics) -> None:
        self._delay = delay
        self._largest = largest
        self._metrics = metrics
        self._streams = 0
        self._waiting: dict[ServedPolicy, list[_Waiting]] = {}
        self._computing: set[ServedPolicy] = set()
        self._tasks: set[asyncio.Task] = set()
        self.asked_at = 0.0
        """When an observation came last, on `time.perf_counter` [s]."""
        self._gap = LONGEST_GAP_S
        self._threads = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="slow-policy", initializer=beside
        )

    @contextlib.contextmanager
    def stream(self) -> Iterator[None]:
        """Count a stream for as long as it asks."""
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    def came(self, now: float) -> None:
        """Note that an observation came."""
        self._gap += GAP_WEIGHT * (min(now - self.asked_at, LONGEST_GAP_S) - self._gap)
        self.asked_at = now

    def at_once(self, policy: ServedPolicy, x: np.ndarray) -> np.ndarray | None:
        """Return u[m] for x[input_size] if there is nobody to wait for and the policy is fast, else None."""
        alone = self._streams <= 1 or self._largest == 1 or self._gap > 0.5 * self._delay > 0.0
        if policy.seconds >= SLOW_S or not alone:
            return None
        self._metrics.batch_size.note(1)
        return policy.act(x[None])[0]

    async def act(self, policy: ServedPolicy, x: np.ndarray, received: float, deadline: float) -> np.ndarray:
        """Return u[m] for x[input_size], computed in a batch.

        Args:
            policy: the one to ask.
            x: what it sees.
            received: when the observation was read, on `time.perf_counter` [s].
            deadline: seconds after that at which the answer is worthless; 0 for none.

        Raises:
            Stale: the deadline passed before the observation's turn.
        """
        loop = asyncio.get_running_loop()
        one = _Waiting(x, received + deadline if deadline else np.inf, loop.create_future())
        waiting = self._waiting.setdefault(policy, [])
        waiting.append(one)
        if policy not in self._computing:
            if len(waiting) >= min(self._streams, self._largest):
                self._flush(policy)
            elif len(waiting) == 1 and self._delay:
                loop.call_later(self._delay, self._flush, policy)
            elif len(waiting) == 1:
                loop.call_soon(self._flush, policy)
        return await one.future

    async def act_together(self, policy: ServedPolicy, x: np.ndarray) -> np.ndarray:
        """Return u[B, m] for x[B, input_size]; beside the event loop if it takes long."""
        if policy.seconds < SLOW_S and len(x) <= self._largest:
            return policy.act(x)
        return await asyncio.get_running_loop().run_in_executor(self._threads, policy.act, x)

    @property
    def streams(self) -> int:
        """Streams that may ask."""
        return self._streams

    def close(self) -> None:
        """Let go of the thread."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _flush(self, policy: ServedPolicy) -> None:
        """Compute what waits for `policy`."""
        if policy in self._computing:
            return
        waiting = self._waiting.pop(policy, [])
        if len(waiting) > self._largest:
            self._waiting[policy] = waiting[self._largest :]
        batch = self._fresh(waiting[: self._largest])
        if not batch:
            if policy in self._waiting:
                self._flush(policy)
            return
        self._metrics.batch_size.note(len(batch))
        if policy.seconds >= SLOW_S:
            self._computing.add(policy)
            task = asyncio.create_task(self._beside(policy, batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        try:
            self._hand_out(batch, policy.act(np.array([one.x for one in batch])))
        except Exception as error:
            self._fail(batch, error)
        if policy in self._waiting:
            self._flush(policy)

    def _fresh(self, waiting: list[_Waiting]) -> list[_Waiting]:
        now, fresh = time.perf_counter(), []
        for one in waiting:
            if one.future.done():
                continue  # its stream ended
            if now > one.until:
                one.future.set_exception(Stale)
            else:
                fresh.append(one)
        return fresh

    async def _beside(self, policy: ServedPolicy, batch: list[_Waiting]) -> None:
        x = np.stack([one.x for one in batch])
        try:
            u = await asyncio.get_running_loop().run_in_executor(self._threads, policy.act, x)
            self._hand_out(batch, u)
        except Exception as error:
            self._fail(batch, error)
        finally:
            self._computing.discard(policy)
            self._flush(policy)

    @staticmethod
    def _hand_out(batch: list[_Waiting], u: np.ndarray) -> None:
        for one, row in zip(batch, u, strict=True):
            if not one.future.done():
                one.future.set_result(row)

    @staticmethod
    def _fail(batch: list[_Waiting], error: Exception) -> None:
        for one in batch:
            if not one.future.done():
                one.future.set_exception(error)
