"""Identification of physical parameters from recorded segments, with a noise model and 90 % intervals.

The first fit weights all errors by a tenth of the typical change. Sensor noise and unmodelled forces are then
estimated from the errors, and the fit is repeated with these weights, in `ROUNDS` rounds. Start states are
estimated, too.

The prior is part of the fit. It decides the parameters that the data do not determine, and their uncertainty
widens the intervals of the others.

Notation
    p   unconstrained parameters of all groups, then nuisance parameters           [k]
    v   variances of sensors and forces                                            [n + d]
    R   whitening of a window's errors, model error included                       [W, L n, L n]
    C   covariance of whitened errors by noise                                     [W, L n, L n]
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trainer.compilation import ONCE, SOONEST, compiled
from trainer.dynamics import noise
from trainer.dynamics.dynamics_model import WINDOW_STEPS, Estimate
from trainer.dynamics.fitted_model import (
    SUBSTEPS,
    Fitted,
    exact_model,
    fitted,
    frictionless,
    measured,
    nuisance_prior,
    predicted_along,
)
from trainer.dynamics.least_squares import (
    FitData,
    NormalEquations,
    Prior,
    levenberg_marquardt,
    normal_equations,
    posterior,
    student_t,
)
from trainer.dynamics.linearise import joint_force
from trainer.dynamics.validation import Predictor
from trainer.dynamics.windows import Segment, Windows, append_action_history, make_disjoint_windows
from trainer.models.physics import Physics
from trainer.tasks.task import Task

if TYPE_CHECKING:
    from trainer.dynamics.physics_dynamics import PhysicsDynamics

WINDOWS = 128
FIRST_ITERATIONS, ITERATIONS = 15, 30
ROUNDS = 2
PRIOR_WEIGHT = 1e-5
"""Weight of the prior in the first fit, whose noise is unknown. It only decides what the data leave open."""
NARROWED = 0.5
"""A parameter is identified if its standard deviation falls to this share of the prior's, or"""
NARROWED_VALUE = 0.1
"""if its interval narrows to this share. Friction near zero meets only the second condition, since its
log-parameter has no lower bound."""
AT_BOUND = 0.05
"""A value is at its bound if its distance to the bound is at most this share of the bound."""
LACKING = 1.0
"""Variance of the model error, relative to that of the noise. Whitening by the noise alone would weight
differences between consecutive steps most, where errors in timing and actions dominate."""
DRAWS = 1000
INTERVAL = (5.0, 95.0)
"""Percentiles."""


class Found(NamedTuple):
    """An optimum: p[k], the normal equations there, the data, v, and covariances C [W, L n, L n]."""

    p: np.ndarray
    normal: NormalEquations
    seen: FitData
    v: np.ndarray
    C: np.ndarray


