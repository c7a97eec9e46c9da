"""Rungs of identified physics: the simulator with some of its parameters fitted, the rest left as they are.

What the data cannot tell stays at its prior: after a fit, the parameter that the data narrowed least is
frozen there and the rest fitted again, until every free one is narrowed to half of its prior's width. One
that the data refutes there stays free, however wide: a friction that is nearly none, say, whose logarithm
is open downwards.

Notation
    p   unconstrained parameters of all groups   [k]
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trainer.dynamics.groups import FRICTION, SLOWEST, Group
from trainer.dynamics.identify import (
    NormalEquations,
    Prior,
    levenberg_marquardt,
    normal_equations,
    posterior,
)
from trainer.dynamics.judge import horizon_errors, least_held_out
from trainer.dynamics.linearise import Linearised, linearise, missing_force, push
from trainer.dynamics.rung import SUBSTEPS, WINDOW_STEPS, Estimate, Fit, split
from trainer.dynamics.windows import Motion, Windows, cut, remembering, typical_change
from trainer.learning.compilation import ONCE, compiled
from trainer.learning.trajectory import Model
from trainer.models.force import Force, as_it_is, no_force
from trainer.models.friction import SMOOTHING, friction_force
from trainer.models.physics import Physics, delayed, nominal, rearranged
from trainer.tasks.task import Task

WINDOWS = 128
ITERATIONS = 30
NARROWED = 0.5
"""A parameter is identified if the data narrows it to this share of its prior's width."""
REFUTED = 3.0
"""The data refutes a prior if the fit there is worse by so many standard deviations."""
FAR = 20.0
"""A p at which what has a limit has reached it."""
NEAR_BOUND = 0.02
"""A value is at a limit if it is nearer than this share of what is between the limits."""
DRAWS = 400
INTERVAL = (5.0, 95.0)
"""Percentiles."""


@dataclass(frozen=True)
class PhysicsRung:
    """The simulator with the parameters of `groups` identified.

    Attributes:
        name: as in `--dynamics-model`.
        groups: what is identified.
        substeps: Runge-Kutta steps per control step.
        width: over which the sign of a velocity is smoothed [m/s or rad/s].
    """

    name: str = "friction"
    groups: tuple[Group, ...] = (FRICTION,)
    substeps: int = SUBSTEPS
    width: float = SMOOTHING
    extrapolates: bool = True

    @property
    def memory(self) -> int:
        """Return 1 if a delay is identified."""
        return int(any(group.memory for group in self.groups))

    def model(self, task: Task) -> Model:
        """Return the simulator with `Physics`."""
        return self.with_force(task, no_force, lambda theta: theta)

    def with_force(self, task: Task, extra: Force, physics: Callable[[Any], Physics]) -> Model:
        """Return the simulator with the `physics` of its parameters, and an `extra` force on the joints."""

        def force(theta: Any, q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
            friction = friction_force(physics(theta).friction, qd, self.width)
            return friction + extra(theta, q, qd, u)

        changed = any(group.name in {"gain", "mass", "rotor"} for group in self.groups)
        arrange = (lambda theta, system: rearranged(physics(theta), system)) if changed else as_it_is
        model = task.model(force, self.substeps, arrange)
        return (
            delayed(model, len(task.state_names), lambda theta: physics(theta).delay)
            if self.memory
            else model
        )

    def nothing(self, task: Task) -> Physics:
        """Return the simulator as it is."""
        return nominal(task.joints, len(task.action_names), _links(task))

    def fit(
        self, task: Task, motions: list[Motion], key: jax.Array, progress: Callable[[float], None]
    ) -> Fit:
        """Fit on a part, judge on the part held out, then fit on everything."""
        of_part, of_all, estimates = self.identify(task, motions, key, lambda share: progress(0.9 * share))
        errors = horizon_errors(self, task, of_part, split(motions, least_held_out(task)).held_out)
        progress(1.0)
        return Fit(jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], of_all), errors, estimates)

    def identify(
        self, task: Task, motions: list[Motion], key: jax.Array, progress: Callable[[float], None]
    ) -> "Identification":
        """Identify on the part that is not held out, then go on from there on everything."""
        if not self.groups:
            return Identification(self.nothing(task), self.nothing(task), {})
        parts = split(motions, least_held_out(task))
        problem = Problem(self, task, *_units(task, parts.fitted))
        first, free = problem.identify(parts.fitted, problem.starts(), np.ones(problem.size, bool))
        progress(0.7)
        final, free = problem.identify(motions, [first], free)
        progress(1.0)
        estimates = problem.estimates(motions, final, free, key)
        return Identification(problem.physics(first), problem.physics(final), estimates)


