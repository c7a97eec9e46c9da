"""Plants of known friction for the study of coverage, and motion recorded on them.

Both are rigs with nearly true dry friction. `own`: the project's law, its sign smoothed over 2 mm/s, in
steps of 0.6 to 0.8 ms. `mujoco`: MuJoCo's C engine, damping and friction loss, in steps of 2 ms.

Notation
    x   true states of the episodes [E, n]      u   actions [E, m]
"""

import functools
from collections.abc import Callable
from importlib import resources
from typing import NamedTuple

import jax
import jax.numpy as jnp

# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from C and have no types.
import mujoco
import numpy as np

from trainer.dynamics.groups import joint_names
from trainer.dynamics.windows import Segment
from trainer.models.friction import Friction, friction_force
from trainer.models.physics import Physics, nominal, with_parameters
from trainer.tasks import load_task
from trainer.tasks.task import Task

EPISODES, SECONDS, HELD_STEPS = 4, 10.0, 5
WIDTH, SUBSTEPS = 0.002, 64
"""Of the project's law where it makes data [m/s or rad/s], and Runge-Kutta steps per control step."""
SPREAD = 0.3
"""Constants of friction are redrawn within ± this share of the typical ones."""
GAIN_SPREAD, MASS_SPREAD = 0.2, 0.15
NOISE_POSITION, NOISE_VELOCITY = 1e-3, 20e-3
"""[m or rad, and per second]"""
WORDS = ("viscous friction", "dry friction", "break-away excess", "Stribeck velocity")
LINKS = {"cartpole_swingup": 2, "pendulum": 1}
TYPICAL = {
    "cartpole_swingup": np.array([[10.0, 0.375], [19.0, 0.375], [12.0, 0.25], [0.1, 0.1]]),
    "pendulum": np.array([[0.03], [0.15], [0.08], [0.1]]),
}
"""Viscous, dry, break-away excess and Stribeck velocity of each joint."""
PENDULUM = """
<mujoco model="pendulum with damping and dry friction">
  <compiler inertiafromgeom="false"/>
  <option gravity="0 0 -9.81" timestep="0.002" integrator="implicitfast"/>
  <worldbody><body name="pendulum">
    <inertial pos="0 0 {centre}" mass="{mass}" diaginertia="{inertia} {inertia} 1e-6"/>
    <joint axis="0 1 0" name="hinge" type="hinge" damping="0.03" frictionloss="0.15"/>
  </body></worldbody>
  <actuator><motor ctrllimited="true" ctrlrange="-1 1" gear="2" joint="hinge"/></actuator>
</mujoco>
"""
Step = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Recorded(NamedTuple):
    """Motion as a rig's sensors told it, and the true value of what may be identified, by name."""

    segments: list[Segment]
    truth: dict[str, float]


def record(task: Task, source: str, noisy: bool, varied: frozenset[str], seed: int) -> Recorded:
    """Draw a plant and record excited motion, as much as a refit would see.

    `varied` of `gain` and `mass` are redrawn too (own source only), the others are the simulator's.
    """
    chance = np.random.default_rng([seed, 7])
    physics, truth = _drawn(task, source, varied, chance)
    step = (_own if source == "own" else _mujoco)(task, physics)
    steps = round(SECONDS / EPISODES / task.control_dt)
    x = np.stack([np.asarray(task.reset(jax.random.key(1000 * seed + e)), float) for e in range(EPISODES)])
    d = task.joints
    sigma = noisy * np.repeat([NOISE_POSITION, NOISE_VELOCITY], d)
    held = chance.uniform(-1.0, 1.0, (EPISODES, steps // HELD_STEPS + 1, 1))
    seen, actions = [x + sigma * chance.normal(size=x.shape)], []
    for t in range(steps):
        u = np.clip(0.6 * held[:, t // HELD_STEPS] + _pump(seen[-1], d), -1.0, 1.0)
        x = step(x, u)
        seen.append(x + sigma * chance.normal(size=x.shape))
        actions.append(u)
    y, u = np.stack(seen, axis=1), np.stack(actions, axis=1)
    return Recorded(
        [Segment(y[e].astype(np.float32), u[e].astype(np.float32)) for e in range(EPISODES)], truth
    )


def _pump(y: np.ndarray, d: int) -> np.ndarray:
    """Return actions [E, 1] that swing the last joint up, and bring a cart back to the middle."""
    velocity = y[:, -1]
    if d == 1:
        return 0.5 * np.sign(velocity)[:, None]
    swing = -0.5 * np.sign(velocity * np.cos(y[:, 1]))
    return (swing - 0.3 * y[:, 0] - 0.1 * y[:, d])[:, None]


def _drawn(
    task: Task, source: str, varied: frozenset[str], chance: np.random.Generator
) -> tuple[Physics, dict[str, float]]:
    typical = TYPICAL[task.name]
    law = typical * chance.uniform(1.0 - SPREAD, 1.0 + SPREAD, typical.shape)
    if source == "mujoco":
        law[2] = 0.0
    told = WORDS if source == "own" else WORDS[:2]
    truth = {
        f"{word} of {joint}": float(law[i, j])
        for i, word in enumerate(told)
        for j, joint in enumerate(joint_names(task))
    }
    physics = nominal(task.joints, 1, LINKS[task.name])._replace(
        friction=Friction(*(jnp.asarray(row, jnp.float32) for row in law))
    )
    if "gain" in varied:
        gain = chance.uniform(1.0 - GAIN_SPREAD, 1.0 + GAIN_SPREAD, 1)
        physics = physics._replace(gain=jnp.asarray(gain, jnp.float32))
    if "mass" in varied:
        mass = chance.uniform(1.0 - MASS_SPREAD, 1.0 + MASS_SPREAD, LINKS[task.name])
        physics = physics._replace(mass=jnp.asarray(mass, jnp.float32))
    return physics, truth


@functools.cache
def _compiled(name: str) -> Callable:
    task = load_task(name)

    def force(theta: Physics, q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
        return friction_force(theta.friction, qd, WIDTH)

    return jax.jit(jax.vmap(task.model(force, SUBSTEPS, with_parameters), (None, 0, 0)))


def _own(task: Task, physics: Physics) -> Step:
    model = _compiled(task.name)
    return lambda x, u: np.asarray(model(physics, jnp.asarray(x, float), jnp.asarray(u, float)), float)


def _mujoco(task: Task, physics: Physics) -> Step:
    model = mujoco.MjModel.from_xml_string(_xml(task))
    model.dof_damping[:] = np.asarray(physics.friction.viscous)
    model.dof_frictionloss[:] = np.asarray(physics.friction.dry)
    data, count = mujoco.MjData(model), round(task.control_dt / model.opt.timestep)

    def one(x: np.ndarray, u: np.ndarray) -> np.ndarray:
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:] = np.split(x, 2)
        data.ctrl[:] = u
        mujoco.mj_step(model, data, count)
        return np.concatenate([data.qpos, data.qvel])

    return lambda x, u: np.stack([one(*row) for row in zip(x, u, strict=True)])


def _xml(task: Task) -> str:
    if task.name == "cartpole_swingup":
        return resources.files("real_env.plants").joinpath("cart_pole_mujoco.xml").read_text()
    point, rod, length = 0.546, 0.13, 0.5
    mass, centre = point + rod, (point + 0.5 * rod) * length / (point + rod)
    inertia = (point + rod / 3.0) * length**2 - mass * centre**2
    return PENDULUM.format(mass=mass, centre=centre, inertia=inertia)
