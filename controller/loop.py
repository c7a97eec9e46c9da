"""The event loop that servers run on."""

from collections.abc import Coroutine
from typing import Any

import jax
import uvloop


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` on uvloop, whose tail of slow answers is shorter than asyncio's own.

    JAX computes in the thread that asks: handing a small network to another one takes as long as its
    computation.
    """
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    uvloop.run(main)
