"""Swing a hanging pendulum up with a motor too weak to lift it at once, and keep it upright.

The geometry is that of the user's rig: `pendulum(mass=..., length=...)` gives a task with other numbers, and
`TASK` has those of a common table-top rig. The motor holds at most 2 N·m, two thirds of what holds the
pendulum level, so that it takes several swings.

Notation
    x   (angle [rad, 0 = upright, unwrapped], velocity [rad/s])
    u   torque of the motor, 1 = `torque` [N·m]
"""

import jax
import jax.numpy as jnp

from trainer.models.force import Force, SystemTransform, identity
from trainer.policy.features import FeatureSpec
from trainer.tasks.task import Simulator, Task

CONTROL_DT = 0.05
EPISODE_STEPS = 160
JUDGED_STEPS = 20
UPRIGHT = 0.95

_XML = """
<mujoco model="pendulum">
  <compiler inertiafromgeom="false"/>
  <default><joint armature="0" damping="0" limited="false"/></default>
  <option gravity="0 0 -9.81" timestep="0.02"/>
  <worldbody>
    <body name="pendulum" pos="0 0 0">
      <inertial pos="0 0 {centre}" mass="{mass}" diaginertia="{inertia} {inertia} {along}"/>
      <joint axis="0 1 0" name="hinge" type="hinge"/>
    </body>
  </worldbody>
  <actuator><motor ctrllimited="true" ctrlrange="-1 1" gear="{torque}" joint="hinge" name="motor"/></actuator>
</mujoco>
"""


def _residual(x: jax.Array, u: jax.Array) -> jax.Array:
    angle, velocity = x
    return jnp.stack([jnp.cos(angle) - 1.0, jnp.sin(angle), 0.05 * velocity, 0.05 * u[0]])


def _reset(key: jax.Array) -> jax.Array:
    spread = jnp.array([0.3, 0.3])
    return jnp.array([jnp.pi, 0.0]) + jax.random.uniform(key, (2,), minval=-spread, maxval=spread)


def _explore(key: jax.Array) -> jax.Array:
    spread = jnp.array([jnp.pi, 8.0])
    return jax.random.uniform(key, (2,), minval=-spread, maxval=spread)


def _success(x: jax.Array) -> jax.Array:
    return jnp.mean(jnp.cos(x[-JUDGED_STEPS:, 0]) > UPRIGHT) >= 0.9


def _never(x: jax.Array) -> jax.Array:
    del x
    return jnp.zeros((), bool)


def pendulum(
    mass: float = 0.546,
    length: float = 0.5,
    rod_mass: float = 0.13,
    torque: float = 2.0,
    control_dt: float = CONTROL_DT,
    name: str = "pendulum",
) -> Task:
    """Return the task for a point mass at the end of a uniform rod.

    Args:
        mass: of the point [kg].
        length: from the axis to the point, which is the rod's end [m].
        rod_mass: of the rod [kg].
        torque: of the motor at u = 1 [N·m].
        control_dt: control step [s].
        name: as in `--task`.

    Raises:
        ValueError: a length, a torque, a control step or the masses' sum that is not positive.
    """
    for what, value in (("length", length), ("torque", torque), ("control_dt", control_dt)):
        if not value > 0.0:
            raise ValueError(f"{what} must be positive; got {value:g}")
    total = mass + rod_mass
    if min(mass, rod_mass) < 0.0 or not total > 0.0:
        raise ValueError(f"masses must not be negative, nor both 0; got {mass:g} and {rod_mass:g} kg")
    centre = (mass + 0.5 * rod_mass) * length / total
    about_axis = (mass + rod_mass / 3.0) * length**2
    inertia = max(about_axis - total * centre**2, 1e-6)
    xml = _XML.format(centre=centre, mass=total, inertia=inertia, along=1e-6, torque=torque)

    def model(force: Force, substeps: int, system_transform: SystemTransform = identity) -> Simulator:
        from trainer.models.brax_model import BraxModel, load_system

        return BraxModel(load_system(xml), control_dt, substeps, force, system_transform)

    return Task(
        name=name,
        state_names=("angle [rad]", "velocity [rad/s]"),
        action_names=(f"torque [{torque:g} N·m]",),
        control_dt=control_dt,
        episode_steps=round(EPISODE_STEPS * CONTROL_DT / control_dt),
        features=FeatureSpec(state_size=2, angles=(0,), scale=(1.0, 5.0)),
        residual=_residual,
        terminated=_never,
        reset=_reset,
        explore=_explore,
        success=_success,
        model=model,
    )


TASK = pendulum()
