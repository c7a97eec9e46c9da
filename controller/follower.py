"""Follow a label of the trainer's registry, and serve its policy."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

import grpc

from controller.loaded_policies import LoadedPolicies
from controller.loader import PolicyLoader, PolicyRejected
from controller.metrics import Metrics
from protos.hds import v1
from protos.operation.supervisor import back_off
from protos.security.certificate_refusal import CertificateRefused

LOG = logging.getLogger("controller")
LONGEST_WAIT_S = 2.0
AGAIN_S = 60.0
"""Longest wait before a failed policy is tried again [s]; waits double up to it."""
OUTDATED_S = 5.0
"""How long a policy may go on loading once the label points to another one [s]."""


class AmbiguousLabel(RuntimeError):
    """Several tasks have the label; the message lists them."""


class LabelFollower:
    """Watch `label` at the trainer; download, verify, compile, warm up, swap.

    The old policy serves until the new one is ready, or stays if that is rejected. Without a trainer, the
    last good policy serves from disk. `run` watches the label, `bring` loads its policy.
    """

    def __init__(
        self, registry: Callable[[], v1.RegistryServiceStub], name: str, label: str, task: str,
        loader: PolicyLoader, policies: LoadedPolicies, metrics: Metrics, refused: Callable[[], bool],
    ) -> None:  # fmt: skip
        """Follow `label`; `refused()` says whether the trainer rejects our certificate.

        Without `task`, follow the label of the only task that has it, and keep to that task.
        """
        self._registry, self._refused = registry, refused
        self._trainer = name
        self.label, self.task = label, task
        self._loader = loader
        self._policies = policies
        self._metrics = metrics
        self._quarantined = loader.cache.quarantined()
        self._remembering: asyncio.Task | None = None
        self._wanted, self._moved = "", asyncio.Event()
        self._started = False

    async def run(self) -> None:
        """Watch the label, forever.

        Raises:
            AmbiguousLabel: several tasks have the label, none is named, and none is served.
        """
        if not self._started:
            self._started = True
            if last_good := self._loader.cache.last_good():
                await self._try(last_good, "from disk")
        waits, said = back_off(LONGEST_WAIT_S), ""
        while True:
            if not self.task and self._policies.current is not None:
                self.task = self._policies.current.metadata.task
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
        """Load and serve the policy of the label, forever. Try again after failures that may pass."""
        while True:
            await self._moved.wait()
            self._moved.clear()
            version, waits = self._wanted, back_off(AGAIN_S)
            while not self._moved.is_set() and await self._once(version):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._moved.wait(), next(waits))

    async def roll_back(self, expected: str) -> tuple[str, str]:
        """Serve the previous policy; return the versions (left, served).

        Raises:
            NoPreviousPolicy: there is none, or `expected` is given and not current.
        """
        left, version = self._policies.roll_back(expected)
        self._wanted = ""  # a policy that is loading must not be swapped in
        self._moved.set()
        await self._quarantine(left)
        self._remembering = asyncio.create_task(self._loader.remember(version))
        self._metrics.roll_backs.inc()
        LOG.warning("rolled back from policy %s to %s", left[:12], version[:12])
        return left, version

    async def _follow(self, version: str) -> None:
        if not version:
            LOG.info("label %r points to no policy yet; waiting", self.label)
        elif version == self._quarantined:
            why = "it was rolled back from; move the label to another policy and back to serve it again"
            self._refuse(version, why)
            version = ""
        elif self._quarantined:
            await self._quarantine("")
        self._wanted = version
        self._moved.set()

    async def _once(self, version: str) -> bool:
        """Try to serve `version` once; return whether to try again."""
        current = self._policies.current
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
        """Build the policy and swap it in, or reject it; return whether to try again."""
        started = time.monotonic()
        try:
            policy = await self._loader.load(version, urgent=True)
            if self.task and policy.metadata.task != self.task:
                raise PolicyRejected(f"it is of task {policy.metadata.task!r}; task {self.task!r} is served")
        except PolicyRejected as error:
            self._refuse(version, str(error), error.again)
            return error.again
        if version == self._quarantined:
            return False  # rolled back while it was loading
        remembered = await self._loader.remember(version)  # before it serves, in case of SIGTERM in between
        self._policies.swap(policy)
        self._metrics.swapped(version)
        elapsed = time.monotonic() - started
        LOG.info("serving policy %s (%s), ready after %.3f s", version[:12], origin, elapsed)
        return not remembered

    async def _quarantine(self, version: str) -> None:
        """Do not serve `version` although the label points to it; an empty one ends the quarantine."""
        self._quarantined = version
        try:
            await asyncio.to_thread(self._loader.cache.quarantine, version)
        except OSError as error:
            LOG.error("the quarantine of a rolled-back policy is not kept for the next start: %s", error)

    def _refuse(self, version: str, why: str, again: bool = False) -> None:
        self._policies.refuse(version, why)
        self._metrics.refusals.inc()
        current = self._policies.current
        kept = f"policy {current.version[:12]} stays" if current else "no policy is served"
        later = "; it is tried again" if again else ""
        LOG.error("policy %s is refused: %s; %s%s", version[:12], why, kept, later)
