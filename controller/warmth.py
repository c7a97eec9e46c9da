"""Keeps the way of an observation warm between two ticks.

A plant that asks 100 times a second leaves the processor idle, and idle it forgets: with cold caches an
action of a small network takes some 200 µs more. While a stream is open, a rehearsal every few milliseconds
avoids that, for some per cent of a core.
"""

import asyncio
import time

from controller.batcher import Batcher
from controller.service import PolicyService

NOBODY_S = 0.05


async def keep_warm(service: PolicyService, batcher: Batcher, period: float) -> None:
    """Rehearse for ever, `period` [s] after the last observation or rehearsal; 0 never does."""
    if not period:
        await asyncio.Event().wait()
    while True:
        await asyncio.sleep(period if batcher.streams else NOBODY_S)
        if batcher.streams and time.perf_counter() - batcher.asked_at >= period:
            service.rehearse()
