"""The trainer's process: store, registry and jobs behind one gRPC server."""

import asyncio
import logging
import os
import signal
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from protos.hds import v1
from protos.operation import garbage_collection
from protos.operation.event_loop import shorten_switch_interval
from protos.operation.lock import InUse, acquire
from protos.operation.private import private_directory
from protos.operation.supervisor import Failures, Supervisor
from protos.security.address import format_address
from protos.security.expiry import watch_of
from protos.security.server_security import ServerSecurity
from trainer.jobs.manager import SILENT_S, JobManager, remove_half_written
from trainer.jobs.request import JobRequest, Published
from trainer.services.experience import ExperienceService
from trainer.services.experience_messages import decode_selection
from trainer.services.registry import RegistryService
from trainer.services.scoring import Scorer
from trainer.services.training import TrainingService
from trainer.services.unavailable import UnavailableInterceptor
from trainer.services.user_code import UserCodeLoader
from trainer.store.database import StoreUnavailable, claim, open_database, sqlite_url
from trainer.store.experience import ExperienceStore
from trainer.store.jobs import JobStore
from trainer.store.records import Selection
from trainer.store.registry import PolicyEntry, Registry

LOG = logging.getLogger("trainer")
SERVICES = ("hds.v1.ExperienceService", "hds.v1.RegistryService", "hds.v1.TrainingService")
GRACE_S = 0.5
WATCH_S = 5.0
SERVED_LABEL = "stable"
NICENESS = 5
"""How far a trainer gives way to controllers and rigs on its computer: a list may wait, an action may not."""


class Trainer:
    """Everything that the trainer's services share. Made inside the event loop."""

    def __init__(
        self, state_dir: Path, database: str, open_to_all: bool, worker_patience: float = SILENT_S
    ) -> None:
        """Open the state; `open_to_all` says that nobody has to prove who they are.

        Raises:
            OSError: the state directory or the database cannot be written.
        """
        self._open = open_to_all
        self.checkpoints = state_dir / "checkpoints"
        try:
            private_directory(self.checkpoints)
        except OSError as error:
            raise OSError(
                f"the state directory {state_dir} cannot be written ({error.strerror}); "
                "give a writable --state-dir"
            ) from error
        remedy = "give each trainer its own --state-dir"
        self._held = acquire(state_dir / ".lock", f"the state directory {state_dir}", remedy)
        self._url = database or sqlite_url(state_dir / "hds.sqlite")
        self._engine = open_database(self._url)
        self._claim = claim(self._engine)
        remove_half_written(self.checkpoints)
        self.experience = ExperienceStore(self._engine)
        self.registry = Registry(self._engine)
        self.score, self.tasks = Scorer(), UserCodeLoader()
        self.jobs = JobManager(JobStore(self._engine), self.request_of, self.publish, worker_patience)
        self._experience_service = ExperienceService(
            self.experience, self._trusts, self.score, self.tasks, self.registry.behind
        )
        on_plant = self._experience_service.scores.everything
        self.registry_service = RegistryService(self.registry, self.checkpoints, on_plant, self._in_use)
        self.health = HealthServicer()

    async def watch(self) -> None:
        """Say `SERVING` while the database gives and takes, for ever.

        Raises:
            InUse: another trainer has taken the database.
        """
        status = health_pb2.HealthCheckResponse
        while True:
            try:
                if self._claim is not None:
                    await asyncio.to_thread(self._claim.check)
                await asyncio.to_thread(self.experience.watermark, "")
                now = status.SERVING
            except StoreUnavailable as error:
                LOG.warning("%s", error)
                now = status.NOT_SERVING
            for name in ("", *SERVICES):
                await self.health.set(name, now)
            await asyncio.sleep(WATCH_S)

    def close(self) -> None:
        """Let another trainer have the state."""
        self.jobs.close()
        if self._claim is not None:
            self._claim.release()
        self._engine.dispose()
        self._held.release()

    def _in_use(self) -> set[str]:
        """Return the versions that jobs which wait or run begin from."""
        return {self._parent(job.options.task) for job in self.jobs.unfinished()}

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
            algorithm=job.options.algorithm,
            config=job.options.config,
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
        """Return the data that a policy was fitted to; `version` may be its first digits, or a label.

        Raises:
            LookupError: there is not just one such policy, or it was fitted to none.
        """
        from trainer.checkpoint.reader import read_policy  # with JAX

        _, version = self.registry.resolve(version)
        metadata = read_policy(self.checkpoints / version, version).metadata
        if not metadata.watermarks:
            raise LookupError(f"policy {version[:12]} was fitted to no data")
        policies = tuple(metadata.configuration.get("policies", ()))
        return Selection(policies=policies, watermarks=metadata.watermarks)

    def _trusts(self, task: str) -> bool:
        """Return whether anybody may have a task's file loaded: all may do all, or someone who may did."""
        return self._open or task in self.jobs.tasks

    def _parent(self, task: str) -> str:
        entries = [entry for entry in self.registry.policies(task) if not entry.pruned_ns]
        served = [entry for entry in entries if SERVED_LABEL in entry.labels]
        return (served or entries)[-1].version if entries else ""

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the services."""
        v1.add_ExperienceServiceServicer_to_server(self._experience_service, server)
        v1.add_RegistryServiceServicer_to_server(self.registry_service, server)
        v1.add_TrainingServiceServicer_to_server(
            TrainingService(self.jobs, self.experience, self.data_of, self.tasks, self.registry.behind),
            server,
        )
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)


async def serve(
    host: str,
    port: int,
    state_dir: Path,
    database: str,
    security: ServerSecurity,
    worker_patience: float = SILENT_S,
) -> None:
    """Serve until SIGINT or SIGTERM; print the address once the port is bound.

    Raises:
        OSError: the port is taken, a file or the state is out of reach, or another trainer uses it.
        ValueError: the address is public and not secured enough.
    """
    security.check(host, port)
    shorten_switch_interval()
    garbage_collection.collect_young_only()
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    auth = security.auth_interceptor()
    trainer = Trainer(state_dir, database, not security.authenticates, worker_patience)
    server = security.server(auth, interceptors=(UnavailableInterceptor(),))
    trainer.add_to(server)
    bound = security.bind(server, host, port)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    supervisor = Supervisor(LOG, Failures(), final=(InUse,))
    await server.start()
    print(f"hds-trainer listens on {format_address(host, bound)}", flush=True)
    supervisor.start("running jobs", trainer.jobs.run)
    supervisor.start("watching the database", trainer.watch)
    supervisor.start("ending calls without rights", auth.watch)
    supervisor.start("watching certificates", watch_of(security.certificates()).watch)
    supervisor.start("collecting garbage", garbage_collection.collect_periodically)
    try:
        await supervisor.until(stop)
    finally:
        await server.stop(GRACE_S)
        await supervisor.end()
        trainer.close()
