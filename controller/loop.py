"""The event loop of the controller."""

import asyncio
import os
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import uvloop

from controller.cpu_affinity import pin_to, reset_affinity
from protos.operation.event_loop import shorten_switch_interval


def run(main: Coroutine[Any, Any, None], cpu: int | None = None) -> None:
    """Run `main` on uvloop, whose tail of slow answers is shorter than asyncio's own.

    JAX computes in the thread that asks, and XLA without threads of its own: handing a small network to
    another thread takes as long as its computation.

    Args:
        main: what to run.
        cpu: keep the event loop, and the threads of gRPC, which it starts, on this core; the loop's own
            executor, and threads that call `beside`, use all of them.
    """
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"
    shorten_switch_interval()
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    uvloop.run(_on(cpu, main))


async def _on(cpu: int | None, main: Coroutine[Any, Any, None]) -> None:
    executor = ThreadPoolExecutor(thread_name_prefix="beside", initializer=reset_affinity)
    asyncio.get_running_loop().set_default_executor(executor)
    if cpu is not None:
        pin_to(cpu)
    await main
