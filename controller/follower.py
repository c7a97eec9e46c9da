"""Follow a label of the trainer's registry, and bring its policy into the slot."""

import asyncio
import logging
import time

import grpc

from controller.cache import PolicyCache
from controller.served_policy import ServedPolicy, UnusablePolicy
from controller.slot import PolicySlot
from protos.hds import v1
from trainer.checkpoint.manifest import CorruptCheckpoint

LOG = logging.getLogger("controller")
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 2.0


class LabelFollower:
    """Watch `label` at the trainer; download, verify, compile, warm up, swap.

    The old policy serves until the new one is ready, and for ever if it is refused. Without a
    trainer the last good policy serves from disk.
    """

    def __init__(self, trainer: str, label: str, cache: PolicyCache, slot: PolicySlot) -> None:
        self._trainer = trainer
        self.label = label
        self._cache = cache
        self._slot = slot

    async def run(self) -> None:
        """Follow for ever."""
        await self._serve_last_good()
        options = (("grpc.keepalive_time_ms", 10_000), ("grpc.max_reconnect_backoff_ms", 2_000))
        async with grpc.aio.insecure_channel(self._trainer, options=options) as channel:
            stub = v1.RegistryServiceStub(channel)
            wait, said = FIRST_WAIT_S, ""
            while True:
                try:
                    async for moved in stub.WatchLabel(v1.WatchLabelRequest(label=self.label)):
                        wait, said = FIRST_WAIT_S, ""
                        await self._follow(stub, moved.version)
                    message = "the stream ended"
                except grpc.aio.AioRpcError as error:
                    message = f"{error.code().name.lower()}: {error.details()}"
                if message != said:
                    LOG.warning("waiting for the trainer at %s (%s)", self._trainer, message)
                    said = message
                await asyncio.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT_S)

    async def _serve_last_good(self) -> None:
        version = self._cache.last_good()
        if version:
            await self._try(version, "from disk")

    async def _follow(self, stub: v1.RegistryServiceStub, version: str) -> None:
        if not version:
            LOG.info("label %r points to no policy yet; waiting", self.label)
            return
        current = self._slot.current
        if current is not None and current.version == version:
            return
        if not self._cache.directory(version).exists():
            chunks = stub.DownloadPolicy(v1.DownloadPolicyRequest(version=version))
            try:
                await self._cache.store(version, chunks)
            except (ValueError, OSError) as error:
                self._refuse(version, str(error))
                return
        await self._try(version, f"label {self.label!r}")

    async def _try(self, version: str, origin: str) -> None:
        """Build the policy beside the event loop and swap it in, or refuse it."""
        started = time.monotonic()
        try:
            policy = await asyncio.to_thread(ServedPolicy, self._cache.directory(version), version)
        except CorruptCheckpoint as error:
            self._cache.discard(version)
            self._refuse(version, str(error))
            return
        except (UnusablePolicy, ValueError, KeyError, TypeError) as error:
            self._refuse(version, str(error))
            return
        self._slot.swap(policy)
        self._cache.mark_good(version)
        elapsed = time.monotonic() - started
        LOG.info("serving policy %s (%s), ready after %.1f s", version[:12], origin, elapsed)

    def _refuse(self, version: str, why: str) -> None:
        self._slot.refuse(version, why)
        current = self._slot.current
        kept = f"policy {current.version[:12]} stays" if current else "no policy is served"
        LOG.error("policy %s is refused: %s; %s", version[:12], why, kept)
