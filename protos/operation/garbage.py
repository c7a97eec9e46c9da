"""When the interpreter looks for garbage: seldom.

CPython looks through all objects again whenever enough new ones have survived, and nothing else runs
meanwhile: tenths of a second with all that JAX has, or with a thousand calls open, several times while they
last. Nearly everything that these programs let go of is freed at once, by its count of references. So only
young objects are looked through on the way, and the others now and then.
"""

import asyncio
import gc
import sys

YOUNG, NEVER = 300, 1_000_000_000
"""How many objects more than before there are when the new ones are looked through: some 1 ms with 800 calls
open. What survives that is not looked at again on the way."""
EVERY_S = 120.0


def look_seldom() -> None:
    """Look through young objects alone, unless `look` is called."""
    gc.set_threshold(YOUNG, NEVER, NEVER)


def settle() -> None:
    """Take what there is now for what stays, so that nobody looks through it again."""
    gc.collect()
    gc.freeze()


async def look() -> None:
    """Look through everything now and then, for ever; through what JAX has once."""
    settled = False
    while True:
        await asyncio.sleep(EVERY_S)
        gc.collect()
        if not settled and "jax" in sys.modules:
            gc.freeze()
            settled = True
