"""PODS as compiled functions."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.stages import Wrapped

from trainer.compilation import ONCE, SOONER, SOONEST, Call, compiled
from trainer.learning.pods import PODS
from trainer.learning.pods_state import Schedule
from trainer.models.model import Theta


class Compiled(NamedTuple):
    """PODS as compiled functions: `init` and the halves of an epoch, with compiler options for each."""

    init: Wrapped
    improve: Wrapped
    regress: Wrapped

    def calls(self, theta: Theta) -> list[Call]:
        """Return the calls of a training with model parameters `theta` (leading axis N), for `side_by_side`.

        The function that takes longest to trace is second, while XLA compiles the first.
        """
        key = jax.random.key(0)
        planned = Schedule(*(jnp.asarray(0.0) for _ in Schedule._fields))
        state = jax.eval_shape(self.init, key)
        return [
            (self.regress, (state, planned, key)),
            (self.improve, (state, theta, planned, key)),
            (self.init, (key,)),
        ]


def compiled_pods(pods: PODS) -> Compiled:
    """Return `pods`, to be compiled."""
    return Compiled(
        compiled(pods.init, ONCE), compiled(pods.improve, SOONEST), compiled(pods.regress, SOONER)
    )
