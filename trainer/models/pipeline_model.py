"""A Brax environment's own physics as a `Model`: contacts, joint limits, any backend, the environment's step.

Unlike `BraxModel` nothing is integrated anew here: one control step is the environment's `pipeline_step`,
with whatever friction its integrator and its file bring along. Brax solves contacts with `while_loop`s;
forward-mode differentiation, all that learning here needs, goes through them.

Notation
    q, qd   generalised positions and velocities         [nq], [nv]   m, rad or quaternion, and per second
    x       state (q, qd)                                [nq + nv]
    u       action in [-1, 1], scaled to the actuators   [m]
"""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from trainer.models.brax_model import Force, no_force
from trainer.models.quiet_import import without_warp_notice

with without_warp_notice():
    from brax import actuator, kinematics
    from brax.base import State, System
    from brax.envs.base import PipelineEnv
    from brax.generalized import constraint, dynamics, integrator, mass
    from brax.generalized.base import State as GeneralizedState


@dataclass(frozen=True, eq=False)
class PipelineModel:
    """One control step of `env`; `force` acts on the joints besides motors, contacts and limits.

    Raises:
        ValueError: for a `force` on a backend other than `generalized`, whose step has no place for one.
    """

    env: PipelineEnv
    force: Force = no_force

    def __post_init__(self) -> None:
        if self.force is not no_force and self.env.backend != "generalized":
            raise ValueError(
                f"a force on the joints needs the backend 'generalized'; this environment's is "
                f"{self.env.backend!r}"
            )

    def __call__(self, theta: Any, x: jax.Array, u: jax.Array) -> jax.Array:
        """Return x_next[nq + nv]."""
        system = self.env.sys
        q, qd = jnp.split(x, [system.q_size()])
        control = to_control(system, u)
        state = self.env.pipeline_init(q, qd)
        if self.force is no_force:
            return state_of(self.env.pipeline_step(state, control))

        def substep(state: GeneralizedState, _: None) -> tuple[GeneralizedState, None]:
            tau = actuator.to_tau(system, control, state.q, state.qd)
            extra = self.force(theta, state.q, state.qd, u)
            return _generalized_step(system, state, tau + extra), None

        assert isinstance(state, GeneralizedState)
        state, _ = jax.lax.scan(substep, state, None, self.env._n_frames)
        return state_of(state)


def state_of(state: State) -> jax.Array:
    """Return x[nq + nv] of a pipeline state."""
    return jnp.concatenate([state.q, state.qd])


def to_control(system: System, u: jax.Array) -> jax.Array:
    """Scale u[m] from [-1, 1] to the actuators' control ranges, which Brax leaves to the caller."""
    low, high = system.actuator.ctrl_range.T
    bounded = jnp.isfinite(low) & jnp.isfinite(high)
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    return jnp.where(bounded, middle + half * u, u)


def _generalized_step(system: System, state: GeneralizedState, tau: jax.Array) -> GeneralizedState:
    """Return the state after one step of Brax's generalized pipeline under the joint force tau[nv]."""
    state = replace(state, qf_smooth=dynamics.forward(system, state, tau))
    state = replace(state, qf_constraint=constraint.force(system, state))
    state = integrator.integrate(system, state)
    pose, motion = kinematics.forward(system, state.q, state.qd)
    state = dynamics.transform_com(system, replace(state, x=pose, xd=motion))
    state = mass.matrix_inv(system, state, system.matrix_inv_iterations)
    return constraint.jacobian(system, state)
