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

from trainer.models.force import Force, SystemTransform, identity, no_force
from trainer.models.quiet_import import without_warp_notice

with without_warp_notice():
    from brax import actuator, kinematics
    from brax.base import State, System
    from brax.envs.base import PipelineEnv
    from brax.generalized import constraint, dynamics, integrator, mass, pipeline
    from brax.generalized.base import State as GeneralizedState


@dataclass(frozen=True, eq=False)
class PipelineModel:
    """One control step of `env`; `force` acts on the joints besides motors, contacts and limits.

    `system_transform` changes the system by theta.

    Raises:
        ValueError: for either on a backend other than `generalized`, whose step has no place for them.
    """

    env: PipelineEnv
    force: Force = no_force
    system_transform: SystemTransform = identity

    def __post_init__(self) -> None:
        if self._changed and self.env.backend != "generalized":
            raise ValueError(
                f"a force on the joints or another system needs the backend 'generalized'; this "
                f"environment's is {self.env.backend!r}"
            )

    @property
    def links(self) -> tuple[str, ...]:
        """Names of the moving bodies, in the order of their masses."""
        return tuple(self.env.sys.link_names)

    @property
    def joints(self) -> int:
        """Number of joint velocities."""
        return self.env.sys.qd_size()

    @property
    def _changed(self) -> bool:
        return self.force is not no_force or self.system_transform is not identity

    def __call__(self, theta: Any, x: jax.Array, u: jax.Array) -> jax.Array:
        """Return x_next[nq + nv]."""
        q, qd = jnp.split(x, [self.env.sys.q_size()])
        control = to_control(self.env.sys, u)
        if not self._changed:
            return state_of(self.env.pipeline_step(self.env.pipeline_init(q, qd), control))
        system = self.system_transform(theta, self.env.sys)

        def substep(state: GeneralizedState, _: None) -> tuple[GeneralizedState, None]:
            tau = actuator.to_tau(system, control, state.q, state.qd)
            extra = self.force(theta, state.q, state.qd, u)
            return _generalized_step(system, state, tau + extra), None

        state, _ = jax.lax.scan(substep, pipeline.init(system, q, qd), None, self.env._n_frames)
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
