"""Dynamic batching of observations.

A batch is computed `delay` seconds after its first observation, or as soon as it is full. If the mean time
between observations exceeds delay / 2, an observation is computed at once, without a batch. With delay 0, a
batch is computed on the next turn of the event loop. A policy slower than `SLOW_S` runs in a thread; the
observations that arrive meanwhile form the next batch.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from controller.cpu_affinity import reset_affinity
from controller.metrics import Metrics
from controller.served_policy import ServedPolicy

SLOW_S = 1e-3
GAP_WEIGHT, LONGEST_GAP_S = 0.1, 1.0
"""Weight of the exponential mean of the time between observations, and its upper bound [s]."""


class Stale(RuntimeError):
    """The deadline of an observation passed before it was computed."""


class _Pending(NamedTuple):
    x: np.ndarray
    until: float
    future: asyncio.Future[np.ndarray]


class Batcher:
    """Computes the actions of all streams. Belongs to one event loop."""

    def __init__(self, delay: float, max_batch_size: int, metrics: Metrics) -> None:
        self._delay = delay
        self._max_batch_size = max_batch_size
        self._metrics = metrics
        self._streams = 0
        self._pending: dict[ServedPolicy, list[_Pending]] = {}
        self._computing: set[ServedPolicy] = set()
        self._tasks: set[asyncio.Task] = set()
        self.asked_at = 0.0
        """When the last observation arrived, on `time.perf_counter` [s]."""
        self._gap = LONGEST_GAP_S
        self._threads = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="slow-policy", initializer=reset_affinity
        )

    @contextlib.contextmanager
    def stream(self) -> Iterator[None]:
        """Count a stream while it is open."""
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    def note_arrival(self, now: float) -> None:
        """Update the mean time between observations."""
        self._gap += GAP_WEIGHT * (min(now - self.asked_at, LONGEST_GAP_S) - self._gap)
        self.asked_at = now

    def try_act(self, policy: ServedPolicy, x: np.ndarray) -> np.ndarray | None:
        """Return u[m] for x[input_size], or None if the policy is slow or batching pays."""
        alone = self._streams <= 1 or self._max_batch_size == 1 or self._gap > 0.5 * self._delay > 0.0
        if policy.seconds >= SLOW_S or not alone:
            return None
        self._metrics.batch_size.note(1)
        return policy.act(x[None])[0]

    async def act(self, policy: ServedPolicy, x: np.ndarray, received: float, deadline: float) -> np.ndarray:
        """Return u[m] for x[input_size], computed in a batch.

        Args:
            policy: the policy.
            x: its input.
            received: when the observation was read, on `time.perf_counter` [s].
            deadline: seconds from then until the answer is useless; 0 for none.

        Raises:
            Stale: the deadline passed before the observation was computed.
        """
        loop = asyncio.get_running_loop()
        one = _Pending(x, received + deadline if deadline else np.inf, loop.create_future())
        pending = self._pending.setdefault(policy, [])
        pending.append(one)
        if policy not in self._computing:
            if len(pending) >= min(self._streams, self._max_batch_size):
                self._flush(policy)
            elif len(pending) == 1 and self._delay:
                loop.call_later(self._delay, self._flush, policy)
            elif len(pending) == 1:
                loop.call_soon(self._flush, policy)
        return await one.future

    async def act_batch(self, policy: ServedPolicy, x: np.ndarray) -> np.ndarray:
        """Return u[B, m] for x[B, input_size]; in a thread if the policy is slow or the batch is large."""
        if policy.seconds < SLOW_S and len(x) <= self._max_batch_size:
            return policy.act(x)
        return await asyncio.get_running_loop().run_in_executor(self._threads, policy.act, x)

    @property
    def streams(self) -> int:
        """Number of open streams."""
        return self._streams

    def close(self) -> None:
        """Shut down the thread."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _flush(self, policy: ServedPolicy) -> None:
        """Compute the pending observations of `policy`."""
        if policy in self._computing:
            return
        pending = self._pending.pop(policy, [])
        if len(pending) > self._max_batch_size:
            self._pending[policy] = pending[self._max_batch_size :]
        batch = self._fresh(pending[: self._max_batch_size])
        if not batch:
            if policy in self._pending:
                self._flush(policy)
            return
        self._metrics.batch_size.note(len(batch))
        if policy.seconds >= SLOW_S:
            self._computing.add(policy)
            task = asyncio.create_task(self._act_in_thread(policy, batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        try:
            self._resolve(batch, policy.act(np.array([one.x for one in batch])))
        except Exception as error:
            self._fail(batch, error)
        if policy in self._pending:
            self._flush(policy)

    def _fresh(self, pending: list[_Pending]) -> list[_Pending]:
        now, fresh = time.perf_counter(), []
        for one in pending:
            if one.future.done():
                continue  # its stream ended
            if now > one.until:
                one.future.set_exception(Stale)
            else:
                fresh.append(one)
        return fresh

    async def _act_in_thread(self, policy: ServedPolicy, batch: list[_Pending]) -> None:
        x = np.stack([one.x for one in batch])
        try:
            u = await asyncio.get_running_loop().run_in_executor(self._threads, policy.act, x)
            self._resolve(batch, u)
        except Exception as error:
            self._fail(batch, error)
        finally:
            self._computing.discard(policy)
            self._flush(policy)

    @staticmethod
    def _resolve(batch: list[_Pending], u: np.ndarray) -> None:
        for one, row in zip(batch, u, strict=True):
            if not one.future.done():
                one.future.set_result(row)

    @staticmethod
    def _fail(batch: list[_Pending], error: Exception) -> None:
        for one in batch:
            if not one.future.done():
                one.future.set_exception(error)
