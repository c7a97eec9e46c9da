"""Swing a hanging pole up on a cart, and keep it there near the middle of an unbounded rail.

Notation
    x   (cart [m], pole [rad, 0 = upright], cart velocity [m/s], pole velocity [rad/s])
    u   push on the cart, 1 = 100 N along the rail
"""

import importlib.resources

import jax
import jax.numpy as jnp

from trainer.models.force import Force, SystemTransform, identity
from trainer.policy.features import FeatureSpec
from trainer.tasks.task import Simulator, Task

CONTROL_DT = 0.04
JUDGED_STEPS = 25
UPRIGHT = 0.95


def _residual(x: jax.Array, u: jax.Array) -> jax.Array:
    cart, pole, cart_velocity, pole_velocity = x
    return jnp.stack(
        [
            jnp.cos(pole) - 1.0,
            jnp.sin(pole),
            0.3 * cart,
            0.03 * cart_velocity,
            0.03 * pole_velocity,
            0.05 * u[0],
        ]
    )


def _reset(key: jax.Array) -> jax.Array:
    spread = jnp.array([0.5, 0.6, 0.5, 0.5])
    return jnp.array([0.0, jnp.pi, 0.0, 0.0]) + jax.random.uniform(key, (4,), minval=-spread, maxval=spread)


def _explore(key: jax.Array) -> jax.Array:
    spread = jnp.array([1.0, jnp.pi, 2.0, 6.0])
    return jax.random.uniform(key, (4,), minval=-spread, maxval=spread)


def _success(x: jax.Array) -> jax.Array:
    return jnp.mean(jnp.cos(x[-JUDGED_STEPS:, 1]) > UPRIGHT) >= 0.9


def _never(x: jax.Array) -> jax.Array:
    del x
    return jnp.zeros((), bool)


def _model(force: Force, substeps: int, system_transform: SystemTransform = identity) -> Simulator:
    from trainer.models.brax_model import BraxModel, load_system

    xml = importlib.resources.files("trainer.tasks").joinpath("cartpole.xml").read_text()
    return BraxModel(load_system(xml), CONTROL_DT, substeps, force, system_transform)


TASK = Task(
    name="cartpole_swingup",
    state_names=("cart [m]", "pole [rad]", "cart velocity [m/s]", "pole velocity [rad/s]"),
    action_names=("push [100 N]",),
    control_dt=CONTROL_DT,
    episode_steps=150,
    features=FeatureSpec(state_size=4, angles=(1,), scale=(1.0, 1.0, 2.0, 5.0)),
    residual=_residual,
    terminated=_never,
    reset=_reset,
    explore=_explore,
    success=_success,
    model=_model,
)
