"""Keep an upright pole up for 40 s; at 0.2 rad it is lost.

State, action, model and cost of a step are those of `cartpole_swingup`.
"""

import dataclasses

import jax
import jax.numpy as jnp

from trainer.tasks import cartpole_swingup

LOST_ANGLE = 0.2
START_SPREAD = (0.1, 0.05, 0.1, 0.1)
EXPLORE_SPREAD = (1.0, 0.2, 1.0, 1.0)
FAILURE = 2.0
"""More than any recovery from within 0.2 rad costs; much more makes the value too steep to learn."""


def _near_upright(spread: tuple[float, ...], key: jax.Array) -> jax.Array:
    return jnp.asarray(spread) * jax.random.uniform(key, (4,), minval=-1.0, maxval=1.0)


def _lost(x: jax.Array) -> jax.Array:
    return jnp.abs(x[1]) > LOST_ANGLE


def _survived(x: jax.Array) -> jax.Array:
    return ~jnp.any(jax.vmap(_lost)(x))


TASK = dataclasses.replace(
    cartpole_swingup.TASK,
    name="cartpole_balance",
    episode_steps=1000,
    terminated=_lost,
    failure=FAILURE,
    reset=lambda key: _near_upright(START_SPREAD, key),
    explore=lambda key: _near_upright(EXPLORE_SPREAD, key),
    success=_survived,
)