class Identification(NamedTuple):
    """Physics that never saw what is held out, physics of everything, and what was identified of that."""

    of_part: Physics
    of_all: Physics
    estimates: dict[str, Estimate]


class Problem(NamedTuple):
    """What one fit is about; units and scales stay the same while the data grows."""

    rung: PhysicsRung
    task: Task
    unit: np.ndarray
    scale: np.ndarray

    @property
    def prior(self) -> Prior:
        """The prior of p[k]."""
        centres = [group.centre(self.task) for group in self.rung.groups]
        spreads = [np.full(len(c), g.spread) for c, g in zip(centres, self.rung.groups, strict=True)]
        return Prior(np.concatenate(centres), np.concatenate(spreads))

    @property
    def size(self) -> int:
        """Number of parameters, k."""
        return len(self.prior.centre)

    def physics(self, p: np.ndarray) -> Physics:
        """Return the physics of p[k]."""
        return _constrain(self.rung, self.task)(jnp.asarray(p, float), jnp.asarray(self.unit))

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

    def identify(
        self, motions: list[Motion], starts: list[np.ndarray], free: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the best p, and which parameters the data identifies; the others are at their prior.

        Raises:
            ValueError: the model leaves the finite numbers along the data, wherever the search starts.
        """
        windows, normal = self.windows(motions)
        reached = [levenberg_marquardt(normal, p, self.prior, free, ITERATIONS) for p in starts]
        p, found = min(reached, key=lambda pair: float(np.nan_to_num(pair[1].loss, nan=np.inf)))
        if not np.isfinite(found.loss):
            raise ValueError(
                f"{self.rung.name} cannot be fitted: the error of {self.task.name}'s model along the data is "
                f"{float(found.loss)}; look for values out of any range in what was recorded"
            )
        free, open_ = free.copy(), free.copy()
        while open_.any():
            covariance, noise = posterior(found, windows, self.prior, free, _blocks(motions))
            width = np.where(open_, np.sqrt(np.diag(covariance)) / self.prior.spread, 0.0)
            worst = int(np.argmax(width))
            if width[worst] <= NARROWED:
                break
            open_[worst] = False
            fewer = free & (np.arange(len(free)) != worst)
            start = np.where(fewer, p, self.prior.centre)
            at_prior, found_there = levenberg_marquardt(normal, start, self.prior, fewer, ITERATIONS)
            if float(found_there.loss - found.loss) < 0.5 * REFUTED**2 * noise:
                free, p, found = fewer, at_prior, found_there
        return p, free

    def estimates(
        self, motions: list[Motion], p: np.ndarray, free: np.ndarray, key: jax.Array
    ) -> dict[str, Estimate]:
        """Return every value with its 90 % interval; that of a frozen parameter is its prior's."""
        windows, normal = self.windows(motions)
        found = normal(jnp.asarray(p, float))
        covariance = np.diag(self.prior.spread**2)
        covariance[np.ix_(free, free)] = 0.0
        covariance += posterior(found, windows, self.prior, free, _blocks(motions)).covariance
        spreads, axes = np.linalg.eigh(covariance)  # of data that tells next to nothing, it is not definite
        factor = axes * np.sqrt(np.maximum(spreads, 0.0))
        draws = p + np.asarray(jax.random.normal(key, (DRAWS, len(p)))) @ factor.T
        values, told = _values(self.rung, self.task)(jnp.asarray(draws, float), self.unit), {}
        best = _values(self.rung, self.task)(jnp.asarray(p[None], float), self.unit)[0]
        low, high = np.percentile(np.asarray(values), INTERVAL, axis=0)
        names = [name for group in self.rung.groups for name in group.names(self.task)]
        bounded = self.at_bounds(p, np.asarray(best))
        for at, name in enumerate(names):
            known = bool(free[at] and not bounded[at])
            told[name] = Estimate(
                float(best[at]), float(low[at]), float(high[at]), known, bool(free[at] and bounded[at])
            )
        return told

    def at_bounds(self, p: np.ndarray, best: np.ndarray) -> np.ndarray:
        """Return which of the values `best[k]` of p[k] are at a limit of the model; 0 is none."""
        values = _values(self.rung, self.task)
        ends = []
        for end in (-FAR, FAR, 2.0 * FAR):
            moved = np.where(np.eye(len(p), dtype=bool), end, p)
            ends.append(np.diag(np.asarray(values(jnp.asarray(moved, float), self.unit))))
        low, high, further = ends
        limited = np.isclose(high, further, rtol=1e-3)  # the others have no upper limit
        near = NEAR_BOUND * (high - low)
        return limited & ((high - best < near) | ((best - low < near) & (low > 0.0)))

    def windows(self, motions: list[Motion]) -> tuple[Windows, Callable[[jax.Array], NormalEquations]]:
        """Return windows over `motions`, and the normal equations of p over them."""
        windows = cut(remembering(motions, self.rung.memory), WINDOW_STEPS, WINDOWS)
        memory = np.ones(windows.x.shape[-1] - len(self.scale))  # the last action is never wrong
        scale = np.concatenate([self.scale, memory])
        normal = _normal(self.rung, self.task)
        return windows, lambda p: normal(p, self.unit, windows, scale)


def _blocks(motions: list[Motion]) -> int:
    """Return how many stretches of two windows' length the motions hold, at least 4."""
    return max(4, sum(motion.u.shape[0] for motion in motions) // (2 * WINDOW_STEPS))


def _units(task: Task, motions: list[Motion]) -> tuple[np.ndarray, np.ndarray]:
    """Return unit[2, d], the force the simulator misses and the velocity, and the scale of errors [n].

    A joint that hardly moved tells nothing of its viscous friction, which must not be huge for that.
    """
    windows = cut(motions, WINDOW_STEPS, WINDOWS)
    simulator, positions = PhysicsRung("simulator", ()), task.positions
    linear = linearised(simulator, task)(simulator.nothing(task), windows)
    force_size = missing_force(linear, positions, windows.weight)
    speed = np.sqrt(np.mean(windows.x[windows.weight > 0][..., positions:] ** 2, axis=(0, 1)))
    return np.stack([np.asarray(force_size), np.maximum(speed, SLOWEST)]), typical_change(windows)


def _links(task: Task) -> int:
    return len(task.model(no_force, 1).links)


def _constrain(rung: PhysicsRung, task: Task) -> Callable[[jax.Array, jax.Array], Physics]:
    sizes = [len(group.centre(task)) for group in rung.groups]

    def constrain(p: jax.Array, unit: jax.Array) -> Physics:
        physics, at = rung.nothing(task), 0
        for group, size in zip(rung.groups, sizes, strict=True):
            physics = group.constrain(physics, p[at : at + size], unit)
            at += size
        return physics

    return constrain


@functools.lru_cache(maxsize=8)
def linearised(rung: PhysicsRung, task: Task) -> Callable[[Physics, Windows], Linearised]:
    """Return the linearisation of the rung's model along windows."""
    pushed = rung.with_force(task, push, lambda theta: theta.base)
    return linearise(pushed, task.joints)


@functools.lru_cache(maxsize=8)
def _normal(rung: PhysicsRung, task: Task) -> Callable:
    return normal_equations(rung.model(task), _constrain(rung, task))


@functools.lru_cache(maxsize=8)
def _values(rung: PhysicsRung, task: Task) -> Any:
    constrain = _constrain(rung, task)

    def values(p: jax.Array, unit: jax.Array) -> jax.Array:
        physics = constrain(p, unit)
        return jnp.concatenate([group.values(physics) for group in rung.groups])

    return compiled(jax.vmap(values, (0, None)), ONCE)
