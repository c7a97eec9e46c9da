"""Regression data of the last epochs, and the regression targets of a trajectory.

PODS regresses the policy on the improved actions at the states of the improved trajectories, as
`along_trajectory` does. An improved trajectory follows the feedback law `u = ū + K (x − x̄)` with the gains
of its Gauss-Newton step. `around_trajectory` adds the actions of this law at states nearby, for policies that
leave the trajectory, for example on a noisy plant.

Notation (with that of `trajectory`)
    D   number of batches                              R   labels per batch
    K   gains of the trajectory's feedback law         [H, m, n]
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


class Targets(NamedTuple):
    """Regression targets of one trajectory: actions `u[c H, m]` at c sets of H states, `x[c H, n]`."""

    x: jax.Array
    u: jax.Array


MakeTargets = Callable[[Trajectory, jax.Array, jax.Array], Targets]
"""`(trajectory, K, key) -> targets`."""


def empty_labels(batches: int, rows: int, inputs: int, targets: int) -> Labels:
    """Return a ring whose weights are all 0."""
    return Labels(
        jnp.zeros((batches, rows, inputs)), jnp.zeros((batches, rows, targets)), jnp.zeros((batches, rows))
    )


def store_batch(ring: Labels, epoch: jax.Array, x: jax.Array, y: jax.Array, alive: jax.Array) -> Labels:
    """Replace the oldest batch by `x[R, n]`, `y[R, k]`; the weight is 0 unless alive and finite."""
    finite = jnp.all(jnp.isfinite(x), axis=-1) & jnp.all(jnp.isfinite(y), axis=-1)
    x, y = (jnp.nan_to_num(leaf, posinf=0.0, neginf=0.0) for leaf in (x, y))
    newest = Labels(x, y, (finite & alive).astype(x.dtype))
    slot = epoch % ring.x.shape[0]
    put = lambda kept, new: jax.lax.dynamic_update_index_in_dim(kept, new, slot, 0)  # noqa: E731
    return jax.tree.map(put, ring, newest)


def along_trajectory(trajectory: Trajectory, K: jax.Array, key: jax.Array) -> Targets:
    """Return the improved actions at the states of the improved trajectory, as in the paper."""
    del K, key
    return Targets(trajectory.x[:-1], trajectory.u)


def around_trajectory(noise_std: tuple[float, ...]) -> MakeTargets:
    """Return also the law's action at a state `x + e` near each, e normal with deviations `noise_std[n]`.

    Raises:
        ValueError: if a deviation is negative.
    """
    if min(noise_std) < 0.0:
        raise ValueError(f"the noise of labels must be >= 0 for every state; got {noise_std}")

    def make_targets(trajectory: Trajectory, K: jax.Array, key: jax.Array) -> Targets:
        x, u = trajectory.x[:-1], trajectory.u
        e = jnp.asarray(noise_std) * jax.random.normal(key, x.shape)
        near = jnp.clip(u + jnp.einsum("tmn,tn->tm", K, e), -1.0, 1.0)
        return Targets(jnp.concatenate([x, x + e]), jnp.concatenate([u, near]))

    return make_targets
