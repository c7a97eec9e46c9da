"""Identify physical parameters from recorded motion, by multi-step prediction error.

Levenberg-Marquardt on the windows' prediction errors, with forward-mode Jacobians: there are few
parameters and many errors, and nothing is differentiated backwards through the simulator.

Notation
    p      unconstrained parameters, of the order of one, prior N(centre, spread²)   [k]
    e      errors of all windows, robustly weighted                                  [W·L·n]
    J      ∂e/∂p                                                                     [W·L·n, k]
    H, g   JᵀJ and Jᵀe, means over the errors                                        [k, k], [k]
    s      share of each window in g                                                 [W, k]
    mu     damping of the step
    unit   natural sizes of the parameters, from the data
    x      state, scaled by `scale` in the errors                                    [n]
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trainer.dynamics.windows import Windows
from trainer.learning.compilation import SOONEST, compiled
from trainer.learning.trajectory import Model, replay

Constrain = Callable[[jax.Array, jax.Array], Any]
"""`(p[k], unit) -> theta`, the model's parameters, inside their constraints for every p."""

HUBER = 3.0
"""Errors beyond this many scales weigh linearly: one collision or slip must not outweigh the rest."""

CONVERGED = 1e-3
GIVE_UP = 1e8
LEAST_ERROR = 0.01
"""Errors below this many scales are not believed: a plant that hardly moved tells nothing."""
PULL = 1e-5
"""Weight of the prior while searching; small, so that it decides only where the data says nothing."""


class NormalEquations(NamedTuple):
    """H, g, s, the robust loss, and the mean square error; see the notation."""

    H: jax.Array
    g: jax.Array
    s: jax.Array
    loss: jax.Array
    mean_square: jax.Array


Normal = Callable[[jax.Array], NormalEquations]
"""`(p) -> normal equations`, of one set of windows."""


class Prior(NamedTuple):
    """What is known of p before any data: `centre[k]`, and its standard deviation `spread[k]`."""

    centre: np.ndarray
    spread: np.ndarray


def normal_equations(
    model: Model, constrain: Constrain
) -> Callable[[jax.Array, jax.Array, Windows, jax.Array], NormalEquations]:
    """Return the jitted normal equations of `model`, a function of `(p, unit, windows, scale[n])`."""

    def normal(p: jax.Array, unit: jax.Array, windows: Windows, scale: jax.Array) -> NormalEquations:
        def errors(p: jax.Array, x: jax.Array, u: jax.Array) -> tuple[jax.Array, jax.Array]:
            e = (replay(model, constrain(p, unit), x[0], u) - x)[1:] / scale
            return e, e

        with_jacobian = jax.vmap(jax.jacfwd(errors, has_aux=True), (None, 0, 0))
        J, e = with_jacobian(p, jnp.asarray(windows.x), jnp.asarray(windows.u))
        size = jnp.abs(e)
        share = windows.weight[:, None, None] / (jnp.sum(windows.weight) * e.shape[1] * e.shape[2])
        w = share * jnp.minimum(1.0, HUBER / jnp.maximum(size, 1e-12))
        loss = jnp.sum(share * jnp.where(size < HUBER, 0.5 * e**2, HUBER * (size - 0.5 * HUBER)))
        s = jnp.einsum("wtnk,wtn->wk", J, w * e)
        H = jnp.einsum("wtnk,wtnj->kj", J * w[..., None], J)
        return NormalEquations(H, jnp.sum(s, axis=0), s, loss, jnp.sum(share * e**2))

    return compiled(normal, SOONEST)


def levenberg_marquardt(
    normal: Normal, start: np.ndarray, prior: Prior, free: np.ndarray, iterations: int
) -> tuple[np.ndarray, NormalEquations]:
    """Return the p that is reached from `start`, and its normal equations; only `free[k]` ones move.

    Every step taken lowers the loss; the search ends when none does, or one does by less than 0.1 %. The
    prior pulls with `½ PULL ‖(p − centre) / spread‖²`.
    """
    ridge = PULL / prior.spread**2

    def at(p: np.ndarray) -> tuple[NormalEquations, float]:
        found = normal(jnp.asarray(p, float))
        return found, float(found.loss) + 0.5 * float(ridge @ (p - prior.centre) ** 2)

    p, mu = np.asarray(start, float), 1e-2
    here, loss = at(p)
    for _ in range(iterations):
        H = np.asarray(here.H, float)[np.ix_(free, free)] + np.diag(ridge[free])
        g = np.asarray(here.g, float)[free] + ridge[free] * (p - prior.centre)[free]
        trial = p.copy()
        trial[free] -= np.linalg.solve(H + mu * np.diag(np.diag(H)), g)
        there, loss_there = at(trial)
        if not (np.isfinite(loss_there) and loss_there < loss):
            mu *= 4.0
            if mu > GIVE_UP:
                break
            continue
        converged = loss - loss_there < CONVERGED * loss
        p, mu, here, loss = trial, max(mu * 0.2, 1e-6), there, loss_there
        if converged:
            break
    return p, here


class Posterior(NamedTuple):
    """What the data leaves open: the covariance [k, k] of p, 0 for what is not free (Laplace).

    `noise` is the variance of the mean error: a loss that is higher by `½ noise` is one standard
    deviation away.
    """

    covariance: np.ndarray
    noise: float


def posterior(
    normal: NormalEquations, windows: Windows, prior: Prior, free: np.ndarray, blocks: int
) -> Posterior:
    """Return what the data leaves open around the p of `normal`.

    Errors that follow each other in time are alike, and windows overlap, so there are fewer independent
    errors than numbers. How many fewer is estimated from the scatter of g between `blocks` stretches of
    time, against what independent errors would give (the idea of White's sandwich estimator, 1980).
    """
    H, s = np.asarray(normal.H, float)[np.ix_(free, free)], np.asarray(normal.s, float)[:, free]
    used = windows.weight > 0
    errors = int(used.sum()) * windows.u.shape[1] * windows.x.shape[2]
    noise = max(float(normal.mean_square), LEAST_ERROR**2) / errors
    if not free.any():
        return Posterior(np.zeros((len(free), len(free))), noise)
    parts = np.stack([part.sum(axis=0) for part in np.array_split(s[used], min(blocks, int(used.sum())))])
    parts = parts - parts.mean(axis=0)
    scatter = parts.T @ parts
    H_regular = H + 1e-9 * np.trace(H) / len(H) * np.eye(len(H))
    inflation = max(1.0, float(np.trace(np.linalg.solve(H_regular, scatter))) / (len(H) * noise))
    precision = H / (noise * inflation) + np.diag(prior.spread[free] ** -2.0)
    covariance = np.zeros((len(free), len(free)))
    covariance[np.ix_(free, free)] = np.linalg.inv(precision)
    return Posterior(covariance, noise * inflation)