class IdentificationProblem(NamedTuple):
    """Model, task, natural units of the parameters and scale of the errors of one fit."""

    dynamics: "PhysicsDynamics"
    task: Task
    unit: np.ndarray
    scale: np.ndarray

    @property
    def prior(self) -> Prior:
        """The prior of p[k]."""
        parts = [(g.mean(self.task), g.std(self.task)) for g in self.dynamics.groups]
        means, stds = zip(*parts, nuisance_prior(self.task), strict=True)
        return Prior(np.concatenate(means), np.concatenate(stds))

    def fitted(self, p: np.ndarray) -> Fitted:
        """Return the physics of p[k], and the nuisance parameters."""
        return jax.tree.map(jnp.asarray, _fitted(self.dynamics, self.task)(jnp.asarray(p, float), self.unit))

    def starts(self) -> list[np.ndarray]:
        """Return the start values of the search: every group's offsets, one group varied at a time."""
        mean, starts, at = self.prior.mean, [], 0
        for group in self.dynamics.groups:
            size = len(group.mean(self.task))
            for offset in group.starts(self.task) if group.starts else []:
                starts.append(mean.copy())
                starts[-1][at : at + size] += offset
            at += size
        return starts or [mean]

    def identify(self, segments: list[Segment]) -> Found:
        """Return the best optimum of the searches from all `starts`.

        Raises:
            ValueError: predictions are not finite from any start.
        """
        windows = self._windows(segments)
        seen, v = self._initial_weighting(windows)
        starts, unknown = self.starts(), np.zeros(0)
        reached = [self._descend(seen, p, PRIOR_WEIGHT, FIRST_ITERATIONS) for p in starts]
        p, normal, loss = min(reached, key=lambda each: float(np.nan_to_num(each[2], nan=np.inf)))
        if not np.isfinite(loss):
            raise ValueError(
                f"{self.dynamics.name} cannot be fitted: the error of {self.task.name}'s model along the "
                f"data is {float(loss)}; look for values out of any range in what was recorded"
            )
        return self._refine(windows, Found(p, normal, seen, v, unknown))

    def continue_from(self, segments: list[Segment], found: Found) -> Found:
        """Return the optimum for other segments, searched from `found`."""
        windows = self._windows(segments)
        return self._refine(windows, found._replace(seen=self._initial_weighting(windows)[0]))

    def _refine(self, windows: Windows, found: Found) -> Found:
        for _ in range(ROUNDS):
            seen, v, C = self._estimate_noise(windows, found.seen, found.p, found.v)
            p, normal, _ = self._descend(seen, found.p, 1.0, ITERATIONS)
            found = Found(p, normal, seen, v, C)
        return found

    def _windows(self, segments: list[Segment]) -> Windows:
        return make_disjoint_windows(
            append_action_history(segments, self.dynamics.action_history), WINDOW_STEPS, WINDOWS
        )

    def estimates(self, found: Found, key: jax.Array) -> dict[str, Estimate]:
        """Return every parameter with its 90 % interval."""
        prior, chance = self.prior, np.random.default_rng(np.asarray(jax.random.key_data(key)))
        factor = posterior(found.normal, found.C, found.seen.weight, prior)
        normal = chance.normal(size=(DRAWS, len(found.p)))
        after = found.p + student_t(normal, found.seen.weight, chance) @ factor.T
        (best,), values, before = (
            np.asarray(_values(self.dynamics, self.task)(jnp.asarray(p, float), self.unit))
            for p in (found.p[None], after, prior.mean + normal * prior.std)
        )
        low, high = np.percentile(values, INTERVAL, axis=0)
        prior_low, prior_high = np.percentile(before, INTERVAL, axis=0)
        narrow = (np.linalg.norm(factor, axis=1) <= NARROWED * prior.std)[: len(best)]
        narrow |= high - low <= NARROWED_VALUE * (prior_high - prior_low)
        physics = self.fitted(found.p).physics
        bounds = np.concatenate([group.bounds(physics, self.unit) for group in self.dynamics.groups])
        near = np.abs(best[:, None] - bounds) <= AT_BOUND * np.abs(bounds)
        at_bound = np.any(np.isfinite(bounds) & near, axis=1)
        names = [name for group in self.dynamics.groups for name in group.names(self.task)]
        rows = zip(names, best, low, high, narrow & ~at_bound, at_bound, strict=True)
        return {
            name: Estimate(float(value), float(least), float(most), bool(known), bool(bound))
            for name, value, least, most, known, bound in rows
        }

    def _descend(
        self, seen: FitData, p: np.ndarray, prior_weight: float, iterations: int
    ) -> tuple[np.ndarray, NormalEquations, float]:
        normal = _normal(self.dynamics, self.task)
        return levenberg_marquardt(
            lambda p: normal(p, self.unit, seen), p, self.prior, iterations, prior_weight
        )

    def _initial_weighting(self, windows: Windows) -> tuple[FitData, np.ndarray]:
        """Return the data weighted by `scale`, and start values of v."""
        n, steps = len(self.scale), windows.u.shape[1]
        R = np.diag(1.0 / np.tile(self.scale, steps)).astype(windows.x.dtype)
        R = np.broadcast_to(R, (len(windows.x), *R.shape))
        v = (0.1 * np.concatenate([self.scale, self.unit[0]])) ** 2
        return FitData(windows.x[:, 0], windows.u, windows.x[:, 1:, :n], R, windows.weight), v

    def _estimate_noise(
        self, windows: Windows, seen: FitData, p: np.ndarray, v: np.ndarray
    ) -> tuple[FitData, np.ndarray, np.ndarray]:
        """Estimate the noise from the errors at `p`; return the data weighted by it, v and C."""
        n, used, kind = len(self.scale), windows.weight > 0, windows.x.dtype
        parts = _along(self.dynamics, self.task)(self.fitted(p), seen.start, windows.u)
        x, A, G = (np.asarray(part, float)[:, :, :n] for part in parts)
        finer = _half_step_predictor(self.dynamics, self.task)(self.fitted(p), seen.start, windows.u)
        integration = np.sqrt(np.mean((np.asarray(finer, float)[used, 1:, :n] - x[used]) ** 2, axis=(0, 1)))
        found = noise.sensitivity(A[..., :n], G)
        y = windows.x[..., :n].astype(float)

        def target(start: np.ndarray) -> np.ndarray:
            """Return the measurements corrected to another start state, to first order."""
            return y[:, 1:] - np.einsum("wtij,wj->wti", found.start, y[:, 0] - start)

        e = (x - target(seen.start[:, :n])).reshape(len(x), -1)
        parts = noise.sources(found)
        largest = np.maximum(np.max(np.abs(y[used]), axis=(0, 1)), self.scale)
        least = np.maximum(noise.INTEGRATION * integration, noise.ROUNDING * largest) ** 2
        least = np.concatenate([least, np.zeros(G.shape[-1])])
        v = noise.variances(e[used], [part[used] for part in parts], v, least)
        C = noise.covariance(parts, v)
        start = y[:, 0] - noise.start_error(e, C, found, v)
        whole = np.concatenate([start, seen.start[:, n:]], axis=1).astype(kind)
        sizes = np.mean(np.diagonal(C[used], axis1=1, axis2=2).reshape(-1, n), axis=0)
        R = noise.whitening(C + LACKING * np.diag(np.tile(sizes, windows.u.shape[1])))
        seen = FitData(whole, windows.u, target(start).astype(kind), R.astype(kind), windows.weight)
        return seen, v, R @ C @ np.swapaxes(R, 1, 2)


