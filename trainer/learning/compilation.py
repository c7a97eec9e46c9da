"""How XLA compiles the parts of a learner: sooner, where that costs no speed worth having.

A short training spends far more time on compiling than on computing. On a processor, two options of XLA help;
other devices compile as they always do.
"""

from collections.abc import Callable
from typing import Any

import jax

from trainer.learning.hds import Algorithm
from trainer.learning.pods import PODS, epoch

SOONER = {"xla_backend_optimization_level": 2}
"""LLVM at -O2: up to a third less time to compile than at -O3, and as fast to run."""
SOONEST = SOONER | {"xla_cpu_use_fusion_emitters": False}
"""XLA's older loop emitter, which takes half the time. It does not vectorise what works in place, so that
tanh of a whole minibatch takes 8 times as long: regression would suffer, roll-outs hardly do."""


def compiled(function: Callable, options: dict[str, Any]) -> Callable:
    """Return `function`, to be compiled with `options` on a processor."""
    return jax.jit(function, compiler_options=options if jax.default_backend() == "cpu" else None)


def compiled_algorithm(pods: PODS) -> Algorithm:
    """Return `pods` as two compiled halves of an epoch, each with the options that suit it."""
    halves = compiled(pods.improve, SOONEST), compiled(pods.regress, SOONER)
    return Algorithm(compiled(pods.init, SOONEST), epoch(*halves))
