"""One identification: physics from motion, with what the errors are made of, and 90 % intervals.

First errors count as if each were a tenth of the typical change. What they really are made of, noise of
sensors and forces that no law explains, is then estimated from them, and everything fitted again, in
`ROUNDS` rounds. Start states are estimated, too.

The prior is part of the fit: what the data cannot tell is left to it, and what it leaves open widens the
intervals of the others.

Notation
    p   unconstrained parameters of all groups, then what is fitted besides them   [k]
    v   variances of sensors and forces                                            [n + d]
    R   whitening of a window's errors, what the model lacks included              [W, L n, L n]
    C   covariance of whitened errors by noise                                     [W, L n, L n]
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trainer.dynamics import noise
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
from trainer.dynamics.identify import (
    NormalEquations,
    Prior,
    Seen,
    levenberg_marquardt,
    normal_equations,
    posterior,
    student,
)
from trainer.dynamics.judge import Predictor
from trainer.dynamics.linearise import push
from trainer.dynamics.rung import WINDOW_STEPS, Estimate
from trainer.dynamics.windows import Motion, Windows, remembering, side_by_side
from trainer.learning.compilation import ONCE, SOONEST, compiled
from trainer.models.physics import Physics
from trainer.tasks.task import Task

if TYPE_CHECKING:
    from trainer.dynamics.physics_rung import PhysicsRung

WINDOWS = 128
FIRST_ITERATIONS, ITERATIONS = 15, 30
ROUNDS = 2
PULL = 1e-5
"""Weight of the prior while the size of errors is unknown; so small that it decides only where the data says
nothing."""
NARROWED = 0.5
"""A parameter is identified if the data narrows p to this share of its prior's width, or"""
NARROWED_VALUE = 0.1
"""the value to this share: a friction that is nearly none, say, whose logarithm is open downwards."""
AT_BOUND = 0.05
"""A value that is nearer to a bound than this share of it is at it."""
LACKING = 1.0
"""What the model lacks counts as further errors of so many times the variance of noise. Whitened by noise
alone, a fit would rest on differences from step to step, where errors of timing and of actions tell most."""
DRAWS = 1000
INTERVAL = (5.0, 95.0)
"""Percentiles."""


class Found(NamedTuple):
    """The best p[k], the normal equations there, what they compare, v, and covariances [W, L n, L n]."""

    p: np.ndarray
    normal: NormalEquations
    seen: Seen
    v: np.ndarray
    C: np.ndarray


