"""Linearise a model along recorded motion, with respect to the state and to a force on the joints.

Notation
    tau   constant force on the joints over one control step      [d]        N or N·m
    A, G  ∂x'/∂x, ∂x'/∂tau of one step                            [n, n], [n, d]
    c     one-step prediction minus record                        [n]
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from trainer.dynamics.rung import SUBSTEPS
from trainer.dynamics.windows import Windows
from trainer.models.friction import Friction, friction_force
from trainer.tasks.task import Task


class Linearised(NamedTuple):
    """A[W, L, n, n], G[W, L, n, d] and c[W, L, n] along recorded windows."""

    A: jax.Array
    G: jax.Array
    c: jax.Array


class _Push(NamedTuple):
    friction: Friction
    tau: jax.Array


def _force(theta: _Push, q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
    del q, u
    return friction_force(theta.friction, qd) + theta.tau


@functools.lru_cache(maxsize=4)
def linearise(task: Task) -> Callable[[Friction, Windows], Linearised]:
    """Return the jitted linearisation of the simulator with friction."""
    model = task.model(_force, SUBSTEPS)
    joints = len(task.state_names) // 2

    def one(friction: Friction, x: jax.Array, u: jax.Array, x_next: jax.Array) -> Linearised:
        push = jnp.zeros(joints)
        step = lambda x, tau: model(_Push(friction, tau), x, u)  # noqa: E731
        A, G = jax.jacfwd(step, (0, 1))(x, push)
        return Linearised(A, G, step(x, push) - x_next)

    along = jax.vmap(jax.vmap(one, (None, 0, 0, 0)), (None, 0, 0, 0))
    return jax.jit(lambda friction, windows: along(friction, windows.x[:, :-1], windows.u, windows.x[:, 1:]))


def missing_force(linear: Linearised) -> jax.Array:
    """Return the root mean square force [d] that would explain each step's error in the velocities."""
    joints = linear.G.shape[-1]
    G = linear.G[..., joints:, :].reshape(-1, joints, joints)
    c = linear.c[..., joints:].reshape(-1, joints)
    tau = jnp.linalg.solve(G, c[..., None])[..., 0]
    return jnp.sqrt(jnp.mean(tau**2, axis=0)) + 1e-6
