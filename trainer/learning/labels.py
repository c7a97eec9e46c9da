"""Regression data of the last epochs, and what a trajectory teaches the policy.

PODS regresses the policy on the improved actions at the states of the improved trajectories. That is
`along_trajectory`. An improved trajectory is the path of one law, `u = ū + K (x − x̄)` with the gains of
its Gauss-Newton step; `around_trajectory` teaches that law in a neighbourhood, so that a policy which
strays, on a noisy plant say, was told what to do there.

Notation (with that of `trajectory`)
    D   batches kept                                   R   labels per batch
    K   gains of the law that made the trajectory      [H, m, n]
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from trainer.learning.trajectory import Trajectory


class Labels(NamedTuple):
    """A ring of regression data: inputs `x[D, R, n]`, targets `y[D, R, k]`, `weight[D, R]`.

    The weight is 1, or 0 where a state has terminated or anything is not finite.
    """

    x: jax.Array
    y: jax.Array
    weight: jax.Array


class Lesson(NamedTuple):
    """What one trajectory teaches the policy: `x[c H, n]` and `u[c H, m]`, c times the H states in a row."""

    x: jax.Array
    u: jax.Array


Teach = Callable[[Trajectory, jax.Array, jax.Array], Lesson]
"""`(trajectory, K, key) -> lesson`."""


def no_labels(batches: int, rows: int, inputs: int, targets: int) -> Labels:
    """Return a ring in which nothing weighs anything."""
    return Labels(
        jnp.zeros((batches, rows, inputs)), jnp.zeros((batches, rows, targets)), jnp.zeros((batches, rows))
    )


def push(ring: Labels, epoch: jax.Array, x: jax.Array, y: jax.Array, alive: jax.Array) -> Labels:
    """Replace the oldest batch by `x[R, n]`, `y[R, k]`; what is not alive or finite weighs nothing."""
    finite = jnp.all(jnp.isfinite(x), axis=-1) & jnp.all(jnp.isfinite(y), axis=-1)
    x, y = (jnp.nan_to_num(leaf, posinf=0.0, neginf=0.0) for leaf in (x, y))
    newest = Labels(x, y, (finite & alive).astype(x.dtype))
    slot = epoch % ring.x.shape[0]
    put = lambda kept, new: jax.lax.dynamic_update_index_in_dim(kept, new, slot, 0)  # noqa: E731
    return jax.tree.map(put, ring, newest)


def along_trajectory(trajectory: Trajectory, K: jax.Array, key: jax.Array) -> Lesson:
    """Teach the improved actions at the states of the improved trajectory, as the paper does."""
    del K, key
    return Lesson(trajectory.x[:-1], trajectory.u)


def around_trajectory(spread: tuple[float, ...]) -> Teach:
    """Teach also the law's action at one state near each: `x + e`, e normal with deviations `spread[n]`.

    Raises:
        ValueError: if a deviation is negative.
    """
    if min(spread) < 0.0:
        raise ValueError(f"the spread of labels must be >= 0 for every state; got {spread}")

    def teach(trajectory: Trajectory, K: jax.Array, key: jax.Array) -> Lesson:
        x, u = trajectory.x[:-1], trajectory.u
        e = jnp.asarray(spread) * jax.random.normal(key, x.shape)
        near = jnp.clip(u + jnp.einsum("tmn,tn->tm", K, e), -1.0, 1.0)
        return Lesson(jnp.concatenate([x, x + e]), jnp.concatenate([u, near]))

    return teach
