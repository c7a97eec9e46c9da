"""The model that physics is fitted with: the rung's own, and what only a comparison with measurements needs.

The rung's model is smooth, because a policy is trained in it by gradients. A fit has none of that trouble,
so here dry friction truly rests (`dry_friction`). Two numbers of each joint are fitted besides and not
told: how fast it creeps under a load that does not move it, and by how much the position was read later
than the velocity; a velocity filter lags, and a simulator's two integrators do the same. What the data
cannot tell of them widens the intervals of the others.

Notation
    n, d   number of states of the plant, and of joints
    x      states of the plant, then an action remembered   [L + 1, n + m]
    A, G   ∂x'/∂x, ∂x'/∂tau of one step                     [n + m, n + m], [n + m, d]
    creep  speed at break-away                              [d]   m/s or rad/s
    skew   how much later positions were read               [d]   s
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trainer.dynamics.linearise import Pushed
from trainer.learning.trajectory import Model, replay
from trainer.models.force import Force, no_force
from trainer.models.friction import mean_dry_level, viscous_force
from trainer.models.physics import Physics
from trainer.tasks.task import Task

if TYPE_CHECKING:
    from trainer.dynamics.physics_rung import PhysicsRung

SUBSTEPS = 4
"""Runge-Kutta steps per control step of the fit, more than policies are trained with: friction is constant
over each."""
FASTEST_CREEP = 0.02
"""[m/s or rad/s]"""
USUAL_SKEW = 0.1
"""Standard deviation before any data, in control steps."""
CREEP_CENTRE, CREEP_SPREAD = -3.0, 2.0
"""Of the logit of creep / FASTEST_CREEP: about 1 mm/s before any data."""


class Fitted(NamedTuple):
    """Physics, creep[d] and skew[d]."""

    physics: Physics
    creep: jax.Array
    skew: jax.Array


def nuisance_prior(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Return centre and spread [2 d] of what is fitted besides the physics."""
    d = task.joints
    return np.repeat([CREEP_CENTRE, 0.0], d), np.repeat([CREEP_SPREAD, 1.0], d)


def fitted(task: Task, physics: Physics, p: jax.Array) -> Fitted:
    """Return what p[2 d], of the order of one, stands for."""
    creep, skew = p.reshape(2, -1)
    return Fitted(physics, FASTEST_CREEP * jax.nn.sigmoid(creep), USUAL_SKEW * task.control_dt * skew)


def frictionless(task: Task, physics: Physics) -> Fitted:
    """Return physics that have no friction, which joints neither creep under nor rest by."""
    none = jnp.zeros(task.joints)
    return Fitted(physics, none, none)


def exact_model(
    rung: "PhysicsRung",
    task: Task,
    extra: Force = no_force,
    at: Callable[[Any], Fitted] = lambda theta: theta,
    substeps: int = SUBSTEPS,
) -> Model:
    """Return the model whose parameters hold `Fitted`, and an `extra` force on the joints.

    Where the simulator is not ours to integrate (`brax_task`), it is the rung's smooth one.
    """

    def force(theta: Any, q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
        return viscous_force(at(theta).physics.friction, qd) + extra(theta, q, qd, u)

    def dry(theta: Any) -> tuple[Callable[[jax.Array, jax.Array], jax.Array], jax.Array]:
        return functools.partial(mean_dry_level, at(theta).physics.friction), at(theta).creep

    from trainer.models.brax_model import BraxModel

    physics = lambda theta: at(theta).physics  # noqa: E731
    model = task.model(force, substeps, rung.arrange(physics))
    if not isinstance(model, BraxModel):
        return rung.with_force(task, extra, physics)
    return rung.late(task, dataclasses.replace(model, dry=dry), physics)


def measured(model: Model, task: Task, theta: Fitted, start: jax.Array, u: jax.Array) -> jax.Array:
    """Return x as it would be read from `start[n + m]`, itself a reading, under `u[L, m]`."""
    x = replay(model, theta, _read(task, start, -theta.skew), u)
    return _read(task, x, theta.skew)


def predicted_along(
    model: Model, task: Task, theta: Fitted, start: jax.Array, u: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return x[L, n + m] as it would be read, and A, G of each step of `model`, which takes `Pushed`."""
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
    """Return states whose positions are read `skew` later than velocities, where these come in pairs."""
    n, d = len(task.state_names), task.joints
    return x if task.positions != d else x.at[..., :d].add(skew * x[..., d:n])
