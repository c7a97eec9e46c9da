"""How XLA compiles the parts of a learner: sooner, where that costs no speed worth having.

A short training spends far more time on compiling than on computing. On a processor, options of XLA help;
other devices compile as they always do. The parts can compile side by side, before any is called.
"""

import contextlib
import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
from jax.stages import Wrapped

SOONER = {"xla_backend_optimization_level": 2}
"""LLVM at -O2: up to a third less time to compile than at -O3, and as fast to run."""
SOONEST = SOONER | {
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_multi_thread_eigen": False,
    "xla_cpu_parallel_codegen_split_count": 4,
}
"""XLA's older loop emitter, which takes half the time. It does not vectorise what works in place, so that
tanh of a whole minibatch takes 8 times as long: regression would suffer, roll-outs hardly do. And no
threads for its operations, which are so small that handing them over takes longer than doing them. Code is
generated in few pieces, each of which has costs of its own."""
ONCE = SOONEST | {"xla_backend_optimization_level": 0, "xla_cpu_parallel_codegen_split_count": 1}
"""For what runs once: LLVM at -O0, in one piece."""
Call = tuple[Wrapped, tuple]
"""A jitted function, and arguments for it or what has their shapes."""


def compiled(function: Callable, options: dict[str, Any]) -> Wrapped:
    """Return `function`, to be compiled with `options` on a processor."""
    return jax.jit(function, compiler_options=options if jax.default_backend() == "cpu" else None)


def side_by_side(*calls: Call) -> None:
    """Compile what `calls` need, each in a thread of its own; such a call then starts at once.

    Tracing holds Python's lock and goes in the order given, while XLA compiles what has been traced before.
    What is compiled already costs a millisecond.
    """
    with _no_collector(), ThreadPoolExecutor(max_workers=len(calls)) as pool:
        for done in [pool.submit(function.lower(*arguments).compile) for function, arguments in calls]:
            done.result()


@contextlib.contextmanager
def _no_collector() -> Iterator[None]:
    """Pause Python's cyclic garbage collector.

    Tracing makes a million objects, which are all still needed; looking for garbage among them again and
    again takes a fifth of it.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
