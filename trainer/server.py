"""The trainer's process: store, registry and jobs behind one gRPC server."""

import asyncio
import functools
import logging
import signal
from pathlib import Path

import grpc

from protos.hds import v1
from protos.operation.supervisor import Supervisor, Troubles
from protos.transport.address import joined
from protos.transport.expiry import watch_of
from protos.transport.serving import ServerSecurity
from trainer.jobs.manager import JobManager, remove_half_written
from trainer.jobs.request import JobRequest, Published
from trainer.services.experience import ExperienceService
from trainer.services.experience_messages import decode_selection
from trainer.services.plant_scores import plant_records
from trainer.services.registry import RegistryService
from trainer.services.scoring import Scorer
from trainer.services.training import TrainingService
from trainer.services.unavailable import TellsUnavailable
from trainer.store.database import open_database, sqlite_url
from trainer.store.experience import ExperienceStore
from trainer.store.jobs import JobStore
from trainer.store.records import EVERYTHING, Selection
from trainer.store.registry import PolicyEntry, Registry

LOG = logging.getLogger("trainer")
GRACE_S = 0.5
SERVED_LABEL = "stable"


class Trainer:
    """Everything that the trainer's services share. Made inside the event loop."""

    def __init__(self, state_dir: Path, database: str, open_to_all: bool) -> None:
        """Open the state; `open_to_all` says that nobody has to prove who they are.

        Raises:
            OSError: the state directory or the database cannot be written.
        """
        self._open = open_to_all
        self.checkpoints = state_dir / "checkpoints"
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                f"the state directory {state_dir} cannot be written ({error.strerror}); "
                "give a writable --state-dir"
            ) from error
        remove_half_written(self.checkpoints)
        self._url = database or sqlite_url(state_dir / "hds.sqlite")
        engine = open_database(self._url)
        self.experience = ExperienceStore(engine)
        self.registry = Registry(engine)
        self.score = Scorer()
        on_plant = functools.partial(plant_records, self.experience, self.score, EVERYTHING)
        self.registry_service = RegistryService(self.registry, self.checkpoints, on_plant)
        self.jobs = JobManager(JobStore(engine), self.request_of, self.publish)

    def request_of(self, job: v1.Job) -> JobRequest:
        """Return what the worker needs for `job`; a refit starts from the served or the newest policy."""
        refit = job.kind == v1.JOB_KIND_REFIT
        return JobRequest(
            refit=refit,
            task=job.options.task,
            seed=job.options.seed,
            epochs=job.options.epochs,
            dynamics_model=job.dynamics_model,
            learned_fraction=job.learned_fraction if refit else None,
            parent=self._parent(job.options.task) if refit else "",
            database=self._url,
            checkpoints=self.checkpoints,
            data=decode_selection(job.data),
            gate=job.options.gate if job.options.HasField("gate") else None,
        )

    async def publish(self, job: v1.Job, published: Published) -> None:
        """Register what a job published, and move its label, if the gate lets it or is off."""
        entry = PolicyEntry(
            published.version,
            job.options.task,
            published.parent,
            published.real_seconds,
            published.metrics,
        )
        verdict, off = published.verdict, job.options.gate_off
        gate = "off" if off else "passed" if verdict.passed else "refused"
        await asyncio.to_thread(self.registry.publish, entry, gate, verdict.reasons)
        if verdict.passed or off:
            await self.registry_service.move_label(job.options.label, published.version)

    def data_of(self, version: str) -> Selection:
        """Return the data that a policy was fitted to; `version` may be its first digits.

        Raises:
            LookupError: there is not just one such policy, or it was fitted to none.
        """
        from trainer.checkpoint.reader import read_policy  # with JAX

        matching = [e.version for e in self.registry.policies() if e.version.startswith(version)]
        if len(matching) != 1:
            raise LookupError(f"{len(matching) or 'no'} policies begin with {version!r}")
        metadata = read_policy(self.checkpoints / matching[0], matching[0]).metadata
        if not metadata.watermarks:
            raise LookupError(f"policy {matching[0][:12]} was fitted to no data")
        policies = tuple(metadata.configuration.get("policies", ()))
        return Selection(policies=policies, watermarks=metadata.watermarks)

    def _trusts(self, task: str) -> bool:
        """Return whether anybody may have a task's file loaded: all may do all, or someone who may did."""
        return self._open or any(job.options.task == task for job in self.jobs.list())

    def _parent(self, task: str) -> str:
        entries = [entry for entry in self.registry.policies() if entry.task == task]
        served = [entry for entry in entries if SERVED_LABEL in entry.labels]
        return (served or entries)[-1].version if entries else ""

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the services."""
        v1.add_ExperienceServiceServicer_to_server(
            ExperienceService(self.experience, self._trusts, self.score), server
        )
        v1.add_RegistryServiceServicer_to_server(self.registry_service, server)
        v1.add_TrainingServiceServicer_to_server(
            TrainingService(self.jobs, self.experience, self.data_of), server
        )


async def serve(host: str, port: int, state_dir: Path, database: str, security: ServerSecurity) -> None:
    """Serve until SIGINT or SIGTERM; print the address once the port is bound.

    Raises:
        OSError: the port is taken, or a file or the state is out of reach.
        ValueError: the address is public and not secured enough.
    """
    security.check(host)
    authority = security.authority()
    trainer = Trainer(state_dir, database, open_to_all=not security.authenticates)
    server = security.server(authority, interceptors=(TellsUnavailable(),))
    trainer.add_to(server)
    bound = security.bind(server, host, port)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    supervisor = Supervisor(LOG, Troubles())
    await server.start()
    print(f"hds-trainer listens on {joined(host, bound)}", flush=True)
    supervisor.keep("running jobs", trainer.jobs.run)
    supervisor.keep("ending calls without rights", authority.watch)
    supervisor.keep("watching certificates", watch_of(security.certificates()).watch)
    try:
        await supervisor.until(stop)
    finally:
        await server.stop(GRACE_S)
        trainer.jobs.close()
        await supervisor.end()
