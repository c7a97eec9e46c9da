"""Where a training first met a number that is not finite.

Nothing that is not finite is learned from (see `labels`, `search` and `regression`); this is how a
training tells where it came from.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

QUANTITIES = ("state", "action", "direction", "improved state", "cost to go")
"""In the order in which an epoch computes them."""


class Fault(NamedTuple):
    """How many steps of an epoch were not finite, and which was first: by quantity, then by step.

    Attributes:
        steps: steps of all trajectories in which any quantity was not finite; 0 if all is well.
        quantity: index into `QUANTITIES`.
        sample: which trajectory of the batch.
        step: which control step of it.
    """

    steps: jax.Array
    quantity: jax.Array
    sample: jax.Array
    step: jax.Array

    def __str__(self) -> str:
        """Name the first fault in words."""
        return (
            f"the {QUANTITIES[int(self.quantity)]} of sample {int(self.sample)} at step {int(self.step)} "
            f"is not finite; {int(self.steps)} steps of this epoch are left out"
        )


def find_non_finite(*quantities: jax.Array) -> Fault:
    """Look through `quantities`, each [N, H, ...], in the order of `QUANTITIES`."""
    bad = jnp.stack([_not_finite(leaf) for leaf in quantities])
    by_step = jnp.swapaxes(bad, 1, 2)
    first = jnp.argmax(by_step.reshape(-1))
    quantity, step, sample = jnp.unravel_index(first, by_step.shape)
    return Fault(jnp.sum(jnp.any(bad, axis=0)), quantity, sample, step)


def _not_finite(leaf: jax.Array) -> jax.Array:
    return ~jnp.all(jnp.isfinite(leaf), axis=tuple(range(2, leaf.ndim)))
