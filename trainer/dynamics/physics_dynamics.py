"""Dynamics models of identified physics: the simulator with some of its parameters fitted."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trainer.dynamics.dynamics_model import SUBSTEPS, WINDOW_STEPS, Estimate, Fit, split
from trainer.dynamics.fitted_model import Fitted, frictionless
from trainer.dynamics.groups import FRICTION, Group
from trainer.dynamics.identification import WINDOWS, IdentificationProblem, exact_predictor
from trainer.dynamics.linearise import Linearised, joint_force, linearise, missing_force
from trainer.dynamics.validation import horizon_errors, least_held_out
from trainer.dynamics.windows import Segment, Windows, make_windows, typical_change
from trainer.models.force import Force, SystemTransform, identity, no_force
from trainer.models.friction import SMOOTHING, friction_force
from trainer.models.model import Model
from trainer.models.physics import Physics, delayed, nominal, with_parameters
from trainer.tasks.task import Task

MOST_DAMPED = 1.5
"""Bound of viscous damping: change of a joint's velocity in a control step, relative to the velocity, by an
explicit Euler step. Runge-Kutta steps are stable up to 2.8; a joint with more damping hardly swings."""

LEAST_SPEED = 0.5
"""[m/s or rad/s]"""


@dataclass(frozen=True)
class PhysicsDynamics:
    """The simulator with the parameters of `groups` identified.

    Attributes:
        name: as in `--dynamics-model`.
        groups: what is identified.
        substeps: Runge-Kutta steps per control step of the model that policies are trained in.
        width: velocity scale of the smoothed sign of dry friction there [m/s or rad/s].
    """

    name: str = "friction"
    groups: tuple[Group, ...] = (FRICTION,)
    substeps: int = SUBSTEPS
    width: float = SMOOTHING
    extrapolates: bool = True

    @property
    def action_history(self) -> int:
        """Return 1 if a delay is identified."""
        return int(any(group.action_history for group in self.groups))

    def model(self, task: Task) -> Model:
        """Return the simulator with `Physics`."""
        return self.with_force(task, no_force, lambda theta: theta)

    def with_force(self, task: Task, extra: Force, physics: Callable[[Any], Physics]) -> Model:
        """Return the simulator with parameters `physics(theta)`, and an `extra` force on the joints."""

        def force(theta: Any, q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
            friction = friction_force(physics(theta).friction, qd, self.width)
            return friction + extra(theta, q, qd, u)

        return self.late(task, task.model(force, self.substeps, self.system_transform(physics)), physics)

    def system_transform(self, physics: Callable[[Any], Physics]) -> SystemTransform:
        """Return the change of the simulator's system by `physics(theta)`."""
        changed = any(group.name in {"gain", "mass", "rotor"} for group in self.groups)
        return (lambda theta, system: with_parameters(physics(theta), system)) if changed else identity

    def late(self, task: Task, model: Model, physics: Callable[[Any], Physics]) -> Model:
        """Return `model` with the delay of actions, if one is identified."""
        if not self.action_history:
            return model
        return delayed(model, len(task.state_names), lambda theta: physics(theta).delay)

    def nominal_parameters(self, task: Task) -> Physics:
        """Return the parameters of the simulator itself."""
        return nominal(task.joints, len(task.action_names), len(task.model(no_force, 1).links))

    def fit(
        self, task: Task, segments: list[Segment], key: jax.Array, progress: Callable[[float], None]
    ) -> Fit:
        """Fit to a part, validate on the held-out part, then fit to all segments.

        Validated is the model of the fit, in which dry friction can stick.
        """
        of_part, of_all, estimates = self.identify(task, segments, key, lambda share: progress(0.9 * share))
        errors = horizon_errors(
            exact_predictor(self, task), task, of_part, split(segments, least_held_out(task))
        )
        progress(1.0)
        return Fit(jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], of_all), errors, estimates)

    def identify(
        self, task: Task, segments: list[Segment], key: jax.Array, progress: Callable[[float], None]
    ) -> "Identification":
        """Identify from the part that is not held out, then continue from there with all segments."""
        if not self.groups:
            return Identification(
                frictionless(task, self.nominal_parameters(task)), self.nominal_parameters(task), {}
            )
        parts = split(segments, least_held_out(task))
        problem = IdentificationProblem(self, task, *_units(task, parts.fitted))
        first = problem.identify(parts.fitted)
        progress(0.7)
        final = problem.continue_from(segments, first)
        progress(1.0)
        of_part, of_all = (problem.fitted(found.p) for found in (first, final))
        return Identification(of_part, of_all.physics, problem.estimates(final, key))


class Identification(NamedTuple):
    """The fit without the held-out segments, the physics fitted to all segments, and its estimates."""

    of_part: Fitted
    of_all: Physics
    estimates: dict[str, Estimate]


def _units(task: Task, segments: list[Segment]) -> tuple[np.ndarray, np.ndarray]:
    """Return unit[3, d], see `groups.Group`, and the scale of errors [n].

    The typical speed is at least `LEAST_SPEED`: the viscous friction of a joint that hardly moved is unknown,
    and its unit must not be huge. Viscous friction is bounded so that the model's own steps stay stable.
    """
    windows = make_windows(segments, WINDOW_STEPS, WINDOWS)
    simulator, positions = PhysicsDynamics("simulator", ()), task.positions
    linear = linearised(simulator, task)(simulator.nominal_parameters(task), windows)
    force_size, used = missing_force(linear, positions, windows.weight), windows.weight > 0
    speed = np.sqrt(np.mean(windows.x[used][..., positions:] ** 2, axis=(0, 1)))
    gained = np.diagonal(np.asarray(linear.G)[used][..., positions:, :], axis1=2, axis2=3)
    most = MOST_DAMPED / np.maximum(np.max(gained, axis=(0, 1)), 1e-9)
    return np.stack([np.asarray(force_size), np.maximum(speed, LEAST_SPEED), most]), typical_change(windows)


@functools.lru_cache(maxsize=8)
def linearised(dynamics: PhysicsDynamics, task: Task) -> Callable[[Physics, Windows], Linearised]:
    """Return the linearisation of the model along windows."""
    return linearise(dynamics.with_force(task, joint_force, lambda theta: theta.base), task.joints)
