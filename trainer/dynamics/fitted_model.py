"""The model that physical parameters are fitted with: exact dry friction, and nuisance parameters.

The model that policies are trained in is smooth, since gradients run through it. The fit needs no smoothness,
so here dry friction can stick (`dry_friction`). Two nuisance parameters of each joint are fitted, too: the
speed of creep under a load below break-away, and the delay of the position reading behind the velocity
reading (from a velocity filter, or a simulator's integrators). Their uncertainty widens the intervals of the
others.

Notation
    n, d   number of states of the plant, and of joints
    x      states of the plant, then the last action        [L + 1, n + m]
    A, G   ∂x'/∂x, ∂x'/∂tau of one step                     [n + m, n + m], [n + m, d]
    creep  speed at break-away                              [d]   m/s or rad/s
    skew   delay of position readings                       [d]   s
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trainer.dynamics.linearise import Pushed
from trainer.learning.trajectory import replay
from trainer.models.force import Force, no_force
from trainer.models.friction import mean_dry_level, viscous_force
from trainer.models.model import Model
from trainer.models.physics import Physics
from trainer.tasks.task import Task

if TYPE_CHECKING:
    from trainer.dynamics.physics_dynamics import PhysicsDynamics

SUBSTEPS = 4
"""Runge-Kutta steps per control step of the fit. Friction is constant over each."""
FASTEST_CREEP = 0.02
"""[m/s or rad/s]"""
USUAL_SKEW = 0.1
"""Prior standard deviation, in control steps."""
CREEP_MEAN, CREEP_STD = -3.0, 2.0
"""Prior of the logit of creep / FASTEST_CREEP; its mean is about 1 mm/s."""


class Fitted(NamedTuple):
    """Physics, creep[d] and skew[d]."""

    physics: Physics
    creep: jax.Array
    skew: jax.Array


def nuisance_prior(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Return prior mean and standard deviation [2 d] of the nuisance parameters."""
    d = task.joints
    return np.repeat([CREEP_MEAN, 0.0], d), np.repeat([CREEP_STD, 1.0], d)


def fitted(task: Task, physics: Physics, p: jax.Array) -> Fitted:
    """Return the physics with the nuisance parameters of p[2 d], of the order of one."""
    creep, skew = p.reshape(2, -1)
    return Fitted(physics, FASTEST_CREEP * jax.nn.sigmoid(creep), USUAL_SKEW * task.control_dt * skew)


def frictionless(task: Task, physics: Physics) -> Fitted:
    """Return physics without friction, with creep and skew 0."""
    none = jnp.zeros(task.joints)
    return Fitted(physics, none, none)


def exact_model(
    dynamics: "PhysicsDynamics",
    task: Task,
    extra: Force = no_force,
    at: Callable[[Any], Fitted] = lambda theta: theta,
    substeps: int = SUBSTEPS,
) -> Model:
    """Return the model with parameters `at(theta)`, and an `extra` force on the joints.

    A simulator that Brax integrates (`brax_task`) keeps its smooth friction.
    """

    def force(theta: Any, q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
        return viscous_force(at(theta).physics.friction, qd) + extra(theta, q, qd, u)

    def dry(theta: Any) -> tuple[Callable[[jax.Array, jax.Array], jax.Array], jax.Array]:
        return functools.partial(mean_dry_level, at(theta).physics.friction), at(theta).creep

    from trainer.models.brax_model import BraxModel

    physics = lambda theta: at(theta).physics  # noqa: E731
    model = task.model(force, substeps, dynamics.system_transform(physics))
    if not isinstance(model, BraxModel):
        return dynamics.with_force(task, extra, physics)
    return dynamics.late(task, dataclasses.replace(model, dry=dry), physics)


def measured(model: Model, task: Task, theta: Fitted, start: jax.Array, u: jax.Array) -> jax.Array:
    """Return the predicted readings x[L + 1, n + m] from the reading `start[n + m]` under `u[L, m]`."""
    x = replay(model, theta, _read(task, start, -theta.skew), u)
    return _read(task, x, theta.skew)


def predicted_along(
    model: Model, task: Task, theta: Fitted, start: jax.Array, u: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return predicted readings x[L, n + m], and A, G of each step of `model`, which takes `Pushed`."""
    none = jnp.zeros(task.joints)

    def advance(x: jax.Array, u: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        def step(x: jax.Array, tau: jax.Array) -> tuple[jax.Array, jax.Array]:
            x_next = model(Pushed(theta, tau), x, u)
            return x_next, x_next

        (A, G), x_next = jax.jacfwd(step, (0, 1), has_aux=True)(x, none)
        return x_next, (x_next, A, G)

    _, (x, A, G) = jax.lax.scan(advance, _read(task, start, -theta.skew), u)
    return _read(task, x, theta.skew), A, G


def _read(task: Task, x: jax.Array, skew: jax.Array) -> jax.Array:
    """Return states with positions read `skew` after the velocities, if each position has a velocity."""
    n, d = len(task.state_names), task.joints
    return x if task.positions != d else x.at[..., :d].add(skew * x[..., d:n])
