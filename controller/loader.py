"""Load policies by version or label: download, verify, compile, warm up.

Downloads run concurrently. One policy is built at a time.
"""

import asyncio
import logging
import re
from collections.abc import Callable

import grpc

from controller.cache import BadDownload, PolicyCache
from controller.loaded_policies import LoadedPolicies
from controller.served_policy import ServedPolicy, UnusablePolicy
from protos.hds import v1
from protos.operation.text import shortened
from trainer.checkpoint.manifest import CorruptCheckpoint
from trainer.checkpoint.metadata import VERSION_DIGITS, is_version

LOG = logging.getLogger("controller")
RESOLVE_S = 5.0
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
DOWNLOADS = 4
"""Concurrent downloads of versions that clients ask for. The label's own download is not counted."""


class PolicyRejected(RuntimeError):
    """A policy is unavailable or must not act. `again` says whether a later try may succeed."""

    def __init__(self, why: str, again: bool = False) -> None:
        super().__init__(shortened(why))
        self.again = again


class PolicyLoader:
    """Loads policies from memory, else from disk, else from the trainer."""

    def __init__(
        self, cache: PolicyCache, policies: LoadedPolicies, registry: Callable[[], v1.RegistryServiceStub]
    ) -> None:
        """Load into `policies`; `registry()` is the stub to download with."""
        self.cache = cache
        self._policies = policies
        self._registry = registry
        self._building, self._noting = asyncio.Lock(), asyncio.Lock()
        self._downloads: dict[str, asyncio.Task[None]] = {}

    async def load(self, name: str, urgent: bool = False) -> ServedPolicy:
        """Return a policy that is verified, compiled and warm. An urgent download is never put off.

        `name` is a version, its first digits, or a label at the trainer.

        Raises:
            PolicyRejected: with the reason.
        """
        version = name if is_version(name) else await self._resolve(name)
        try:
            policy = self._policies.get(version)
            if policy is None:
                await self._fetch(version, urgent)
                policy = await self._build(version)
            return policy
        except CorruptCheckpoint as error:
            self.cache.discard(version)
            raise PolicyRejected(str(error), again=True) from error
        except UnusablePolicy as error:
            raise PolicyRejected(str(error)) from error
        except PolicyRejected:
            raise
        except (OSError, BadDownload) as error:
            raise PolicyRejected(str(error), again=True) from error
        except Exception as error:  # any error of its files or of XLA must not stop other policies
            raise PolicyRejected(
                f"it cannot be built ({type(error).__name__}: {error})", again=True
            ) from error

    async def remember(self, version: str) -> bool:
        """Record `version` as the policy for the next start; return whether it could be written."""
        async with self._noting:
            try:
                await asyncio.to_thread(self.cache.mark_good, version)
                needed = {version, *self._policies.loaded(), *self._downloads}
                await asyncio.to_thread(self.cache.prune, needed)
            except OSError as error:
                LOG.error("policy %s serves, but is not kept for the next start: %s", version[:12], error)
                return False
            return True

    async def _resolve(self, name: str) -> str:
        """Return the full version of a prefix or label, from the loaded policies or the trainer.

        Raises:
            PolicyRejected: there is none, or the trainer cannot be reached.
        """
        if not _NAME.fullmatch(name):
            raise PolicyRejected(
                f"{shortened(name, 80)!r} is no version of a policy, nor a label; a version is "
                f"{VERSION_DIGITS} hexadecimal digits, of which the first do"
            )
        loaded = [version for version in self._policies.loaded() if version.startswith(name)]
        if len(loaded) == 1:
            return loaded[0]
        try:
            request = v1.ResolvePolicyRequest(name=name)
            return (await self._registry().ResolvePolicy(request, timeout=RESOLVE_S)).version
        except grpc.aio.AioRpcError as error:
            why = error.details() or error.code().name.lower()
            raise PolicyRejected(
                f"which policy {name!r} is, the trainer does not say ({why})", True
            ) from error

    async def _fetch(self, version: str, urgent: bool) -> None:
        """Download `version` unless it is on disk. Concurrent requests share one download."""
        if self.cache.directory(version).exists():
            return
        task = self._downloads.get(version)
        if task is None:
            if len(self._downloads) >= DOWNLOADS and not urgent:
                raise PolicyRejected(
                    f"{DOWNLOADS} policies are being downloaded; try again later", again=True
                )
            task = asyncio.create_task(self._download(version))
            self._downloads[version] = task
            task.add_done_callback(lambda done: self._downloads.pop(version, None))
        await asyncio.shield(task)

    async def _download(self, version: str) -> None:
        chunks = self._registry().DownloadPolicy(v1.DownloadPolicyRequest(version=version))
        try:
            await self.cache.store(version, aiter(chunks))
        except grpc.aio.AioRpcError as error:
            code = error.code().name.lower()
            raise PolicyRejected(
                f"the trainer does not give policy {version[:12]} ({code}: {error.details()})", again=True
            ) from error
        finally:
            chunks.cancel()
        needed = {version, *self._policies.loaded(), *self._downloads}
        await asyncio.to_thread(self.cache.prune, needed)

    async def _build(self, version: str) -> ServedPolicy:
        async with self._building:
            policy = self._policies.get(version)
            if policy is None:
                policy = await asyncio.to_thread(ServedPolicy, self.cache.directory(version), version)
                self._policies.keep(policy)
            return policy
