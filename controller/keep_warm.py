"""Keeps the CPU caches warm between observations.

At 100 Hz the core idles between requests and its caches go cold, which costs some 200 µs for an action of a
small network. While a stream is open, a dry run every few milliseconds avoids that, for a few per cent of a
core.
"""

import asyncio
import time

from controller.batcher import Batcher
from controller.service import PolicyService

NO_STREAM_S = 0.05


async def keep_warm(service: PolicyService, batcher: Batcher, period: float) -> None:
    """Do a dry run `period` [s] after each observation or dry run, forever; never if it is 0."""
    if not period:
        await asyncio.Event().wait()
    while True:
        await asyncio.sleep(period if batcher.streams else NO_STREAM_S)
        if batcher.streams and time.perf_counter() - batcher.asked_at >= period:
            service.dry_run()
