"""Rungs of identified physics: the simulator with some of its parameters fitted, the rest as they are."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trainer.dynamics.fitted_model import Fitted, frictionless
from trainer.dynamics.groups import FRICTION, Group
from trainer.dynamics.judge import horizon_errors, least_held_out
from trainer.dynamics.linearise import Linearised, linearise, missing_force, push
from trainer.dynamics.problem import WINDOWS, Problem, exactly
from trainer.dynamics.rung import SUBSTEPS, WINDOW_STEPS, Estimate, Fit, split
from trainer.dynamics.windows import Motion, Windows, cut, typical_change
from trainer.learning.trajectory import Model
from trainer.models.force import Arrange, Force, as_it_is, no_force
from trainer.models.friction import SMOOTHING, friction_force
from trainer.models.physics import Physics, delayed, nominal, rearranged
from trainer.tasks.task import Task

MOST_DAMPED = 1.5
"""Viscous friction takes away at most so many times a joint's velocity in a control step, were it to act as
at its beginning; Runge-Kutta steps are stable to 2.8. A joint that is damped more hardly swings."""

LEAST_SPEED = 0.5
"""[m/s or rad/s]"""


@dataclass(frozen=True)
class PhysicsRung:
    """The simulator with the parameters of `groups` identified.

    Attributes:
        name: as in `--dynamics-model`.
        groups: what is identified.
        substeps: Runge-Kutta steps per control step of the model that policies are trained in.
        width: over which the sign of a velocity is smoothed there [m/s or rad/s].
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

        return self.late(task, task.model(force, self.substeps, self.arrange(physics)), physics)

    def arrange(self, physics: Callable[[Any], Physics]) -> Arrange:
        """Return how the simulator's system changes with the `physics` of its parameters."""
        changed = any(group.name in {"gain", "mass", "rotor"} for group in self.groups)
        return (lambda theta, system: rearranged(physics(theta), system)) if changed else as_it_is

    def late(self, task: Task, model: Model, physics: Callable[[Any], Physics]) -> Model:
        """Return `model` with the delay of actions, if one is identified."""
        if not self.memory:
            return model
        return delayed(model, len(task.state_names), lambda theta: physics(theta).delay)

    def nothing(self, task: Task) -> Physics:
        """Return the simulator as it is."""
        return nominal(task.joints, len(task.action_names), len(task.model(no_force, 1).links))

    def fit(
        self, task: Task, motions: list[Motion], key: jax.Array, progress: Callable[[float], None]
    ) -> Fit:
        """Fit on a part, judge on the part held out, then fit on everything.

        Judged is what was identified, so that dry friction rests as it does in the fit.
        """
        of_part, of_all, estimates = self.identify(task, motions, key, lambda share: progress(0.9 * share))
        errors = horizon_errors(exactly(self, task), task, of_part, split(motions, least_held_out(task)))
        progress(1.0)
        return Fit(jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], of_all), errors, estimates)

    def identify(
        self, task: Task, motions: list[Motion], key: jax.Array, progress: Callable[[float], None]
    ) -> "Identification":
        """Identify on the part that is not held out, then go on from there on everything."""
        if not self.groups:
            return Identification(frictionless(task, self.nothing(task)), self.nothing(task), {})
        parts = split(motions, least_held_out(task))
        problem = Problem(self, task, *_units(task, parts.fitted))
        first = problem.identify(parts.fitted)
        progress(0.7)
        final = problem.go_on(motions, first)
        progress(1.0)
        of_part, of_all = (problem.fitted(found.p) for found in (first, final))
        return Identification(of_part, of_all.physics, problem.estimates(final, key))


class Identification(NamedTuple):
    """What is fitted without what is held out, physics of everything, and what was identified of that."""

    of_part: Fitted
    of_all: Physics
    estimates: dict[str, Estimate]


def _units(task: Task, motions: list[Motion]) -> tuple[np.ndarray, np.ndarray]:
    """Return unit[3, d], see `groups.Group`, and the scale of errors [n].

    A joint that hardly moved tells nothing of its viscous friction, which must not be huge for that: its
    typical speed is taken to be at least `LEAST_SPEED`. And a model that is trained in must stay stable in
    its own steps.
    """
    windows = cut(motions, WINDOW_STEPS, WINDOWS)
    simulator, positions = PhysicsRung("simulator", ()), task.positions
    linear = linearised(simulator, task)(simulator.nothing(task), windows)
    force_size, used = missing_force(linear, positions, windows.weight), windows.weight > 0
    speed = np.sqrt(np.mean(windows.x[used][..., positions:] ** 2, axis=(0, 1)))
    gained = np.diagonal(np.asarray(linear.G)[used][..., positions:, :], axis1=2, axis2=3)
    most = MOST_DAMPED / np.maximum(np.max(gained, axis=(0, 1)), 1e-9)
    return np.stack([np.asarray(force_size), np.maximum(speed, LEAST_SPEED), most]), typical_change(windows)


@functools.lru_cache(maxsize=8)
def linearised(rung: PhysicsRung, task: Task) -> Callable[[Physics, Windows], Linearised]:
    """Return the linearisation of the rung's model along windows."""
    return linearise(rung.with_force(task, push, lambda theta: theta.base), task.joints)
