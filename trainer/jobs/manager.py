"""Jobs: a queue, a worker process, and watchers."""

import asyncio
import itertools
import logging
import multiprocessing
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeVar

from protos.hds import v1
from protos.operation.text import listed, shortened
from protos.security.caller import NOBODY, Caller, answering, caller
from trainer.jobs.request import Alive, Failed, JobRequest, Progress, Published
from trainer.jobs.worker_process import main as worker_main
from trainer.store.database import StoreUnavailable
from trainer.store.jobs import JobStore
from trainer.store.records import Epoch

LOG = logging.getLogger("trainer.jobs")
ENDED = (v1.JOB_STATE_SUCCEEDED, v1.JOB_STATE_FAILED, v1.JOB_STATE_CANCELLED)
AGAIN_S = 1.0
"""Time between tries while the database is away [s]."""
_T = TypeVar("_T")
_SPAWN = multiprocessing.get_context("spawn")


MOST_QUEUED = 100
KEPT = 1_000
"""Jobs in memory; older ones are in the database."""
FLUSH_NS = 1_000_000_000
"""Time between writes of epochs."""
SILENT_S = 120.0
"""A worker is frozen if it sends no message for so long [s]; it sends one every two seconds."""


class UnknownJob(LookupError):
    """There is no job of that id."""


class QueueFull(RuntimeError):
    """The queue is full."""


class WorkerFrozen(RuntimeError):
    """The worker process does not respond."""


