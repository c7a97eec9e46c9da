"""TrainingService: start, watch and cancel jobs."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import grpc

from protos.hds import v1
from protos.operation.text import shortened
from trainer.jobs.manager import ENDED, JobManager, QueueFull, UnknownJob
from trainer.jobs.request import LEARNED_FRACTION, NoData
from trainer.services.experience_messages import Resolve, decode_selection, encode_selection
from trainer.services.paging import paged
from trainer.services.user_code import UserCodeLoader
from trainer.store.experience import ExperienceStore
from trainer.store.records import COLLECT, Selection
from trainer.store.registry import check_label

if TYPE_CHECKING:
    from trainer.tasks.task import Task

DEFAULT_LABEL = "candidate"
CURVES_S = 1.0
"""Time between reads of the epochs of a watched job [s]; they are stored as often."""
SHOWN = 5
"""Sessions of a plant that are named."""


class TrainingService(v1.TrainingServiceServicer):
    """Jobs behind gRPC. What can be found wrong at once is refused at once."""

    def __init__(
        self,
        jobs: JobManager,
        experience: ExperienceStore,
        data_of: Callable[[str], Selection],
        tasks: UserCodeLoader,
        resolve: Resolve,
    ) -> None:
        """Serve `jobs`; `data_of(version)` selects what a policy was fitted to, or raises `LookupError`."""
        self._jobs = jobs
        self._experience = experience
        self._data_of = data_of
        self._tasks, self._resolve = tasks, resolve

    async def StartTraining(
        self, request: v1.StartTrainingRequest, context: grpc.aio.ServicerContext
    ) -> v1.StartTrainingResponse:
        """Queue a training in the simulator."""
        job = v1.Job(kind=v1.JOB_KIND_TRAINING, options=request.options)
        await self._check(job, context)
        return v1.StartTrainingResponse(job=await self._start(job, context))

    async def StartRefit(
        self, request: v1.StartRefitRequest, context: grpc.aio.ServicerContext
    ) -> v1.StartRefitResponse:
        """Queue a fit to the recorded data and a training with it."""
        given = request.HasField("learned_fraction")
        job = v1.Job(
            kind=v1.JOB_KIND_REFIT,
            options=request.options,
            dynamics_model=request.dynamics_model,
            learned_fraction=request.learned_fraction if given else LEARNED_FRACTION,
        )
        await self._check(job, context)
        job.data.CopyFrom(await self._data(request, context))
        job.notes.append(await asyncio.to_thread(self._uses, job.data))
        return v1.StartRefitResponse(job=await self._start(job, context))

    async def _start(self, job: v1.Job, context: grpc.aio.ServicerContext) -> v1.Job:
        try:
            return await self._jobs.start(job)
        except QueueFull as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))

    def _uses(self, data: v1.Selection) -> str:
        """Return in words which plants and sessions a refit uses."""
        by_plant: dict[str, list[str]] = {}
        for summary in self._experience.sessions(decode_selection(data)):
            by_plant.setdefault(summary.session.plant, []).append(summary.session.id)
        shown = (
            f"{plant} ({', '.join(sessions[:SHOWN])}{', …' if len(sessions) > SHOWN else ''})"
            for plant, sessions in by_plant.items()
        )
        return f"it learns from {sum(map(len, by_plant.values()))} sessions of plant {'; '.join(shown)}"

    async def GetJob(self, request: v1.GetJobRequest, context: grpc.aio.ServicerContext) -> v1.GetJobResponse:
        """Return one job."""
        try:
            return v1.GetJobResponse(job=await self._jobs.find(request.id))
        except UnknownJob as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))

    async def ListJobs(
        self, request: v1.ListJobsRequest, context: grpc.aio.ServicerContext
    ) -> v1.ListJobsResponse:
        """Return jobs, oldest first."""
        jobs, token = await paged(request, context, self._jobs.page)
        return v1.ListJobsResponse(jobs=jobs, next_page_token=token)

    async def CancelJob(
        self, request: v1.CancelJobRequest, context: grpc.aio.ServicerContext
    ) -> v1.CancelJobResponse:
        """End one job."""
        try:
            return v1.CancelJobResponse(job=await self._jobs.cancel(request.id))
        except UnknownJob as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))

    async def WatchJob(
        self, request: v1.WatchJobRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[v1.WatchJobResponse]:
        """Follow one job to its end."""
        try:
            sent, again_at = 0, 0.0
            async for job in self._jobs.watch(request.id):
                response = v1.WatchJobResponse(job=job)
                if request.curves and (job.state in ENDED or time.monotonic() >= again_at):
                    again_at = time.monotonic() + CURVES_S
                    for epoch in await self._jobs.epochs(job.id, sent):
                        response.epochs.add(number=epoch.number, at_ns=epoch.at_ns, scalars=epoch.scalars)
                        sent = epoch.number
                yield response
        except UnknownJob as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))

    async def _data(self, request: v1.StartRefitRequest, context: grpc.aio.ServicerContext) -> v1.Selection:
        """Return what a refit uses: what is stored now of what was selected, or what a version saw."""
        task = request.options.task
        try:
            if request.data_of and request.data.ByteSize():
                raise ValueError("give either data_of, a version, or a selection of data; not both")
            if request.data_of:
                wanted = await asyncio.to_thread(self._data_of, request.data_of)
            else:
                wanted = await asyncio.to_thread(decode_selection, request.data, self._resolve)
            wanted = dataclasses.replace(wanted, task=task, purpose=COLLECT)
        except (ValueError, LookupError) as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, shortened(str(error.args[0])))
        found = await asyncio.to_thread(self._experience.sessions, wanted)
        if not found:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(NoData(task)))
        plants = sorted({summary.session.plant for summary in found})
        if len(plants) > 1 and not (wanted.plants or request.mix or request.data_of):
            message = (
                f"the data is of {len(plants)} plants: {', '.join(plants)}; choose with --data.plants, "
                "or learn "
                "from all as if they were one with --mix"
            )
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, message)
        if not wanted.watermarks:
            watermarks = {summary.session.id: summary.next_sequence for summary in found}
            wanted = dataclasses.replace(wanted, watermarks=watermarks)
        return encode_selection(wanted)

    async def _check(self, job: v1.Job, context: grpc.aio.ServicerContext) -> None:
        job.options.label = job.options.label or DEFAULT_LABEL
        try:
            check_label(job.options.label)
            task = await self._tasks.load(job.options.task)
            await self._tasks.check_algorithm(job.options.algorithm)
            job.dynamics_model = await self._tasks.dynamics_name(job.dynamics_model)
            await asyncio.to_thread(_check_configuration, job, task)
            if not 0.0 <= job.options.gate <= 1.0:
                raise ValueError(f"the gate must be in [0, 1], or off; got {job.options.gate:g}")
            if not 0.0 <= job.learned_fraction <= 1.0:
                raise ValueError(f"learned_fraction must be in [0, 1]; got {job.learned_fraction:g}")
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))


def _check_configuration(job: v1.Job, task: "Task") -> None:
    """Check a job's configuration. The first call imports JAX.

    Raises:
        ValueError: an entry is wrong.
    """
    from trainer.jobs.hyper_parameters import configuration_of

    configuration_of(task, job.options.config, job.options.epochs, job.kind == v1.JOB_KIND_REFIT)
