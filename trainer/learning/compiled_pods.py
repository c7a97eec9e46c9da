"""PODS as compiled functions."""

from typing import NamedTuple

import jax
from jax.stages import Wrapped

from trainer.learning.compilation import ONCE, SOONER, SOONEST, Call, compiled
from trainer.learning.hds import Algorithm, HDSConfig, schedule
from trainer.learning.pods import PODS, epoch
from trainer.learning.trajectory import Theta


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

        The one that takes longest to trace comes second: meanwhile XLA is busy with the first.
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
