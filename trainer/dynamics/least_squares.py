"""Nonlinear least squares on multi-step prediction errors, and the covariance of the result.

Levenberg-Marquardt with forward-mode Jacobians: there are few parameters and many errors, and no gradient
runs backwards through the simulator. The covariance of the errors gives the uncertainty of the parameters for
any weighting.

Notation
    p      unconstrained parameters, of the order of one, prior N(mean, std²)        [k]
    R      whitening of a window's errors                                            [W, L n, L n]
    e      errors of all windows, whitened                                           [W, L n]
    C      covariance of e, of each window                                           [W, L n, L n]
    w      robust weights                                                            [W, L n]
    J      ∂e/∂p                                                                     [W, L n, k]
    H, g   JᵀwJ and Jᵀwe                                                             [k, k], [k]
    s      share of each window in g                                                 [W, k]
    M      covariance of s, summed over windows                                      [k, k]
    mu     damping of the step
    unit   natural sizes of the parameters, from the data
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trainer.compilation import SOONEST, compiled

Constrain = Callable[[jax.Array, jax.Array], Any]
"""`(p[k], unit) -> theta`, the model's parameters, inside their constraints for every p."""

Read = Callable[[Any, jax.Array, jax.Array], jax.Array]
"""`(theta, start[n + m], u[L, m]) -> states[L + 1, n + m]` as they would be measured."""

HUBER = 3.0
"""Huber's threshold, in standard deviations: beyond it the loss is linear, so outliers weigh less."""

CONVERGED = 0.01
"""The search ends with a step that lowers the loss by less, about a seventh of a standard deviation of p."""
GIVE_UP = 1e8
IMPLIED = 5.0
"""Windows that the implied covariance of an estimate counts as, beside the scatter between windows."""
FEWEST_DEGREES = 4
"""Least degrees of freedom of Student's t, for finite intervals."""


class NormalEquations(NamedTuple):
    """H, g, s, w J and the robust loss, see the notation, in double precision.

    Double precision is needed: a common factor of masses, gains and friction hardly changes the motion.
    """

    H: np.ndarray
    g: np.ndarray
    s: np.ndarray
    J: np.ndarray
    loss: float


Normal = Callable[[np.ndarray], NormalEquations]
"""`(p) -> normal equations`, of one set of windows."""


class Prior(NamedTuple):
    """Prior of p: `mean[k]` and standard deviation `std[k]`."""

    mean: np.ndarray
    std: np.ndarray


class FitData(NamedTuple):
    """Data of a fit: `target[W, L, n]` for predictions from `start[W, n + m]` under `u[W, L, m]`.

    Errors are weighted by `R` and `weight[W]`. Past actions in the state are not compared.
    """

    start: np.ndarray
    u: np.ndarray
    target: np.ndarray
    R: np.ndarray
    weight: np.ndarray


def normal_equations(
    read: Read, constrain: Constrain
) -> Callable[[np.ndarray, np.ndarray, FitData], NormalEquations]:
    """Return the normal equations of predictions by `read`, a function of `(p, unit, seen)`."""

    def ahead(p: jax.Array, unit: jax.Array, start: jax.Array, u: jax.Array, n: int) -> jax.Array:
        return read(constrain(p, unit), start, u)[1:, :n].ravel()

    def whitened(p: jax.Array, unit: jax.Array, seen: FitData) -> tuple[jax.Array, jax.Array]:
        n = seen.target.shape[-1]

        def with_jacobian(start: jax.Array, u: jax.Array) -> tuple[jax.Array, jax.Array]:
            twice = lambda p: (predicted := ahead(p, unit, start, u, n), predicted)  # noqa: E731
            J, predicted = jax.jacfwd(twice, has_aux=True)(p)
            return predicted, J

        predicted, J = jax.vmap(with_jacobian)(jnp.asarray(seen.start), jnp.asarray(seen.u))
        e = predicted - jnp.reshape(seen.target, predicted.shape)
        return jnp.einsum("wij,wj->wi", seen.R, e), jnp.einsum("wij,wjk->wik", seen.R, J)

    errors = compiled(whitened, SOONEST)

    def normal(p: np.ndarray, unit: np.ndarray, seen: FitData) -> NormalEquations:
        e, J = (np.asarray(part, float) for part in errors(jnp.asarray(p, float), unit, seen))
        size, weight = np.abs(e), np.asarray(seen.weight, float)[:, None]
        w = weight * np.minimum(1.0, HUBER / np.maximum(size, 1e-12))
        loss = np.sum(weight * np.where(size < HUBER, 0.5 * e**2, HUBER * (size - 0.5 * HUBER)))
        weighted, k = J * w[..., None], J.shape[-1]
        s = np.einsum("wik,wi->wk", weighted, e)
        H = weighted.reshape(-1, k).T @ J.reshape(-1, k)
        return NormalEquations(H, np.sum(s, axis=0), s, weighted, float(loss))

    return normal


def levenberg_marquardt(
    normal: Normal, start: np.ndarray, prior: Prior, iterations: int, prior_weight: float = 1.0
) -> tuple[np.ndarray, NormalEquations, float]:
    """Search from `start`; return p, its normal equations, and the loss with the prior.

    Every accepted step lowers the loss. The prior adds `½ prior_weight ‖(p − mean) / std‖²`.
    """
    ridge = prior_weight / prior.std**2

    def at(p: np.ndarray) -> tuple[NormalEquations, float]:
        found = normal(p)
        return found, found.loss + 0.5 * float(ridge @ (p - prior.mean) ** 2)

    p, mu = np.asarray(start, float), 1e-2
    here, loss = at(p)
    for _ in range(iterations):
        H = here.H + np.diag(ridge)
        g = here.g + ridge * (p - prior.mean)
        trial = p - np.linalg.solve(H + mu * np.diag(np.diag(H)), g)
        there, loss_there = at(trial)
        if not (np.isfinite(loss_there) and loss_there < loss):
            mu *= 4.0
            if mu > GIVE_UP:
                break
            continue
        converged = loss - loss_there < CONVERGED
        p, mu, here, loss = trial, max(mu * 0.2, 1e-6), there, loss_there
        if converged:
            break
    return p, here, loss


def posterior(normal: NormalEquations, C: np.ndarray, weight: np.ndarray, prior: Prior) -> np.ndarray:
    """Return a factor F [k, k] of the covariance F Fᵀ of p, given the data.

    The covariance is H⁻¹ M H⁻¹, the sandwich of an estimate whose errors are correlated (Huber, 1967), at the
    p of `normal`. M is a mean of two: what C implies, which is right if noise is what it was taken for and
    counts as `IMPLIED` windows, and the scatter of s between windows, which needs no such belief but many of
    them (Liang and Zeger, 1986; a window is a cluster). The prior counts as a measurement.
    """
    used = weight > 0
    s, J, known = normal.s[used], normal.J[used], np.diag(prior.std**-2.0)
    implied = np.einsum("wik,wij,wjl->kl", J, C[used], J, optimize=True)
    scatter = s.T @ s * len(s) / max(1, len(s) - 1)
    M = (IMPLIED * implied + len(s) * scatter) / (IMPLIED + len(s))
    return np.linalg.solve(normal.H + known, np.linalg.cholesky(M + known))


def student_t(normal: np.ndarray, weight: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """Return standard normal draws [D, k] with the wider tails of Student's t.

    Its degrees of freedom are the windows less one, as few clusters call for (Cameron and Miller, 2015).
    """
    degrees = max(FEWEST_DEGREES, int(np.sum(weight > 0)) - 1)
    return normal / np.sqrt(chance.chisquare(degrees, (len(normal), 1)) / degrees)
