"""Directions in which a trajectory improves: first order and Gauss-Newton.

With the states a function x(u) of all actions of a trajectory, its cost is C(u) = ½‖ρ(u)‖², ρ all residuals
√w r and √w φ in a row, and J = dρ/du follows the chain of the steps' Jacobians (Mora et al., ICML 2021):

    first order     du = −Jᵀρ = −∂C/∂u,      by   (lam_t, ∂C/∂u_t) = G'r + F' lam
    second order    du = −(JᵀJ + mu 1)⁻¹ Jᵀρ

JᵀJ is positive semi-definite by construction, which the curvature of a general reward is not; hence
tasks give residuals. Without damping, eliminating that system block by block, from the last step to the
first, is the backward pass of iLQR (Li & Todorov, 2004), with V the curvature of the cost to go:

    q = G'r + F' lam,   Q = G'G + F'VF
    k = −(Q_uu + mu 1)⁻¹ q_u,   K = −(Q_uu + mu 1)⁻¹ Q_ux
    lam_t = T' (q + Q_zu k),   V_t = T' Q T   with   T' = (1 K')

As there, mu damps the step that is taken and is not part of the cost to go of the steps before it.
Both need only Jacobians of one step, taken in forward mode and batched over time; no gradient flows
backwards through the simulator, so a model may contain `while_loop`s and compiles quickly.

Notation (with that of `trajectory`)
    z        state and action (x, u) of one step        [n + m]
    F        ∂x'/∂z                                     [H, n, n + m]
    G        ∂r/∂z                                      [H, k, n + m]
    q, Q     gradient and curvature of a step's cost to go in z   [n + m], [n + m, n + m]
    P        ∂φ/∂x at the last state                    [l, n]
    k, K     open-loop step and feedback gain           [H, m], [H, m, n]
    lam, V   gradient and curvature of the cost to go   [n], [n, n]
    mu       damping of the curvature in u              -
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from trainer.learning.trajectory import Objective, Trajectory, weights
from trainer.models.model import Model, Theta


class Direction(NamedTuple):
    """Move the actions along `du = alpha k + K dx`: `k[H, m]`, `K[H, m, n]`; `slope[H, m]` is ∂C/∂u."""

    k: jax.Array
    K: jax.Array
    slope: jax.Array


FindDirection = Callable[[Objective, Model, Theta, Trajectory], Direction]


class Expansion(NamedTuple):
    """Linearisation of dynamics and residuals along a trajectory, weighted by √w."""

    F: jax.Array
    r: jax.Array
    G: jax.Array
    lam: jax.Array
    V: jax.Array


def expand(objective: Objective, model: Model, theta: Theta, trajectory: Trajectory) -> Expansion:
    """Linearise the dynamics and the residuals along `trajectory`."""
    x, u = trajectory.x[:-1], trajectory.u

    def step(z: jax.Array) -> tuple:
        x, u = jnp.split(z, [trajectory.x.shape[-1]])
        r = objective.running(x, u)
        return (model(theta, x, u), r), r

    (F, G), r = jax.vmap(jax.jacfwd(step, has_aux=True))(jnp.concatenate([x, u], axis=-1))
    scale = jnp.sqrt(weights(objective, trajectory.x))

    def weighed(leaf: jax.Array, scale: jax.Array) -> jax.Array:
        """Return the weighted leaf; 0 after the end, even if it is not finite."""
        scale = scale.reshape(scale.shape + (1,) * (leaf.ndim - scale.ndim))
        return jnp.where(scale > 0.0, scale * leaf, 0.0)

    phi = weighed(objective.terminal(trajectory.x[-1]), scale[-1])
    P = weighed(jax.jacfwd(objective.terminal)(trajectory.x[-1]), scale[-1])
    ended = (scale[:-1] == 0.0)[:, None, None]
    return Expansion(
        jnp.where(ended, 0.0, F), weighed(r, scale[:-1]), weighed(G, scale[:-1]), P.T @ phi, P.T @ P
    )


def solve_positive(A: jax.Array, B: jax.Array) -> jax.Array:
    """Return X[m, k] with `A X = B` for a symmetric positive definite A[m, m], by Gauss-Jordan elimination.

    Such a matrix needs no pivoting. One per control step and sample, with few rows, is sooner compiled and
    solved like this than by a call of LAPACK each.
    """
    m = A.shape[0]
    rows = jnp.concatenate([A, B], axis=1)
    for j in range(m):
        pivot = rows[j] / rows[j, j]
        rows = jnp.where(jnp.arange(m)[:, None] == j, pivot, rows - jnp.outer(rows[:, j], pivot))
    return rows[:, m:]


def gradient(objective: Objective, model: Model, theta: Theta, trajectory: Trajectory) -> Direction:
    """Return `k = −∂C/∂u` by the adjoint recursion, and no feedback (PODS, first order)."""
    e, n = expand(objective, model, theta, trajectory), trajectory.x.shape[-1]

    def back(lam: jax.Array, step: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        F, r, G = step
        q = G.T @ r + F.T @ lam
        return q[:n], q[n:]

    _, slope = jax.lax.scan(back, e.lam, (e.F, e.r, e.G), reverse=True)
    return Direction(-slope, jnp.zeros((*slope.shape, n)), slope)


def gauss_newton(damping: float) -> FindDirection:
    """Return the second-order direction with `mu = damping` > 0.

    With a cost of squared residuals the Gauss-Newton step over all actions equals one backward pass
    of iLQR (Li & Todorov, 2004), whose curvature is positive semi-definite by construction; the
    feedback gains come with it. A component that an action bound blocks neither moves nor feeds back
    (Tassa, Mansard & Todorov, 2014).
    """

    def find(objective: Objective, model: Model, theta: Theta, trajectory: Trajectory) -> Direction:
        e, n = expand(objective, model, theta, trajectory), trajectory.x.shape[-1]

        def back(carry: tuple[jax.Array, ...], step: tuple[jax.Array, ...]) -> tuple:
            lam, V, adjoint = carry
            F, r, G, u = step
            q, Q = G.T @ r + F.T @ lam, G.T @ G + F.T @ V @ F
            q_u, Q_uu, Q_ux = q[n:], Q[n:, n:], Q[n:, :n]
            free = ~((u >= 1.0) & (q_u < 0.0) | (u <= -1.0) & (q_u > 0.0))
            mask = jnp.outer(free, free)
            damped = jnp.where(mask, Q_uu, 0.0) + jnp.diag(jnp.where(free, damping, 1.0))
            solution = solve_positive(damped, jnp.column_stack([q_u, Q_ux]) * free[:, None])
            k, K = -solution[:, 0], -solution[:, 1:]
            T = jnp.concatenate([jnp.eye(n), K])
            lam, V = T.T @ (q + Q[:, n:] @ k), T.T @ Q @ T
            adjoint, slope = jnp.split(G.T @ r + F.T @ adjoint, [n])
            return (lam, 0.5 * (V + V.T), adjoint), (k, K, slope)

        steps = (e.F, e.r, e.G, trajectory.u)
        _, (k, K, slope) = jax.lax.scan(back, (e.lam, e.V, e.lam), steps, reverse=True)
        return Direction(k, K, slope)

    return find
