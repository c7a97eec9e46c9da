"""From a version's name to a policy that is loaded and warm."""

import asyncio

import grpc

from controller.cache import PolicyCache
from controller.served_policy import ServedPolicy, UnusablePolicy
from controller.slot import PolicySlot
from protos.hds import v1
from trainer.checkpoint.manifest import CorruptCheckpoint


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
            except (UnusablePolicy, ValueError, KeyError, TypeError, OSError) as error:
                raise Refused(str(error)) from error
            self._slot.keep(policy)
            return policy

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
