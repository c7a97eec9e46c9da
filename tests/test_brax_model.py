from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainer.compilation import ONCE, compiled
from trainer.learning.trajectory import rollout
from trainer.models.brax_model import BraxModel, load_system
from trainer.models.force import Force, no_force
from trainer.models.friction import Friction, friction_force
from trainer.tasks import load_task

TASK = load_task("cartpole_swingup")


def soon(function: Callable) -> Callable:
    """Return `function`, to be compiled with the least work: that is what takes long here."""
    return compiled(function, ONCE)


def with_force(force: Force) -> BraxModel:
    model = TASK.model(force, 1)
    assert isinstance(model, BraxModel)
    return model


FREE = with_force(no_force)
FRICTION = Friction(*(jnp.array(v) for v in ([8.0, 0.3], [15.0, 0.3], [9.0, 0.2], [0.1, 0.1])))
DAMPED = with_force(lambda theta, q, qd, u: friction_force(theta, qd))
STATES = [[0.0, np.pi + 0.6, 0.0, 0.0], [0.3, 1.0, -0.5, 2.0], [-1.0, -2.5, 1.5, -4.0]]


@pytest.mark.parametrize("pole", [np.pi + 0.6, 0.5], ids=["hanging + 0.6 rad", "0.5 rad off upright"])
def test_energy_drifts_less_than_one_percent_in_1000_steps(pole: float) -> None:
    start = jnp.array([0.0, pole, 0.0, 0.0])
    states = soon(lambda x: rollout(FREE, None, lambda t, x: jnp.zeros(1), x, 1000).x)(start)
    energy = soon(jax.vmap(FREE.energy))(states)
    hanging = FREE.energy(jnp.array([0.0, jnp.pi, 0.0, 0.0]))
    assert float(jnp.max(jnp.abs(energy - energy[0]))) < 0.01 * float(energy[0] - hanging)


@pytest.mark.parametrize("x", STATES)
@pytest.mark.parametrize(("model", "theta"), [(FREE, None), (DAMPED, FRICTION)], ids=["free", "friction"])
def test_jacobians_of_one_step_equal_central_differences(x: list, model: BraxModel, theta: object) -> None:
    point = jnp.array([*x, 0.4])
    step = soon(lambda z: model(theta, z[:4], z[4:]))
    jacobian = soon(jax.jacfwd(lambda z: model(theta, z[:4], z[4:])))(point)
    h = 1e-2
    offsets = h * jnp.eye(5)
    numeric = jnp.stack([(step(point + d) - step(point - d)) / (2 * h) for d in offsets], axis=1)
    np.testing.assert_allclose(jacobian, numeric, atol=5e-3, rtol=5e-3)


def test_the_gradient_of_a_rollout_equals_central_differences() -> None:
    start = jnp.array([0.1, 2.5, 0.2, -0.5])

    def height(u: jax.Array) -> jax.Array:
        return jnp.cos(rollout(DAMPED, FRICTION, lambda t, x: u[t], start, 10).x[-1, 1])

    u = 0.5 * jnp.sin(jnp.arange(10.0))[:, None]
    gradient, final_height = soon(jax.jacfwd(height))(u), soon(height)
    h = 2e-2
    for t in range(10):
        numeric = (final_height(u.at[t].add(h)) - final_height(u.at[t].add(-h))) / (2 * h)
        np.testing.assert_allclose(gradient[t, 0], numeric, atol=2e-3, rtol=2e-2)


def test_friction_only_takes_energy_away() -> None:
    start = jnp.array([0.0, 1.0, 1.0, 3.0])
    states = soon(lambda x: rollout(DAMPED, FRICTION, lambda t, x: jnp.zeros(1), x, 100).x)(start)
    energy = np.asarray(soon(jax.vmap(DAMPED.energy))(states))
    assert np.all(np.diff(energy) <= 1e-3 * abs(energy[0]))


def test_free_joints_are_refused_by_name() -> None:
    xml = '<mujoco><worldbody><body><freejoint/><geom size="0.1"/></body></worldbody></mujoco>'
    with pytest.raises(ValueError, match="slide and hinge joints only; link types are \\['f'\\]"):
        BraxModel(load_system(xml), 0.04)


SLIDE = """
<mujoco>
  <worldbody><body><joint name="cart" type="slide" axis="1 0 0"{joint}/><geom size="0.1"/></body></worldbody>
  <actuator>{actuator}</actuator>
</mujoco>
"""
MOTOR = '<motor joint="cart" gear="10" ctrllimited="true" ctrlrange="-1 1"/>'


@pytest.mark.parametrize(
    ("joint", "actuator", "told"),
    [
        (' limited="true" range="-1 1"', MOTOR, "no joint limits"),
        ("", '<position joint="cart" kp="5" ctrllimited="true" ctrlrange="-1 1"/>', "no servos"),
        ("", MOTOR.replace("-1 1", "-3 3"), "no control range other than -1 to 1"),
        ("", MOTOR.replace("/>", ' forcelimited="true" forcerange="-5 5"/>'), "no force range"),
    ],
)
def test_what_the_equations_would_leave_out_is_refused_by_name(joint: str, actuator: str, told: str) -> None:
    BraxModel(load_system(SLIDE.format(joint="", actuator=MOTOR)), 0.04)
    with pytest.raises(ValueError, match=told):
        BraxModel(load_system(SLIDE.format(joint=joint, actuator=actuator)), 0.04)
