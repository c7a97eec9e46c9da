"""Numbers that are not finite: which came first in an epoch, and how many steps have one.

They are left out of the regression (see `labels`, `search` and `regression`). This is the diagnosis.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

QUANTITIES = ("state", "action", "direction", "improved state", "cost to go")
"""In the order in which an epoch computes them."""


class NonFinite(NamedTuple):
    """Number of steps that were not finite, and the first of them: by quantity, then by step.

    Attributes:
        steps: number of steps of all trajectories in which any quantity was not finite.
        quantity: index into `QUANTITIES`.
        sample: index of the trajectory in the batch.
        step: control step of the trajectory.
    """

    steps: jax.Array
    quantity: jax.Array
    sample: jax.Array
    step: jax.Array

    def __str__(self) -> str:
        """Return a message that names the first one."""
        return (
            f"the {QUANTITIES[int(self.quantity)]} of sample {int(self.sample)} at step {int(self.step)} "
            f"is not finite; {int(self.steps)} steps of this epoch are left out"
        )


def find_non_finite(*quantities: jax.Array) -> NonFinite:
    """Search `quantities`, each [N, H, ...], in the order of `QUANTITIES`."""
    bad = jnp.stack([_not_finite(leaf) for leaf in quantities])
    by_step = jnp.swapaxes(bad, 1, 2)
    first = jnp.argmax(by_step.reshape(-1))
    quantity, step, sample = jnp.unravel_index(first, by_step.shape)
    return NonFinite(jnp.sum(jnp.any(bad, axis=0)), quantity, sample, step)


def _not_finite(leaf: jax.Array) -> jax.Array:
    return ~jnp.all(jnp.isfinite(leaf), axis=tuple(range(2, leaf.ndim)))
