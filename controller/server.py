"""The process of the controller: a gRPC server and a label follower."""

import asyncio
import functools
import logging
import signal
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from controller.admin import PolicyAdminService
from controller.batcher import Batcher
from controller.cache import PolicyCache
from controller.follower import AmbiguousLabel, LabelFollower
from controller.keep_warm import keep_warm
from controller.loaded_policies import LoadedPolicies
from controller.loader import PolicyLoader
from controller.metrics import Metrics
from controller.served_policy import BUCKETS
from controller.service import PolicyService
from protos.hds import v1
from protos.operation import garbage_collection
from protos.operation.lock import acquire
from protos.operation.supervisor import Failures, Supervisor
from protos.security.address import check_address, check_port, format_address
from protos.security.client_security import ClientSecurity
from protos.security.expiry import watch_of
from protos.security.server_security import ServerSecurity

LOG = logging.getLogger("controller")
SERVICES = ("hds.v1.PolicyService", "hds.v1.PolicyAdminService")
SERVER_OPTIONS = (("grpc.max_receive_message_length", 1 << 20),)
TRAINER_OPTIONS = (("grpc.keepalive_time_ms", 10_000), ("grpc.max_reconnect_backoff_ms", 2_000))
READY_S = 0.05


@dataclass(frozen=True)
class Settings:
    """Settings of the controller.

    Attributes:
        host, port: address to listen on; port 0 takes a free one.
        trainer: host:port of the trainer.
        label: label whose policy is served.
        task: task of the label; empty for the only task that has it.
        state_dir: directory of downloaded policies.
        batch_delay: longest wait of an observation for a batch [s].
        max_batch: largest batch.
        max_streams: limit of open Control streams.
        keep_warm: period of dry runs while a stream is open [s]; 0 for none.
        metrics_port: port for Prometheus; None for no metrics.
        metrics_host: address for Prometheus; a public one requires mutual TLS.
        reflection: whether gRPC reflection is on.
        grace: how long open streams are answered after SIGTERM [s].
        security: who may connect.
        access: TLS and authentication at the trainer.
    """

    host: str
    port: int
    trainer: str
    label: str
    state_dir: Path
    task: str = ""
    batch_delay: float = 0.001
    max_batch: int = BUCKETS[-1]
    max_streams: int = 256
    keep_warm: float = 0.002
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    reflection: bool = True
    grace: float = 0.5
    security: ServerSecurity = field(default_factory=ServerSecurity)
    access: ClientSecurity = field(default_factory=ClientSecurity)


class Controller:
    """The parts of the controller. Create it inside the event loop."""

    def __init__(self, settings: Settings) -> None:
        """Open the state directory.

        Raises:
            OSError: the state directory cannot be written.
        """
        self._settings = settings
        self.metrics, self.policies = Metrics(), LoadedPolicies()
        cache = PolicyCache(settings.state_dir)
        self._held = acquire(
            settings.state_dir / ".lock", f"the state directory {settings.state_dir}",
            "give each controller its own --state-dir",
        )  # fmt: skip
        trainer = settings.access.aio_followed(settings.trainer, TRAINER_OPTIONS)
        registry = lambda: v1.RegistryServiceStub(trainer.now())  # noqa: E731
        loader = PolicyLoader(cache, self.policies, registry)
        label, metrics = settings.label, self.metrics
        refused = functools.partial(settings.access.refused, settings.trainer)
        self.follower = LabelFollower(
            registry, settings.trainer, label, settings.task, loader, self.policies, metrics, refused
        )
        self.expiry = watch_of((*settings.security.certificates(), *settings.access.certificates()))
        metrics.export_expiry(self.expiry)
        counter = self.metrics.background_failures
        self.failures = Failures(lambda work: counter.labels(work).inc())
        self.batcher = Batcher(settings.batch_delay, settings.max_batch, metrics)
        most = settings.max_streams
        self.service = PolicyService(self.policies, loader, self.batcher, metrics, label, most, self.warnings)
        self._admin = PolicyAdminService(self.follower, loader, self.service, settings.state_dir, metrics)
        self._health = HealthServicer()

    def warnings(self) -> list[str]:
        """Return warnings: background tasks that failed, certificates that expire soon."""
        return [*self.failures.messages(), *self.expiry.warnings()]

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the services."""
        v1.add_PolicyServiceServicer_to_server(self.service, server)
        v1.add_PolicyAdminServiceServicer_to_server(self._admin, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if self._settings.reflection:
            names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)

    async def report_health(self) -> None:
        """Set the health to `SERVING` once a policy is warm. The admin service needs no policy."""
        status = health_pb2.HealthCheckResponse
        await self._health.set(SERVICES[1], status.SERVING)
        for name in ("", SERVICES[0]):
            await self._health.set(name, status.NOT_SERVING)
        while self.policies.current is None:
            await asyncio.sleep(READY_S)
        garbage_collection.freeze()
        for name in ("", SERVICES[0]):
            await self._health.set(name, status.SERVING)

    async def drain(self, server: grpc.aio.Server) -> None:
        """Set the health to `NOT_SERVING`, accept no new stream, and answer open ones for `grace` seconds."""
        await self._health.enter_graceful_shutdown()
        await server.stop(self._settings.grace)


async def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; print the address once the port is bound.

    Raises:
        OSError: the port is taken, a file or the state directory is out of reach, or another controller
            uses it.
        ValueError: the address is public and not secured enough.
        AmbiguousLabel: several tasks have the label, and `settings.task` names none.
    """
    settings.security.check(settings.host, settings.port)
    check_address(settings.trainer)
    if settings.metrics_port is not None:
        check_port("--metrics-port", settings.metrics_port)
    garbage_collection.collect_young_only()
    auth = settings.security.auth_interceptor()
    controller = Controller(settings)
    server = settings.security.server(auth, SERVER_OPTIONS)
    controller.add_to(server)
    bound = settings.security.bind(server, settings.host, settings.port)
    supervisor = Supervisor(LOG, controller.failures, final=(AmbiguousLabel,))
    if settings.metrics_port is not None:
        where, renewing = controller.metrics.serve(
            settings.metrics_host, settings.metrics_port, settings.security
        )
        supervisor.start("following the certificates of the metrics", renewing)
        print(f"hds-controller tells metrics at {where}", flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.start()
    print(f"hds-controller listens on {format_address(settings.host, bound)}", flush=True)
    warm = functools.partial(keep_warm, controller.service, controller.batcher, settings.keep_warm)
    for name, work in (
        ("following the label", controller.follower.run),
        ("bringing the label's policy", controller.follower.bring),
        ("ending idle streams", controller.service.watch),
        ("ending calls without rights", auth.watch),
        ("keeping warm", warm),
        ("reporting health", controller.report_health),
        ("watching certificates", controller.expiry.watch),
        ("collecting garbage", garbage_collection.collect_periodically),
    ):
        supervisor.start(name, work)
    try:
        await supervisor.until(stop)
    finally:
        await controller.drain(server)
        await supervisor.end()
