"""Directions in which a trajectory improves: first order and Gauss-Newton.

With the states a function x(u) of all actions of a trajectory, its cost is C(u) = ½‖ρ(u)‖², ρ all residuals
√w r and √w φ in a row, and J = dρ/du follows the chain of the steps' Jacobians (Mora et al., ICML 2021):

    first order     du = −Jᵀρ = −∂C/∂u,      by   lam_t = R'r + A' lam,   ∂C/∂u_t = S'r + B' lam
    second order    du = −(JᵀJ + mu 1)⁻¹ Jᵀρ

JᵀJ is positive semi-definite by construction, which the curvature of a general reward is not; hence
tasks give residuals. Eliminating that system block by block, from the last step to the first, is the
backward pass of iLQR (Li & Todorov, 2004), with V the curvature of the cost to go:

    Q_xx = R'R + A'VA,   Q_uu = S'S + B'VB + mu 1,   Q_ux = S'R + B'VA
    k = −Q_uu⁻¹ (S'r + B' lam),   K = −Q_uu⁻¹ Q_ux

Both need only Jacobians of one step, taken in forward mode and batched over time; no gradient flows
backwards through the simulator, so a model may contain `while_loop`s and compiles quickly.

Notation (with that of `trajectory`)
    A, B     ∂x'/∂x, ∂x'/∂u of one step                 [H, n, n], [H, n, m]
    R, S     ∂r/∂x, ∂r/∂u                               [H, k, n], [H, k, m]
    P        ∂φ/∂x at the last state                    [l, n]
    k, K     open-loop step and feedback gain           [H, m], [H, m, n]
    lam, V   gradient and curvature of the cost to go   [n], [n, n]
    mu       damping of the curvature in u              -
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from trainer.learning.trajectory import Model, Objective, Theta, Trajectory, weights


class Direction(NamedTuple):
    """Move the actions along `du = alpha k + K dx`: `k[H, m]`, `K[H, m, n]`; `slope[H, m]` is ∂C/∂u."""

    k: jax.Array
    K: jax.Array
    slope: jax.Array


FindDirection = Callable[[Objective, Model, Theta, Trajectory], Direction]


class Expansion(NamedTuple):
    """Everything the directions need of a trajectory, weighted by √w."""

    A: jax.Array
    B: jax.Array
    r: jax.Array
    R: jax.Array
    S: jax.Array
    lam: jax.Array
    V: jax.Array


def expand(objective: Objective, model: Model, theta: Theta, trajectory: Trajectory) -> Expansion:
    """Linearise the dynamics and the residuals along `trajectory`."""
    x, u = trajectory.x[:-1], trajectory.u
    A, B = jax.vmap(jax.jacfwd(lambda x, u: model(theta, x, u), (0, 1)))(x, u)
    R, S = jax.vmap(jax.jacfwd(objective.running, (0, 1)))(x, u)
    r = jax.vmap(objective.running)(x, u)
    scale = jnp.sqrt(weights(objective, trajectory.x))
    phi = scale[-1] * objective.terminal(trajectory.x[-1])
    P = scale[-1] * jax.jacfwd(objective.terminal)(trajectory.x[-1])
    step_scale = scale[:-1, None]
    return Expansion(
        A, B, step_scale * r, step_scale[..., None] * R, step_scale[..., None] * S, P.T @ phi, P.T @ P
    )


def gradient(objective: Objective, model: Model, theta: Theta, trajectory: Trajectory) -> Direction:
    """Return `k = −∂C/∂u` by the adjoint recursion, and no feedback (PODS, first order)."""
    e = expand(objective, model, theta, trajectory)

    def back(lam: jax.Array, step: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        A, B, r, R, S = step
        return R.T @ r + A.T @ lam, S.T @ r + B.T @ lam

    _, slope = jax.lax.scan(back, e.lam, (e.A, e.B, e.r, e.R, e.S), reverse=True)
    return Direction(-slope, jnp.zeros((*slope.shape, e.A.shape[-1])), slope)


def gauss_newton(damping: float) -> FindDirection:
    """Return the second-order direction with `mu = damping` > 0.

    With a cost of squared residuals the Gauss-Newton step over all actions equals one backward pass
    of iLQR (Li & Todorov, 2004), whose curvature is positive semi-definite by construction; the
    feedback gains come with it. A component that an action bound blocks neither moves nor feeds back
    (Tassa, Mansard & Todorov, 2014).
    """

    def find(objective: Objective, model: Model, theta: Theta, trajectory: Trajectory) -> Direction:
        e = expand(objective, model, theta, trajectory)

        def back(carry: tuple[jax.Array, ...], step: tuple[jax.Array, ...]) -> tuple:
            lam, V, adjoint = carry
            A, B, r, R, S, u = step
            q_x, q_u = R.T @ r + A.T @ lam, S.T @ r + B.T @ lam
            q_xx, q_uu, q_ux = R.T @ R + A.T @ V @ A, S.T @ S + B.T @ V @ B, S.T @ R + B.T @ V @ A
            free = ~((u >= 1.0) & (q_u < 0.0) | (u <= -1.0) & (q_u > 0.0))
            mask = jnp.outer(free, free)
            damped = jnp.where(mask, q_uu, 0.0) + jnp.diag(jnp.where(free, damping, 1.0))
            solution = jnp.linalg.solve(damped, jnp.column_stack([q_u, q_ux]) * free[:, None])
            k, K = -solution[:, 0], -solution[:, 1:]
            lam = q_x + K.T @ q_uu @ k + K.T @ q_u + q_ux.T @ k
            V = q_xx + K.T @ q_uu @ K + K.T @ q_ux + q_ux.T @ K
            slope, adjoint = S.T @ r + B.T @ adjoint, R.T @ r + A.T @ adjoint
            return (lam, 0.5 * (V + V.T), adjoint), (k, K, slope)

        steps = (e.A, e.B, e.r, e.R, e.S, trajectory.u)
        _, (k, K, slope) = jax.lax.scan(back, (e.lam, e.V, e.lam), steps, reverse=True)
        return Direction(k, K, slope)

    return find
