"""PODS as compiled functions."""

from typing import NamedTuple

import jax
from jax.stages import Wrapped

from trainer.compilation import ONCE, SOONER, SOONEST, Call, compiled
from trainer.learning.hds import Algorithm, HDSConfig, schedule
from trainer.learning.pods import PODS, epoch
from trainer.models.model import Theta


class Compiled(NamedTuple):
    """PODS as compiled functions: `init` and the halves of an epoch, with compiler options for each."""

    init: Wrapped
    improve: Wrapped
    regress: Wrapped

    @property
    def algorithm(self) -> Algorithm:
        """The functions that a training calls."""
        return Algorithm(self.init, epoch(self.improve, self.regress))

    def calls(self, theta: Theta) -> list[Call]:
        """Return the calls of a training with model parameters `theta` (leading axis N), for `side_by_side`.

        The function that takes longest to trace is second, while XLA compiles the first.
        """
        key, planned = jax.random.key(0), schedule(HDSConfig(), 0)
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
