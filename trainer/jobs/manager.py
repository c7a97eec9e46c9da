"""The jobs of the service: a queue, one worker process, and everyone who watches."""

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
from trainer.jobs.request import Failed, JobRequest, Progress, Published
from trainer.jobs.worker import main as worker_main
from trainer.store.database import StoreUnavailable
from trainer.store.jobs import JobStore

LOG = logging.getLogger("trainer.jobs")
ENDED = (v1.JOB_STATE_SUCCEEDED, v1.JOB_STATE_FAILED, v1.JOB_STATE_CANCELLED)
AGAIN_S = 1.0
"""How long to wait for a database that is away."""
_T = TypeVar("_T")
_SPAWN = multiprocessing.get_context("spawn")


class UnknownJob(LookupError):
    """There is no job of that id."""


class JobManager:
    """Run jobs one at a time; all methods belong to the service's event loop."""

    def __init__(
        self,
        store: JobStore,
        request_of: Callable[[v1.Job], JobRequest],
        publish: Callable[[v1.Job, Published], Awaitable[None]],
    ) -> None:
        self._store = store
        self._request_of = request_of
        self._publish = publish
        self._jobs: dict[str, v1.Job] = {}
        self._changed = asyncio.Condition()
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._worker: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._publishing = ""
        """The job whose policy is being published, which can't be cancelled any more."""
        self._load()
        self._numbers = itertools.count(1 + max(map(int, self._jobs), default=0))

    def _load(self) -> None:
        for blob in self._store.all():
            job = v1.Job.FromString(blob)
            if job.state not in ENDED:
                job.state, job.error = v1.JOB_STATE_FAILED, "the trainer was stopped before it ended"
                self._store.save(job.id, job.SerializeToString())
            self._jobs[job.id] = job

    def list(self) -> list[v1.Job]:
        """Return every job, oldest first."""
        return list(self._jobs.values())

    def get(self, job_id: str) -> v1.Job:
        """Return one job; raise `UnknownJob` naming the known ones."""
        if job_id not in self._jobs:
            known = ", ".join(self._jobs) or "none yet"
            raise UnknownJob(f"there is no job {job_id!r}; known: {known}")
        return self._jobs[job_id]

    async def start(self, job: v1.Job) -> v1.Job:
        """Queue a job and return it with its id.

        Raises:
            StoreUnavailable: it can't be noted now, and is not queued.
        """
        job.id = f"{next(self._numbers)}"
        job.state, job.phase = v1.JOB_STATE_QUEUED, "waiting"
        await asyncio.to_thread(self._store.save, job.id, job.SerializeToString())
        self._jobs[job.id] = job
        await self._note(job, durable=False)
        self._queue.put_nowait(job.id)
        return job

    async def cancel(self, job_id: str) -> v1.Job:
        """End a job that has not ended, nor begun to publish; a running one loses its process."""
        job = self.get(job_id)
        if job_id == self._publishing:
            return job
        if job.state == v1.JOB_STATE_RUNNING:
            self._kill_worker()
        if job.state not in ENDED:
            job.state = v1.JOB_STATE_CANCELLED
            await self._note(job)
        return job

    async def watch(self, job_id: str) -> AsyncIterator[v1.Job]:
        """Yield a job now and after changes, until it has ended."""
        job = self.get(job_id)
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
            if job.state == v1.JOB_STATE_QUEUED:
                await self._run_one(job)

    def close(self) -> None:
        """End the worker at once."""
        self._kill_worker()

    async def _run_one(self, job: v1.Job) -> None:
        pipe = self._ready_worker()  # before anyone is told that it runs, and may cancel it
        job.state, job.phase = v1.JOB_STATE_RUNNING, "starting"
        LOG.info("job %s: %s for %s", job.id, v1.JobKind.Name(job.kind), job.options.task)
        try:
            request = await _persistently(lambda: asyncio.to_thread(self._request_of, job), job)
            pipe.send(request)
            await self._note(job)
            while isinstance(message := await asyncio.to_thread(pipe.recv), Progress):
                job.phase, job.progress = message.phase, message.share
                job.metrics.update(message.metrics)
                await self._note(job, durable=False)
            if job.state == v1.JOB_STATE_CANCELLED:
                return
            await self._conclude(job, message)
        except (EOFError, OSError) as error:
            if job.state == v1.JOB_STATE_CANCELLED:
                return
            self._kill_worker()
            job.state, job.error = v1.JOB_STATE_FAILED, f"the worker process died ({error or 'no message'})"
        except (ValueError, LookupError, StoreUnavailable) as error:
            job.state, job.error = v1.JOB_STATE_FAILED, str(error)
        LOG.info("job %s: %s %s", job.id, v1.JobState.Name(job.state), job.error or job.policy_version[:12])
        await self._note(job)

    async def _conclude(self, job: v1.Job, outcome: Published | Failed) -> None:
        """Publish what came of a job, or say what went wrong."""
        if isinstance(outcome, Failed):
            job.state, job.error = v1.JOB_STATE_FAILED, outcome.message
            return
        verdict = outcome.verdict
        job.gate.CopyFrom(
            v1.GateVerdict(
                passed=verdict.passed, off=job.options.gate_off, reasons=verdict.reasons, notes=verdict.notes
            )
        )
        job.notes.extend(outcome.notes)
        self._publishing = job.id
        try:
            await _persistently(lambda: self._publish(job, outcome), job)
        finally:
            self._publishing = ""
        job.policy_version, job.state = outcome.version, v1.JOB_STATE_SUCCEEDED
        job.phase, job.progress = "done", 1.0

    def _ready_worker(self) -> Connection:
        if self._pipe is None or self._worker is None or not self._worker.is_alive():
            ours, theirs = _SPAWN.Pipe()
            worker = _SPAWN.Process(target=worker_main, args=(theirs,), name="worker", daemon=True)
            worker.start()
            theirs.close()
            self._worker, self._pipe = worker, ours
        return self._pipe

    def _kill_worker(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker.join()
        self._worker, self._pipe = None, None

    async def _note(self, job: v1.Job, durable: bool = True) -> None:
        """Tell the watchers of a change, and the database."""
        if durable:
            await _persistently(
                lambda: asyncio.to_thread(self._store.save, job.id, job.SerializeToString()), job
            )
        async with self._changed:
            self._changed.notify_all()


async def _persistently(ask: Callable[[], Awaitable[_T]], job: v1.Job) -> _T:
    """Return what the database gives or takes for a job; while it is away, wait for it."""
    while True:
        try:
            return await ask()
        except StoreUnavailable as error:
            LOG.warning("job %s waits: %s", job.id, error)
            await asyncio.sleep(AGAIN_S)


def remove_half_written(checkpoints: Path) -> None:
    """Drop what a killed worker left of a checkpoint."""
    for path in checkpoints.glob(".staging-*"):
        shutil.rmtree(path, ignore_errors=True)
