"""Follow a label of the trainer's registry, and bring its policy into the slot."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

import grpc

from controller.loader import PolicyLoader, Refused
from controller.metrics import Metrics
from controller.slot import PolicySlot
from protos.hds import v1
from protos.operation.supervisor import back_off
from protos.security.certificate_refusal import CertificateRefused

LOG = logging.getLogger("controller")
LONGEST_WAIT_S = 2.0
AGAIN_S = 60.0
"""A policy that could not be had is tried again after waits that double up to this [s]."""
OUTDATED_S = 5.0
"""How long a policy may still load once the label points to another [s]."""


class AmbiguousLabel(RuntimeError):
    """Several tasks have the label; the message lists them."""


class LabelFollower:
    """Watch `label` at the trainer; download, verify, compile, warm up, swap.

    The old policy serves until the new one is ready, and for ever if it is refused. Without a
    trainer the last good policy serves from disk. `run` hears where the label points, `bring` loads it.
    """

    def __init__(
        self, registry: Callable[[], v1.RegistryServiceStub], name: str, label: str, task: str,
        loader: PolicyLoader, slot: PolicySlot, metrics: Metrics, refused: Callable[[], bool],
    ) -> None:  # fmt: skip
        """Follow; `refused()` says whether the trainer does not accept our certificate.

        Without `task`, the label of the only task that has it is followed, and no other from then on.
        """
        self._registry, self._refused = registry, refused
        self._trainer = name
        self.label, self.task = label, task
        self._loader = loader
        self._slot = slot
        self._metrics = metrics
        self._left = loader.cache.left_behind()
        self._remembering: asyncio.Task | None = None
        self._wanted, self._moved = "", asyncio.Event()
        self._started = False

    async def run(self) -> None:
        """Hear where the label points, for ever.

        Raises:
            AmbiguousLabel: several tasks have the label, nothing says which is meant, and none is served.
        """
        if not self._started:
            self._started = True
            if last_good := self._loader.cache.last_good():
                await self._try(last_good, "from disk")
        waits, said = back_off(LONGEST_WAIT_S), ""
        while True:
            if not self.task and self._slot.current is not None:
                self.task = self._slot.current.metadata.task
            try:
                asked = v1.WatchLabelRequest(label=self.label, task=self.task)
                async for moved in self._registry().WatchLabel(asked):
                    waits, said = back_off(LONGEST_WAIT_S), ""
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
            await asyncio.sleep(next(waits))

    async def bring(self) -> None:
        """Bring the policy that the label points to, for ever; one that cannot be had is tried again."""
        while True:
            await self._moved.wait()
            self._moved.clear()
            version, waits = self._wanted, back_off(AGAIN_S)
            while self._wanted == version and await self._once(version):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._moved.wait(), next(waits))

    async def roll_back(self, expected: str) -> tuple[str, str]:
        """Serve the policy before the current one; return the versions (left, served).

        Raises:
            NothingToRollBackTo: there is none, or `expected` is given and not current.
        """
        left, version = self._slot.roll_back(expected)
        self._wanted = ""  # what loads now comes too late
        self._moved.set()
        await self._leave_behind(left)
        self._remembering = asyncio.create_task(self._loader.remember(version))
        self._metrics.roll_backs.inc()
        LOG.warning("rolled back from policy %s to %s", left[:12], version[:12])
        return left, version

    async def _follow(self, version: str) -> None:
        if not version:
            LOG.info("label %r points to no policy yet; waiting", self.label)
        elif version == self._left:
            why = "it was rolled back from; move the label to another policy and back to serve it again"
            self._refuse(version, why)
            version = ""
        elif self._left:
            await self._leave_behind("")
        self._wanted = version
        self._moved.set()

    async def _once(self, version: str) -> bool:
        """Try to serve `version` once; return whether it is to be tried again."""
        current = self._slot.current
        if not version:
            return False
        if current is not None and current.version == version:
            return not await self._loader.remember(version)
        trying = asyncio.create_task(self._try(version, f"label {self.label!r}"))
        moving = asyncio.create_task(self._moved.wait())
        try:
            await asyncio.wait({trying, moving}, return_when=asyncio.FIRST_COMPLETED)
            if not trying.done() and self._wanted != version:
                await asyncio.wait({trying}, timeout=OUTDATED_S)
            elif not trying.done():
                await asyncio.wait({trying})
            return trying.done() and trying.result()
        finally:
            moving.cancel()
            trying.cancel()

    async def _try(self, version: str, origin: str) -> bool:
        """Build the policy beside the event loop; swap it in, or refuse it. Return whether to try again."""
        started = time.monotonic()
        try:
            policy = await self._loader.load(version, urgent=True)
            if self.task and policy.metadata.task != self.task:
                raise Refused(f"it is of task {policy.metadata.task!r}; task {self.task!r} is served")
        except Refused as error:
            self._refuse(version, str(error), error.again)
            return error.again
        if version == self._left:
            return False  # rolled back from while it was loaded
        remembered = await self._loader.remember(version)  # before it serves, lest SIGTERM comes between
        self._slot.swap(policy)
        self._metrics.swapped(version)
        elapsed = time.monotonic() - started
        LOG.info("serving policy %s (%s), ready after %.3f s", version[:12], origin, elapsed)
        return not remembered

    async def _leave_behind(self, version: str) -> None:
        """Do not serve `version` again when the label says so; empty forgets it."""
        self._left = version
        try:
            await asyncio.to_thread(self._loader.cache.leave_behind, version)
        except OSError as error:
            LOG.error("what was rolled back from is not kept for the next start: %s", error)

    def _refuse(self, version: str, why: str, again: bool = False) -> None:
        self._slot.refuse(version, why)
        self._metrics.refusals.inc()
        current = self._slot.current
        kept = f"policy {current.version[:12]} stays" if current else "no policy is served"
        later = "; it is tried again" if again else ""
        LOG.error("policy %s is refused: %s; %s%s", version[:12], why, kept, later)
