"""Linearise a model along recorded segments, with respect to the state and to a force on the joints.

Notation
    tau   constant force on the joints over one control step      [d]        N or N·m
    A, G  ∂x'/∂x, ∂x'/∂tau of one step                            [n, n], [n, d]
    c     one-step prediction minus record                        [n]
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trainer.compilation import ONCE, compiled
from trainer.dynamics.windows import Windows
from trainer.models.model import Model


class Linearised(NamedTuple):
    """A[W, L, n, n], G[W, L, n, d] and c[W, L, n] along recorded windows."""

    A: jax.Array
    G: jax.Array
    c: jax.Array


class Pushed(NamedTuple):
    """Parameters of a model, and a force on its joints tau[d]."""

    base: Any
    tau: jax.Array


def joint_force(theta: Pushed, q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
    """Return the force tau[d]."""
    del q, qd, u
    return theta.tau


def linearise(pushed: Model, joints: int) -> Callable[[Any, Windows], Linearised]:
    """Return the jitted linearisation of a model with parameters `Pushed`."""

    def one(base: Any, x: jax.Array, u: jax.Array, x_next: jax.Array) -> Linearised:
        n = x.shape[0]

        def step(x_tau: jax.Array) -> tuple[jax.Array, jax.Array]:  # of one argument: it is traced once
            after = pushed(Pushed(base, x_tau[n:]), x_tau[:n], u)
            return after, after

        J, after = jax.jacfwd(step, has_aux=True)(jnp.concatenate([x, jnp.zeros(joints)]))
        return Linearised(J[:, :n], J[:, n:], after - x_next)

    def along(base: Any, windows: Windows) -> Linearised:
        steps = (windows.x[:, :-1], windows.u, windows.x[:, 1:])
        flat = (jnp.reshape(rows, (-1, rows.shape[-1])) for rows in steps)
        found = jax.vmap(one, (None, 0, 0, 0))(base, *flat)
        return jax.tree.map(lambda leaf: leaf.reshape(*windows.u.shape[:2], *leaf.shape[1:]), found)

    return compiled(along, ONCE)


def missing_force(linear: Linearised, positions: int, weight: np.ndarray) -> jax.Array:
    """Return the root mean square force [d] that would explain each step's error in the velocities.

    The velocities follow `positions` other numbers in the state; windows count by `weight[W]`.
    """
    joints = linear.G.shape[-1]
    velocities = slice(positions, positions + joints)
    tau = jnp.linalg.solve(linear.G[..., velocities, :], linear.c[..., velocities, None])[..., 0]
    return jnp.sqrt(jnp.average(jnp.mean(tau**2, axis=1), axis=0, weights=jnp.asarray(weight))) + 1e-6
