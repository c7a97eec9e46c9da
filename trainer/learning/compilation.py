"""How XLA compiles the parts of a learner: sooner, where that costs no speed worth having.

A short training spends far more time on compiling than on computing. On a processor, options of XLA help;
other devices compile as they always do. The parts can compile side by side, before any is called.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
from jax.stages import Wrapped

from trainer.learning.hds import Algorithm, HDSConfig, schedule
from trainer.learning.pods import PODS, epoch
from trainer.learning.trajectory import Theta

SOONER = {"xla_backend_optimization_level": 2}
"""LLVM at -O2: up to a third less time to compile than at -O3, and as fast to run."""
SOONEST = SOONER | {"xla_cpu_use_fusion_emitters": False, "xla_cpu_multi_thread_eigen": False}
"""XLA's older loop emitter, which takes half the time. It does not vectorise what works in place, so that
tanh of a whole minibatch takes 8 times as long: regression would suffer, roll-outs hardly do. And no
threads for its operations, which are so small that handing them over takes longer than doing them."""


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
    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        for done in [pool.submit(function.lower(*arguments).compile) for function, arguments in calls]:
            done.result()


class Compiled(NamedTuple):
    """PODS as compiled functions: `init`, and the halves of an epoch, each with the options that suit it."""

    init: Wrapped
    improve: Wrapped
    regress: Wrapped

    @property
    def algorithm(self) -> Algorithm:
        """What a training calls."""
        return Algorithm(self.init, epoch(self.improve, self.regress))

    def calls(self, theta: Theta) -> list[Call]:
        """Return the calls of a training with model parameters `theta` (leading axis N), for `side_by_side`.

        What takes longest comes first.
        """
        key, planned = jax.random.key(0), schedule(HDSConfig(), 0)
        state = jax.eval_shape(self.init, key)
        return [
            (self.improve, (state, theta, planned, key)),
            (self.regress, (state, planned, key)),
            (self.init, (key,)),
        ]


def compiled_pods(pods: PODS) -> Compiled:
    """Return `pods`, to be compiled."""
    return Compiled(
        compiled(pods.init, SOONEST), compiled(pods.improve, SOONEST), compiled(pods.regress, SOONER)
    )
