"""A body that floats has one more position than velocities: a quaternion."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.base import System
from brax.envs.base import PipelineEnv, State
from brax.io import mjcf

from trainer.compilation import ONCE, compiled
from trainer.dynamics.catalogue import DYNAMICS
from trainer.dynamics.dynamics_model import WINDOW_STEPS
from trainer.dynamics.linearise import missing_force
from trainer.dynamics.physics_dynamics import PhysicsDynamics, linearised
from trainer.dynamics.windows import Segment, make_windows
from trainer.learning.trajectory import rollout
from trainer.tasks.brax_task import brax_task
from trainer.tasks.task import Task

FLYWHEEL = """
<mujoco>
  <option timestep="0.04" gravity="0 0 0"/>
  <worldbody>
    <body>
      <freejoint/>
      <geom type="box" size="0.2 0.2 0.1" mass="2" contype="0" conaffinity="0"/>
      <body pos="0.3 0 0">
        <joint name="wheel" type="hinge" axis="0 0 1"/>
        <geom type="box" size="0.15 0.05 0.02" mass="0.5" contype="0" conaffinity="0"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="wheel" gear="0.2" ctrlrange="-1 1"/></actuator>
</mujoco>
"""
VISCOUS = 0.03
"""[N·m·s]"""


class Flywheel(PipelineEnv):
    """A satellite that turns itself by a wheel."""

    def __init__(self) -> None:
        system: System = mjcf.loads(FLYWHEEL)
        super().__init__(sys=system, backend="generalized", n_frames=1)

    def reset(self, rng: jax.Array) -> State:
        qd = 0.3 * jax.random.normal(rng, (self.sys.qd_size(),))
        return State(self.pipeline_init(self.sys.init_q, qd), qd, jnp.zeros(()), jnp.zeros(()))

    def step(self, state: State, action: jax.Array) -> State:
        raise NotImplementedError("learning steps the pipeline")


@cache
def task() -> Task:
    return brax_task(Flywheel(), lambda x, u: jnp.concatenate([x[7:], u]), episode_steps=50)


def recorded() -> list[Segment]:
    wheel = jnp.zeros(7).at[6].set(VISCOUS)
    model = task().model(lambda theta, q, qd, u: -wheel * qd, 1)
    drive = compiled(lambda start, pushes: rollout(model, None, lambda t, x: pushes[t], start, 60), ONCE)
    begin, segments = compiled(task().reset, ONCE), []
    for seed in range(2):
        pushes = jax.random.uniform(jax.random.key(seed), (60, 1), minval=-1.0, maxval=1.0)
        trajectory = drive(begin(jax.random.key(100 + seed)), pushes)
        segments.append(Segment(np.asarray(trajectory.x), np.asarray(trajectory.u)))
    return segments


def test_positions_and_velocities_are_counted_apart() -> None:
    assert (task().positions, task().joints, len(task().state_names)) == (8, 7, 15)


def test_the_force_that_the_simulator_misses_is_found_behind_a_quaternion() -> None:
    simulator, windows = PhysicsDynamics("simulator", ()), make_windows(recorded(), WINDOW_STEPS, 16)
    linear = linearised(simulator, task())(simulator.nominal_parameters(task()), windows)
    missed = missing_force(linear, task().positions, np.ones(linear.c.shape[0]))
    speed = np.sqrt(np.mean(windows.x[:, :-1, 14] ** 2))
    assert float(missed[6]) == pytest.approx(VISCOUS * speed, rel=0.1), "friction of the wheel"
    assert float(jnp.max(missed[:6])) < 0.05 * float(missed[6]), "and nothing else"


def test_a_network_that_pairs_positions_and_velocities_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="8 positions and 7 velocities: choose another"):
        DYNAMICS["black-box"].nominal_parameters(task())