def _constrain(dynamics: "PhysicsDynamics", task: Task) -> Callable[[jax.Array, jax.Array], Fitted]:
    sizes = [len(group.mean(task)) for group in dynamics.groups]

    def constrain(p: jax.Array, unit: jax.Array) -> Fitted:
        physics, at = dynamics.nominal_parameters(task), 0
        for group, size in zip(dynamics.groups, sizes, strict=True):
            physics = group.constrain(physics, p[at : at + size], unit)
            at += size
        return fitted(task, physics, p[at:])

    return constrain


@functools.lru_cache(maxsize=8)
def _fitted(dynamics: "PhysicsDynamics", task: Task) -> Callable[[jax.Array, np.ndarray], Fitted]:
    return compiled(_constrain(dynamics, task), ONCE)


@functools.lru_cache(maxsize=8)
def _normal(dynamics: "PhysicsDynamics", task: Task) -> Callable:
    read = functools.partial(measured, exact_model(dynamics, task), task)
    return normal_equations(read, _constrain(dynamics, task))


@functools.lru_cache(maxsize=8)
def exact_predictor(dynamics: "PhysicsDynamics", task: Task) -> Predictor:
    """Return the open-loop prediction of the fitted model: `theta` is `Fitted`, dry friction can stick."""
    read = functools.partial(measured, exact_model(dynamics, task), task)
    ahead = compiled(jax.vmap(read, (None, 0, 0)), SOONEST)
    nothing = frictionless(task, dynamics.nominal_parameters(task))
    return Predictor(
        lambda theta, x, u: ahead(theta, jnp.asarray(x, float), jnp.asarray(u, float)),
        nothing,
        dynamics.action_history,
    )


@functools.lru_cache(maxsize=8)
def _half_step_predictor(dynamics: "PhysicsDynamics", task: Task) -> Callable:
    """Return `(theta, start[W, n + m], u[W, L, m]) -> x[W, L + 1, n + m]`, integrated with half the step."""
    read = functools.partial(measured, exact_model(dynamics, task, substeps=2 * SUBSTEPS), task)
    return compiled(jax.vmap(read, (None, 0, 0)), ONCE)


@functools.lru_cache(maxsize=8)
def _along(dynamics: "PhysicsDynamics", task: Task) -> Callable:
    """Return `(theta, start[W, n + m], u[W, L, m]) -> x, A, G`: predicted measurements and Jacobians."""
    model = exact_model(dynamics, task, joint_force, lambda theta: theta.base)
    return compiled(jax.vmap(functools.partial(predicted_along, model, task), (None, 0, 0)), ONCE)


@functools.lru_cache(maxsize=8)
def _values(dynamics: "PhysicsDynamics", task: Task) -> Any:
    constrain = _constrain(dynamics, task)

    def values(p: jax.Array, unit: jax.Array) -> jax.Array:
        physics: Physics = constrain(p, unit).physics
        return jnp.concatenate([group.values(physics) for group in dynamics.groups])

    return compiled(jax.vmap(values, (0, None)), ONCE)
