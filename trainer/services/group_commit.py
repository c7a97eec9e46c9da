"""Batches of many streams in one transaction: one flush of the disk acknowledges all that came meanwhile."""

import asyncio

from trainer.store.experience import ExperienceStore
from trainer.store.records import Batch, SequenceGap

LARGEST = 256
"""Batches in one transaction."""


class GroupCommit:
    """Appends to `store`, one transaction at a time. Lives in one event loop."""

    def __init__(self, store: ExperienceStore) -> None:
        self._store = store
        self._waiting: list[tuple[Batch, asyncio.Future[int | SequenceGap]]] = []
        self._committing: asyncio.Task | None = None

    async def append(self, batch: Batch) -> int | SequenceGap:
        """Return the watermark after `batch` once it is committed, or the gap that kept it out.

        Raises:
            StoreUnavailable: nothing of it is stored.
        """
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((batch, future))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        return await future

    async def _commit(self) -> None:
        """Commit what waits until nothing does."""
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:LARGEST], self._waiting[LARGEST:]
                await self._commit_group(group)
        finally:
            self._committing = None

    async def _commit_group(self, group: list[tuple[Batch, asyncio.Future[int | SequenceGap]]]) -> None:
        try:
            results = await asyncio.to_thread(self._store.append_all, [batch for batch, _ in group])
        except Exception as error:
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(group, results, strict=True):
            if not future.done():  # its stream ended
                future.set_result(result)
