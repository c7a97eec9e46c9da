"""Group commit: batches of many streams share a transaction, and thus one flush of the disk."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from trainer.store.database import StoreUnavailable
from trainer.store.experience import ExperienceStore, Outcome
from trainer.store.records import Batch

LARGEST = 256
"""Largest number of batches in a transaction."""


class GroupCommit:
    """Appends to `store`, one transaction at a time. Belongs to one event loop."""

    def __init__(self, store: ExperienceStore) -> None:
        self._store = store
        self._waiting: list[tuple[Batch, asyncio.Future[Outcome]]] = []
        self._committing: asyncio.Task | None = None
        self._thread = ThreadPoolExecutor(1, "commit")  # readers use other threads

    async def append(self, batch: Batch) -> Outcome:
        """Commit `batch` and return the new watermark, or why it was rejected.

        Raises:
            StoreUnavailable: nothing was stored.
        """
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((batch, future))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        return await future

    async def _commit(self) -> None:
        """Commit waiting batches until there are none."""
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:LARGEST], self._waiting[LARGEST:]
                await self._commit_group(group)
        finally:
            self._committing = None

    async def _commit_group(self, group: list[tuple[Batch, asyncio.Future[Outcome]]]) -> None:
        try:
            batches = [batch for batch, _ in group]
            loop = asyncio.get_running_loop()
            results = await loop.run_in_executor(self._thread, self._store.append_all, batches)
        except Exception as error:
            if len(group) > 1 and not isinstance(error, StoreUnavailable):
                for one in group:  # a faulty batch must not fail the others
                    await self._commit_group([one])
                return
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(group, results, strict=True):
            if not future.done():  # the stream has ended
                future.set_result(result)
