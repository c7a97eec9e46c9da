"""From a version's name to a policy that is loaded and warm."""

import asyncio
import logging

import grpc

from controller.cache import PolicyCache
from controller.served_policy import ServedPolicy, UnusablePolicy
from controller.slot import PolicySlot
from protos.hds import v1
from trainer.checkpoint.manifest import CorruptCheckpoint
from trainer.checkpoint.metadata import VERSION_DIGITS, is_version

LOG = logging.getLogger("controller")


class Refused(RuntimeError):
    """A policy is not to be had, or must not act."""


class PolicyLoader:
    """Loads policies into `slot`: from memory, else from disk, else from the trainer. One at a time."""

    def __init__(self, cache: PolicyCache, slot: PolicySlot) -> None:
        self.cache = cache
        self._slot = slot
        self._lock = asyncio.Lock()
        self.registry: v1.RegistryServiceStub | None = None
        """Where to download from, once there is a channel."""

    async def load(self, version: str) -> ServedPolicy:
        """Return `version`, verified, compiled, tried and warm.

        Raises:
            Refused: saying why not.
        """
        if not is_version(version):
            raise Refused(
                f"{version!r} is no version of a policy; that is {VERSION_DIGITS} hexadecimal digits"
            )
        async with self._lock:
            policy = self._slot.get(version)
            if policy is not None:
                return policy
            try:
                if not self.cache.directory(version).exists():
                    await self._download(version)
                policy = await asyncio.to_thread(ServedPolicy, self.cache.directory(version), version)
            except CorruptCheckpoint as error:
                self.cache.discard(version)
                raise Refused(str(error)) from error
            except Refused:
                raise
            except (UnusablePolicy, OSError) as error:
                raise Refused(str(error)) from error
            except Exception as error:  # whatever its files and XLA come up with, others serve on
                raise Refused(f"it cannot be built ({type(error).__name__}: {error})") from error
            self._slot.keep(policy)
            return policy

    async def remember(self, version: str) -> None:
        """Let `version` be the one to start with next time; where that can't be written, serving goes on."""
        async with self._lock:
            try:
                await asyncio.to_thread(self.cache.mark_good, version)
            except OSError as error:
                LOG.error("policy %s serves, but is not kept for the next start: %s", version[:12], error)

    async def _download(self, version: str) -> None:
        if self.registry is None:
            raise Refused(f"policy {version[:12]} is not on this machine, and the trainer is not connected")
        chunks = self.registry.DownloadPolicy(v1.DownloadPolicyRequest(version=version))
        try:
            await self.cache.store(version, chunks)
        except grpc.aio.AioRpcError as error:
            code = error.code().name.lower()
            raise Refused(
                f"the trainer does not give policy {version[:12]} ({code}: {error.details()})"
            ) from error
