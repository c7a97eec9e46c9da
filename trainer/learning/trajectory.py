"""Trajectories, their cost, and the roll-out of a policy.

Notation
    x      state (q, qd)                                [n]      SI units
    u      action, each component in [-1, 1]            [m]      -
    H      number of control steps of a trajectory      -        -
    theta  parameters of the model of one sample        pytree
    r      running residual, cost of a step = ½‖r‖²     [k]      -
    phi    terminal residual, terminal cost = ½‖φ‖²     [l]      -
    gamma  discount of one control step, in (0, 1]      -        -
    w      weight of a step: γᵗ while alive, else 0     [H + 1]  -
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from trainer.models.model import Model, Theta

Law = Callable[[jax.Array, jax.Array], jax.Array]
"""`(t, x[n]) -> u[m]`; the roll-out clips what it returns to [-1, 1]."""


class Trajectory(NamedTuple):
    """States `x[H + 1, n]` and the actions `u[H, m]` that lead from each to the next."""

    x: jax.Array
    u: jax.Array


class Objective(NamedTuple):
    """The cost of a trajectory, by its residuals.

    Attributes:
        running: `(x[n], u[m]) -> r[k]`, residual of one step. terminal: `(x[n]) -> phi[l]`, residual of the
        state after the last step. terminated: `(x[n]) -> bool`, whether the plant has left its safe set.
        Later steps cost nothing. discount: gamma, in (0, 1]. failure_cost: one-off cost of termination.
        Without it, termination would save the costs of later steps.
    """

    running: Callable[[jax.Array, jax.Array], jax.Array]
    terminal: Callable[[jax.Array], jax.Array]
    terminated: Callable[[jax.Array], jax.Array]
    discount: float
    failure_cost: float = 0.0


def rollout(model: Model, theta: Theta, law: Law, start: jax.Array, steps: int) -> Trajectory:
    """Follow `law` from `start[n]` for `steps` control steps."""

    def advance(x: jax.Array, t: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        u = jnp.clip(law(t, x), -1.0, 1.0)
        x_next = model(theta, x, u)
        return x_next, (x_next, u)

    _, (x, u) = jax.lax.scan(advance, start, jnp.arange(steps))
    return Trajectory(jnp.concatenate([start[None], x]), u)


def at(rows: Any, t: jax.Array) -> Any:
    """Return row `t` >= 0 of each leaf of `rows`; plain indexing also compiles what t < 0 means."""
    return jax.tree.map(
        lambda leaf: jax.lax.dynamic_index_in_dim(leaf, t, keepdims=False, allow_negative_indices=False), rows
    )


def replay(model: Model, theta: Theta, start: jax.Array, u: jax.Array) -> jax.Array:
    """Return the states x[H + 1, n] from `start[n]` under the actions `u[H, m]`, which are not clipped."""

    def advance(x: jax.Array, u: jax.Array) -> tuple[jax.Array, jax.Array]:
        x_next = model(theta, x, u)
        return x_next, x_next

    return jnp.concatenate([start[None], jax.lax.scan(advance, start, u)[1]])


def weights(objective: Objective, x: jax.Array) -> jax.Array:
    """Return w[H + 1] of the states `x[H + 1, n]`: γᵗ until a state has terminated, then 0."""
    ended = jax.vmap(objective.terminated)(x)
    alive = jnp.cumsum(ended) == 0
    return alive * objective.discount ** jnp.arange(x.shape[0])


def running_costs(objective: Objective, trajectory: Trajectory) -> jax.Array:
    """Return ½‖r‖² of each step, undiscounted, [H]."""
    residual = jax.vmap(objective.running)(trajectory.x[:-1], trajectory.u)
    return 0.5 * jnp.sum(residual**2, axis=-1)


def total_cost(objective: Objective, trajectory: Trajectory) -> jax.Array:
    """Return C = Σ wₜ ½‖rₜ‖² + w_H ½‖φ‖² + γᵗ failure at the first terminated t; +inf where not finite."""
    w = weights(objective, trajectory.x)
    running = jnp.where(w[:-1] > 0.0, running_costs(objective, trajectory), 0.0) @ w[:-1]
    leaves = (w[:-1] > 0.0) & (w[1:] == 0.0)
    failed = objective.failure_cost * objective.discount * w[:-1] @ leaves
    ahead = 0.5 * jnp.sum(objective.terminal(trajectory.x[-1]) ** 2)
    cost = running + w[-1] * jnp.where(w[-1] > 0.0, ahead, 0.0) + failed
    return jnp.where(jnp.isfinite(cost), cost, jnp.inf)