class JobManager:
    """Run jobs one at a time; all methods belong to the service's event loop."""

    def __init__(
        self,
        store: JobStore,
        request_of: Callable[[v1.Job], JobRequest],
        publish: Callable[[v1.Job, Published], Awaitable[None]],
        patience_s: float = SILENT_S,
    ) -> None:
        """Run the jobs in `store`; a worker without a message for `patience_s` is frozen."""
        self._store = store
        self._request_of = request_of
        self._publish = publish
        self._patience_s = patience_s
        self._jobs: dict[str, v1.Job] = {}
        self._changed = asyncio.Condition()
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._worker: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._epochs: list[Epoch] = []
        """Of the running job, not stored yet."""
        self._publishing = ""
        """The job whose policy is being published; it cannot be cancelled."""
        self.tasks: set[str] = set()
        """Tasks that a job was ever started with."""
        self._numbers = itertools.count(1 + self._load())

    def _load(self) -> int:
        """Read the stored jobs; return the largest number."""
        largest = 0
        for blob in self._store.all():
            job = v1.Job.FromString(blob)
            if job.state not in ENDED:
                job.state, job.error = v1.JOB_STATE_FAILED, "the trainer was stopped before it ended"
                self._store.save(job.id, job.SerializeToString())
            largest = max(largest, int(job.id))
            self._keep(job)
        return largest

    def _keep(self, job: v1.Job) -> None:
        """Keep a job in memory; drop the oldest that has ended if there are too many."""
        self._jobs[job.id] = job
        self.tasks.add(job.options.task)
        if len(self._jobs) > KEPT:
            oldest = next(known for known in self._jobs.values() if known.state in ENDED or known is job)
            del self._jobs[oldest.id]

    def unfinished(self) -> list[v1.Job]:
        """Return the jobs that wait or run, oldest first."""
        return [job for job in self._jobs.values() if job.state not in ENDED]

    async def page(self, after: str, limit: int) -> tuple[list[v1.Job], str]:
        """Return up to `limit` jobs, oldest first, and where the next page begins; empty at the end.

        Raises:
            ValueError: `after` is no place in the list.
        """
        blobs = await asyncio.to_thread(self._store.page, int(after or "0"), limit)
        jobs = [v1.Job.FromString(blob) for blob in blobs]
        return [self._jobs.get(job.id, job) for job in jobs], jobs[-1].id if len(jobs) == limit else ""

    async def find(self, job_id: str) -> v1.Job:
        """Return one job, also one of long ago; raise `UnknownJob` naming the latest."""
        if job_id not in self._jobs and (blob := await asyncio.to_thread(self._store.get, job_id)):
            return v1.Job.FromString(blob)
        return self._get(job_id)

    def _get(self, job_id: str) -> v1.Job:
        if job_id not in self._jobs:
            known = listed(list(self._jobs))
            raise UnknownJob(f"there is no job {shortened(job_id, 80)!r}; known: {known}")
        return self._jobs[job_id]

    async def start(self, job: v1.Job) -> v1.Job:
        """Queue a job and return it with its id.

        Raises:
            QueueFull: many jobs wait already.
            StoreUnavailable: it cannot be stored, and is not queued.
        """
        waiting = sum(known.state == v1.JOB_STATE_QUEUED for known in self._jobs.values())
        if waiting >= MOST_QUEUED:
            raise QueueFull(
                f"{waiting} jobs wait, which is the most: cancel some ('hds-trainer cancel'), or "
                "try again when some have ended"
            )
        who = caller()
        job.started_by, job.started_from = who.name, who.peer
        job.id = f"{next(self._numbers)}"
        job.state, job.phase = v1.JOB_STATE_QUEUED, "waiting"
        await asyncio.to_thread(self._store.save, job.id, job.SerializeToString())
        self._keep(job)
        await self._publish_change(job, durable=False)
        self._queue.put_nowait(job.id)
        return job

    async def cancel(self, job_id: str) -> v1.Job:
        """End a job that has not ended, nor begun to publish; a running one loses its process."""
        job = await self.find(job_id)
        if job_id == self._publishing:
            return job
        if job.state == v1.JOB_STATE_RUNNING:
            self._kill_worker()
        if job.state not in ENDED:
            job.state = v1.JOB_STATE_CANCELLED
            await self._publish_change(job)
        return job

    async def watch(self, job_id: str) -> AsyncIterator[v1.Job]:
        """Yield a job now and after changes, until it has ended."""
        job = await self.find(job_id)
        while True:
            seen = v1.Job.FromString(job.SerializeToString())
            yield seen
            if seen.state in ENDED:
                return
            async with self._changed:
                while job == seen:
                    await self._changed.wait()

    async def run(self) -> None:
        """Work the queue for ever."""
        while True:
            job = self._jobs[await self._queue.get()]
            if job.state != v1.JOB_STATE_QUEUED:
                continue
            try:
                await self._run_one(job)
            except Exception as error:  # a defect: this job fails, and the next one runs
                LOG.exception("job %s failed", job.id)
                self._kill_worker()
                job.state, job.error = v1.JOB_STATE_FAILED, shortened(f"{type(error).__name__}: {error}")
                await self._publish_change(job)

    def close(self) -> None:
        """End the worker at once."""
        self._kill_worker()

    async def _run_one(self, job: v1.Job) -> None:
        self._epochs = []
        pipe = self._ready_worker()  # before watchers see that it runs, and may cancel it
        job.state, job.phase = v1.JOB_STATE_RUNNING, "starting"
        LOG.info("job %s: %s for %s", job.id, v1.JobKind.Name(job.kind), job.options.task)
        try:
            request = await _with_retries(lambda: asyncio.to_thread(self._request_of, job), job)
            pipe.send(request)
            await self._publish_change(job)
            while isinstance(
                message := await asyncio.to_thread(_next_message, pipe, self._patience_s), Progress
            ):
                job.phase, job.progress = message.phase, message.share
                job.metrics.update(message.metrics)
                if message.epoch is not None:
                    await self._add_epoch(job, message.epoch)
                await self._publish_change(job, durable=False)
            if job.state == v1.JOB_STATE_CANCELLED:
                return
            await self._store_epochs(job)  # before watchers see the end
            await self._conclude(job, message)
        except (EOFError, OSError, WorkerFrozen) as error:
            if job.state == v1.JOB_STATE_CANCELLED:
                return
            self._kill_worker()
            frozen = isinstance(error, WorkerFrozen)
            why = str(error) if frozen else f"the worker process died ({error or 'no message'})"
            job.state, job.error = v1.JOB_STATE_FAILED, why
        except (ValueError, LookupError, StoreUnavailable) as error:
            job.state, job.error = v1.JOB_STATE_FAILED, shortened(str(error))
        finally:
            await self._store_epochs(job)
        LOG.info("job %s: %s %s", job.id, v1.JobState.Name(job.state), job.error or job.policy_version[:12])
        await self._publish_change(job)

    async def _add_epoch(self, job: v1.Job, epoch: Epoch) -> None:
        """Keep the figures of an epoch; store them every second."""
        self._epochs.append(epoch)
        if epoch.at_ns - self._epochs[0].at_ns > FLUSH_NS:
            await self._store_epochs(job)

    async def _store_epochs(self, job: v1.Job) -> None:
        if not self._epochs:
            return
        waiting, self._epochs = self._epochs, []
        await _with_retries(lambda: asyncio.to_thread(self._store.add_epochs, job.id, waiting), job)

    async def epochs(self, job_id: str, after: int) -> list[Epoch]:
        """Return the stored figures of a job's epochs with larger numbers than `after`."""
        return await asyncio.to_thread(self._store.epochs, job_id, after)

    async def _conclude(self, job: v1.Job, outcome: Published | Failed) -> None:
        """Publish the policy of a job, or note why it failed."""
        if isinstance(outcome, Failed):
            job.state, job.error = v1.JOB_STATE_FAILED, shortened(outcome.message)
            return
        verdict = outcome.verdict
        job.gate.CopyFrom(
            v1.GateVerdict(
                passed=verdict.passed, off=job.options.gate_off, reasons=verdict.reasons, notes=verdict.notes
            )
        )
        job.notes.extend(outcome.notes)
        self._publishing = job.id
        answering(Caller(job.started_by, job.started_from, True))  # the actor in the audit trail
        try:
            await _with_retries(lambda: self._publish(job, outcome), job)
        finally:
            answering(NOBODY)
            self._publishing = ""
        job.policy_version, job.state = outcome.version, v1.JOB_STATE_SUCCEEDED
        job.phase, job.progress = "done", 1.0

    def _ready_worker(self) -> Connection:
        if self._pipe is None or self._worker is None or not self._worker.is_alive():
            parent, child = _SPAWN.Pipe()
            worker = _SPAWN.Process(target=worker_main, args=(child,), name="worker", daemon=True)
            worker.start()
            child.close()
            self._worker, self._pipe = worker, parent
        return self._pipe

    def _kill_worker(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker.join()
        self._worker, self._pipe = None, None

    async def _publish_change(self, job: v1.Job, durable: bool = True) -> None:
        """Notify the watchers of a change, and store it."""
        if durable:
            await _with_retries(
                lambda: asyncio.to_thread(self._store.save, job.id, job.SerializeToString()), job
            )
        async with self._changed:
            self._changed.notify_all()


def _next_message(pipe: Connection, patience_s: float) -> Progress | Published | Failed:
    """Return the worker's next message other than `Alive`.

    Raises:
        WorkerFrozen: there is none in time.
        EOFError, OSError: it has ended.
    """
    while pipe.poll(patience_s):
        message = pipe.recv()
        if not isinstance(message, Alive):
            return message
    raise WorkerFrozen(f"the worker process said nothing for {patience_s:g} s, and was ended")


async def _with_retries(ask: Callable[[], Awaitable[_T]], job: v1.Job) -> _T:
    """Return the result of `ask`; try again while the database is away."""
    while True:
        try:
            return await ask()
        except StoreUnavailable as error:
            LOG.warning("job %s waits: %s", job.id, error)
            await asyncio.sleep(AGAIN_S)


def remove_half_written(checkpoints: Path) -> None:
    """Delete incomplete checkpoints of a killed worker."""
    for path in checkpoints.glob(".staging-*"):
        shutil.rmtree(path, ignore_errors=True)
