"""Our simulator's Runge-Kutta step with Brax's own equations of motion, to compare with."""

from typing import Any

import jax
import jax.numpy as jnp
from brax import kinematics
from brax.base import System
from brax.generalized import dynamics, mass
from brax.generalized.base import State

from trainer.models.brax_model import BraxModel, no_force
from trainer.models.model import Model
from trainer.tasks.task import Task


def brax_dynamics(task: Task) -> Model:
    """Return one control step of `task`'s frictionless system by `brax.generalized`.

    Raises:
        ValueError: if the task's simulator is not a `BraxModel`.
    """
    model = task.model(no_force, 1)
    if not isinstance(model, BraxModel):
        raise ValueError(
            f"{task.name!r} has physics of its own; choose a task whose simulator is a BraxModel"
        )
    system, motors = model.system, model.system.actuator

    def step(theta: Any, x: jax.Array, u: jax.Array) -> jax.Array:
        del theta
        tau = jnp.zeros(system.qd_size()).at[jnp.asarray(motors.qd_id)].add(motors.gear * motors.gain * u)

        def rate(x: jax.Array) -> jax.Array:
            q, qd = jnp.split(x, 2)
            return jnp.concatenate([qd, _acceleration(system, q, qd, tau)])

        def stage(carry: tuple, row: tuple) -> tuple[tuple, None]:
            slope, total = carry
            node, weight = row
            slope = rate(x + node * task.control_dt * slope)
            return (slope, total + weight * task.control_dt * slope), None

        rows = (jnp.array([0.0, 0.5, 0.5, 1.0]), jnp.array([1.0, 2.0, 2.0, 1.0]) / 6.0)
        return jax.lax.scan(stage, (jnp.zeros_like(x), x), rows)[0][1]

    return step


def _acceleration(system: System, q: jax.Array, qd: jax.Array, tau: jax.Array) -> jax.Array:
    state = dynamics.transform_com(system, State.init(q, qd, *kinematics.forward(system, q, qd)))
    return jnp.linalg.solve(mass.matrix(system, state), dynamics.forward(system, state, tau))
