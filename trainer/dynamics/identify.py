"""Identify physical parameters from recorded motion, by multi-step prediction error.

Levenberg-Marquardt on the windows' prediction errors, with forward-mode Jacobians: there are few
parameters and many errors, and nothing is differentiated backwards through the simulator.

Notation
    p      unconstrained parameters               [k]
    e      weighted errors of all windows         [W·L·n]
    J      ∂e/∂p                                  [W·L·n, k]
    mu     damping of the step
    unit   natural sizes of the parameters, from the data
    x      state, scaled by `scale` in the errors [n]
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trainer.dynamics.windows import Windows
from trainer.learning.trajectory import Model

Constrain = Callable[[jax.Array, jax.Array], object]
"""`(p[k], unit) -> theta`, the model's parameters, inside their constraints for every p."""

HUBER = 3.0
"""Errors beyond this many scales weigh linearly: one collision or slip must not outweigh the rest."""

CONVERGED = 1e-3
GIVE_UP = 1e8


class Estimate(NamedTuple):
    """Parameters `p[k]`, their covariance [k, k], and the root mean square error in units of `scale`."""

    p: np.ndarray
    covariance: np.ndarray
    error: float


Normal = Callable[
    [jax.Array, jax.Array, Windows, jax.Array], tuple[jax.Array, jax.Array, jax.Array, jax.Array]
]
"""`(p, unit, windows, scale[n]) -> (JᵀJ[k, k], Jᵀe[k], robust loss, mean square error)`."""


def normal_equations(model: Model, constrain: Constrain) -> Normal:
    """Return the jitted normal equations of `model`."""

    def errors(p: jax.Array, unit: jax.Array, x: jax.Array, u: jax.Array, scale: jax.Array) -> jax.Array:
        theta = constrain(p, unit)

        def advance(state: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array]:
            state = model(theta, state, action)
            return state, state

        _, predicted = jax.lax.scan(advance, x[0], u)
        return (predicted - x[1:]) / scale

    @jax.jit
    def normal(p: jax.Array, unit: jax.Array, windows: Windows, scale: jax.Array) -> tuple[jax.Array, ...]:
        def with_jacobian(x: jax.Array, u: jax.Array) -> tuple[jax.Array, jax.Array]:
            return errors(p, unit, x, u, scale), jax.jacfwd(errors)(p, unit, x, u, scale)

        e, J = jax.vmap(with_jacobian)(jnp.asarray(windows.x), jnp.asarray(windows.u))
        size = jnp.abs(e)
        share = windows.weight[:, None, None] / (jnp.sum(windows.weight) * e.shape[1] * e.shape[2])
        w = share * jnp.minimum(1.0, HUBER / jnp.maximum(size, 1e-12))
        loss = jnp.sum(share * jnp.where(size < HUBER, 0.5 * e**2, HUBER * (size - 0.5 * HUBER)))
        flat = J.reshape(-1, J.shape[-1])
        weighted = flat * w.reshape(-1, 1)
        return weighted.T @ flat, weighted.T @ e.reshape(-1), loss, jnp.sum(share * e**2)

    return normal


def levenberg_marquardt(
    normal: Callable[[jax.Array], tuple[jax.Array, jax.Array, jax.Array, jax.Array]],
    start: np.ndarray,
    prior: np.ndarray,
    prior_weight: float,
    samples: int,
    iterations: int,
) -> Iterator[Estimate]:
    """Yield the estimates of the steps that were taken, each better than the one before.

    Starts from p = `start`; ends when no step is better, or one is better by less than 0.1 %.
    `normal(p)` gives the normal equations; `samples` is the number of independent errors.

    The prior pulls with `½ prior_weight ‖p − prior‖²`, so that a parameter which the data does not
    show stays near it.
    """
    ridge = prior_weight * np.eye(len(prior))

    def at(p: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float]:
        parts = normal(jnp.asarray(p, jnp.float32))
        H, g, loss, mean_square = (np.asarray(part, float) for part in parts)
        pull = p - prior
        loss = float(loss + 0.5 * prior_weight * pull @ pull)
        return H + ridge, g + prior_weight * pull, loss, float(mean_square)

    p, mu = np.asarray(start, float), 1e-2
    H, g, loss, mean_square = at(p)
    for _ in range(iterations):
        trial = p - np.linalg.solve(H + mu * np.diag(np.diag(H)), g)
        found = at(trial)
        if not (np.isfinite(found[2]) and found[2] < loss):
            mu *= 4.0
            if mu > GIVE_UP:
                break
            continue
        converged = loss - found[2] < CONVERGED * loss
        p, mu = trial, max(mu * 0.2, 1e-6)
        H, g, loss, mean_square = found
        yield Estimate(p, np.linalg.inv(H) * max(mean_square, 1e-12) / samples, mean_square**0.5)
        if converged:
            break
