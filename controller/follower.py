"""Follow a label of the trainer's registry, and bring its policy into the slot."""

import asyncio
import logging
import time
from collections.abc import Callable

import grpc

from controller.loader import PolicyLoader, Refused
from controller.metrics import Metrics
from controller.slot import PolicySlot
from protos.hds import v1
from protos.transport.handshake import CertificateRefused

LOG = logging.getLogger("controller")
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 2.0


class AmbiguousLabel(RuntimeError):
    """Several tasks have the label; the message lists them."""


class LabelFollower:
    """Watch `label` at the trainer; download, verify, compile, warm up, swap.

    The old policy serves until the new one is ready, and for ever if it is refused. Without a
    trainer the last good policy serves from disk.
    """

    def __init__(
        self, trainer: grpc.aio.Channel, name: str, label: str, task: str, loader: PolicyLoader,
        slot: PolicySlot, metrics: Metrics, refused: Callable[[], bool],
    ) -> None:  # fmt: skip
        """Follow; `refused()` says whether the trainer does not accept our certificate.

        Without `task`, the label of the only task that has it is followed, and no other from then on.
        """
        self._stub = v1.RegistryServiceStub(trainer)
        self._refused = refused
        self._trainer = name
        self.label, self.task = label, task
        self._loader = loader
        self._slot = slot
        self._metrics = metrics
        self._left = loader.cache.left_behind()
        self._remembering: asyncio.Task | None = None

    async def run(self) -> None:
        """Follow for ever.

        Raises:
            AmbiguousLabel: several tasks have the label, and nothing says which is meant.
        """
        last_good = self._loader.cache.last_good()
        if last_good:
            await self._try(last_good, "from disk")
        if not self.task and self._slot.current is not None:
            self.task = self._slot.current.metadata.task
        self._loader.registry = self._stub
        wait, said = FIRST_WAIT_S, ""
        while True:
            try:
                asked = v1.WatchLabelRequest(label=self.label, task=self.task)
                async for moved in self._stub.WatchLabel(asked):
                    wait, said = FIRST_WAIT_S, ""
                    self.task = self.task or moved.task
                    await self._follow(moved.version)
                message = "the stream ended"
            except grpc.aio.AioRpcError as error:
                if error.code() == grpc.StatusCode.FAILED_PRECONDITION and not self.task:
                    raise AmbiguousLabel(error.details()) from error
                message = f"{error.code().name.lower()}: {error.details()}"
                if error.code() == grpc.StatusCode.UNAVAILABLE and await asyncio.to_thread(self._refused):
                    message = str(CertificateRefused(self._trainer))
            if message != said:
                LOG.warning("waiting for the trainer at %s (%s)", self._trainer, message)
                said = message
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_S)

    async def roll_back(self, expected: str) -> tuple[str, str]:
        """Serve the policy before the current one; return the versions (left, served).

        Raises:
            NothingToRollBackTo: there is none, or `expected` is given and not current.
        """
        left, version = self._slot.roll_back(expected)
        await self._leave_behind(left)
        self._remembering = asyncio.create_task(self._loader.remember(version))  # waits for what loads now
        self._metrics.roll_backs.inc()
        LOG.warning("rolled back from policy %s to %s", left[:12], version[:12])
        return left, version

    async def _follow(self, version: str) -> None:
        if not version:
            LOG.info("label %r points to no policy yet; waiting", self.label)
            return
        if version == self._left:
            why = "it was rolled back from; move the label to another policy and back to serve it again"
            self._refuse(version, why)
            return
        if self._left:
            await self._leave_behind("")
        current = self._slot.current
        if current is None or current.version != version:
            await self._try(version, f"label {self.label!r}")

    async def _try(self, version: str, origin: str) -> None:
        """Build the policy beside the event loop and swap it in, or refuse it."""
        started = time.monotonic()
        try:
            policy = await self._loader.load(version)
            if self.task and policy.metadata.task != self.task:
                raise Refused(f"it is of task {policy.metadata.task!r}; task {self.task!r} is served")
        except Refused as error:
            self._refuse(version, str(error))
            return
        await self._loader.remember(version)  # before it serves, lest SIGTERM comes between
        self._slot.swap(policy)
        self._metrics.swaps.labels(version[:12]).inc()
        elapsed = time.monotonic() - started
        LOG.info("serving policy %s (%s), ready after %.3f s", version[:12], origin, elapsed)

    async def _leave_behind(self, version: str) -> None:
        """Do not serve `version` again when the label says so; empty forgets it."""
        self._left = version
        try:
            await asyncio.to_thread(self._loader.cache.leave_behind, version)
        except OSError as error:
            LOG.error("what was rolled back from is not kept for the next start: %s", error)

    def _refuse(self, version: str, why: str) -> None:
        self._slot.refuse(version, why)
        self._metrics.refusals.inc()
        current = self._slot.current
        kept = f"policy {current.version[:12]} stays" if current else "no policy is served"
        LOG.error("policy %s is refused: %s; %s", version[:12], why, kept)