class Problem(NamedTuple):
    """What one fit is about; units and scales stay the same while the data grows."""

    rung: "PhysicsRung"
    task: Task
    unit: np.ndarray
    scale: np.ndarray

    @property
    def prior(self) -> Prior:
        """The prior of p[k]."""
        parts = [(g.centre(self.task), g.spread(self.task)) for g in self.rung.groups]
        centres, spreads = zip(*parts, nuisance_prior(self.task), strict=True)
        return Prior(np.concatenate(centres), np.concatenate(spreads))

    def fitted(self, p: np.ndarray) -> Fitted:
        """Return the physics of p[k], and what is fitted besides it."""
        return jax.tree.map(jnp.asarray, _fitted(self.rung, self.task)(jnp.asarray(p, float), self.unit))

    def starts(self) -> list[np.ndarray]:
        """Return the p's to start from: every group's alternatives, one group varied at a time."""
        centre, starts, at = self.prior.centre, [], 0
        for group in self.rung.groups:
            size = len(group.centre(self.task))
            for offset in group.starts(self.task) if group.starts else []:
                starts.append(centre.copy())
                starts[-1][at : at + size] += offset
            at += size
        return starts or [centre]

    def identify(self, motions: list[Motion]) -> Found:
        """Return the best fit that is reached from any of `starts`.

        Raises:
            ValueError: the model leaves the finite numbers along the data, wherever the search starts.
        """
        windows = self._windows(motions)
        seen, v = self._at_first(windows)
        starts, unknown = self.starts(), np.zeros(0)
        reached = [self._descend(seen, p, PULL, FIRST_ITERATIONS) for p in starts]
        p, normal, loss = min(reached, key=lambda each: float(np.nan_to_num(each[2], nan=np.inf)))
        if not np.isfinite(loss):
            raise ValueError(
                f"{self.rung.name} cannot be fitted: the error of {self.task.name}'s model along the data is "
                f"{float(loss)}; look for values out of any range in what was recorded"
            )
        return self._refine(windows, Found(p, normal, seen, v, unknown))

    def go_on(self, motions: list[Motion], found: Found) -> Found:
        """Return the best fit to other motions that is reached from what was `found`."""
        windows = self._windows(motions)
        return self._refine(windows, found._replace(seen=self._at_first(windows)[0]))

    def _refine(self, windows: Windows, found: Found) -> Found:
        for _ in range(ROUNDS):
            seen, v, C = self._believe(windows, found.seen, found.p, found.v)
            p, normal, _ = self._descend(seen, found.p, 1.0, ITERATIONS)
            found = Found(p, normal, seen, v, C)
        return found

    def _windows(self, motions: list[Motion]) -> Windows:
        return side_by_side(remembering(motions, self.rung.memory), WINDOW_STEPS, WINDOWS)

    def estimates(self, found: Found, key: jax.Array) -> dict[str, Estimate]:
        """Return every value with its 90 % interval."""
        prior, chance = self.prior, np.random.default_rng(np.asarray(jax.random.key_data(key)))
        factor = posterior(found.normal, found.C, found.seen.weight, prior)
        normal = chance.normal(size=(DRAWS, len(found.p)))
        after = found.p + student(normal, found.seen.weight, chance) @ factor.T
        (best,), values, before = (
            np.asarray(_values(self.rung, self.task)(jnp.asarray(p, float), self.unit))
            for p in (found.p[None], after, prior.centre + normal * prior.spread)
        )
        low, high = np.percentile(values, INTERVAL, axis=0)
        prior_low, prior_high = np.percentile(before, INTERVAL, axis=0)
        narrow = (np.linalg.norm(factor, axis=1) <= NARROWED * prior.spread)[: len(best)]
        narrow |= high - low <= NARROWED_VALUE * (prior_high - prior_low)
        physics = self.fitted(found.p).physics
        bounds = np.concatenate([group.bounds(physics, self.unit) for group in self.rung.groups])
        near = np.abs(best[:, None] - bounds) <= AT_BOUND * np.abs(bounds)
        at_bound = np.any(np.isfinite(bounds) & near, axis=1)
        names = [name for group in self.rung.groups for name in group.names(self.task)]
        rows = zip(names, best, low, high, narrow & ~at_bound, at_bound, strict=True)
        return {
            name: Estimate(float(value), float(least), float(most), bool(known), bool(bound))
            for name, value, least, most, known, bound in rows
        }

    def _descend(
        self, seen: Seen, p: np.ndarray, pull: float, iterations: int
    ) -> tuple[np.ndarray, NormalEquations, float]:
        normal = _normal(self.rung, self.task)
        return levenberg_marquardt(lambda p: normal(p, self.unit, seen), p, self.prior, iterations, pull)

    def _at_first(self, windows: Windows) -> tuple[Seen, np.ndarray]:
        """Return what is compared, and v, while nothing is known of the errors."""
        n, steps = len(self.scale), windows.u.shape[1]
        R = np.diag(1.0 / np.tile(self.scale, steps)).astype(windows.x.dtype)
        R = np.broadcast_to(R, (len(windows.x), *R.shape))
        v = (0.1 * np.concatenate([self.scale, self.unit[0]])) ** 2
        return Seen(windows.x[:, 0], windows.u, windows.x[:, 1:, :n], R, windows.weight), v

    def _believe(
        self, windows: Windows, seen: Seen, p: np.ndarray, v: np.ndarray
    ) -> tuple[Seen, np.ndarray, np.ndarray]:
        """Return what is compared, v, and C, by what the errors at `p` are made of."""
        n, used, kind = len(self.scale), windows.weight > 0, windows.x.dtype
        parts = _along(self.rung, self.task)(self.fitted(p), seen.start, windows.u)
        x, A, G = (np.asarray(part, float)[:, :, :n] for part in parts)
        finer = _finely(self.rung, self.task)(self.fitted(p), seen.start, windows.u)
        integration = np.sqrt(np.mean((np.asarray(finer, float)[used, 1:, :n] - x[used]) ** 2, axis=(0, 1)))
        found = noise.sensitivity(A[..., :n], G)
        y = windows.x[..., :n].astype(float)

        def target(start: np.ndarray) -> np.ndarray:
            """Return measurements as seen from another start than the measured one, to first order."""
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
        seen = Seen(whole, windows.u, target(start).astype(kind), R.astype(kind), windows.weight)
        return seen, v, R @ C @ np.swapaxes(R, 1, 2)


