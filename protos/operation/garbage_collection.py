"""Garbage collection without long pauses.

A full collection of CPython visits all objects and stops all threads: 0.1 s with the objects of JAX or of a
thousand open calls, and it is repeated whenever enough new objects survive. Nearly all objects of these
programs are freed by reference counting. So only the youngest generation is collected automatically, and all
generations every few minutes.
"""

import asyncio
import gc
import sys

YOUNG, NEVER = 300, 1_000_000_000
"""Thresholds: net allocations until a collection of the youngest generation, which takes 1 ms with 800 open
calls; the older generations are not collected automatically."""
EVERY_S = 120.0


def collect_young_only() -> None:
    """Switch automatic collection of the older generations off."""
    gc.set_threshold(YOUNG, NEVER, NEVER)


def freeze() -> None:
    """Collect now, and exempt all present objects from later collections."""
    gc.collect()
    gc.freeze()


async def collect_periodically() -> None:
    """Collect all generations every `EVERY_S` seconds, forever.

    The objects of JAX are exempt after the first time.
    """
    frozen = False
    while True:
        await asyncio.sleep(EVERY_S)
        gc.collect()
        if not frozen and "jax" in sys.modules:
            gc.freeze()
            frozen = True