def _constrain(rung: "PhysicsRung", task: Task) -> Callable[[jax.Array, jax.Array], Fitted]:
    sizes = [len(group.centre(task)) for group in rung.groups]

    def constrain(p: jax.Array, unit: jax.Array) -> Fitted:
        physics, at = rung.nothing(task), 0
        for group, size in zip(rung.groups, sizes, strict=True):
            physics = group.constrain(physics, p[at : at + size], unit)
            at += size
        return fitted(task, physics, p[at:])

    return constrain


@functools.lru_cache(maxsize=8)
def _fitted(rung: "PhysicsRung", task: Task) -> Callable[[jax.Array, np.ndarray], Fitted]:
    return compiled(_constrain(rung, task), ONCE)


@functools.lru_cache(maxsize=8)
def _normal(rung: "PhysicsRung", task: Task) -> Callable:
    read = functools.partial(measured, exact_model(rung, task), task)
    return normal_equations(read, _constrain(rung, task))


@functools.lru_cache(maxsize=8)
def exactly(rung: "PhysicsRung", task: Task) -> Predictor:
    """Return how what was identified predicts: `theta` is `Fitted`, and dry friction rests."""
    read = functools.partial(measured, exact_model(rung, task), task)
    ahead = compiled(jax.vmap(read, (None, 0, 0)), SOONEST)
    nothing = frictionless(task, rung.nothing(task))
    return Predictor(
        lambda theta, x, u: ahead(theta, jnp.asarray(x, float), jnp.asarray(u, float)), nothing, rung.memory
    )


@functools.lru_cache(maxsize=8)
def _finely(rung: "PhysicsRung", task: Task) -> Callable:
    """Return `(theta, start[W, n + m], u[W, L, m]) -> x[W, L + 1, n + m]` in steps half as long."""
    read = functools.partial(measured, exact_model(rung, task, substeps=2 * SUBSTEPS), task)
    return compiled(jax.vmap(read, (None, 0, 0)), ONCE)


@functools.lru_cache(maxsize=8)
def _along(rung: "PhysicsRung", task: Task) -> Callable:
    """Return `(theta, start[W, n + m], u[W, L, m]) -> x, A, G` of what would be measured after each step."""
    model = exact_model(rung, task, push, lambda theta: theta.base)
    return compiled(jax.vmap(functools.partial(predicted_along, model, task), (None, 0, 0)), ONCE)


@functools.lru_cache(maxsize=8)
def _values(rung: "PhysicsRung", task: Task) -> Any:
    constrain = _constrain(rung, task)

    def values(p: jax.Array, unit: jax.Array) -> jax.Array:
        physics: Physics = constrain(p, unit).physics
        return jnp.concatenate([group.values(physics) for group in rung.groups])

    return compiled(jax.vmap(values, (0, None)), ONCE)
