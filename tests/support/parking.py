"""A small task, to park a mass, and learners for it."""

import functools

import jax
import jax.numpy as jnp

from trainer.compilation import ONCE, compiled
from trainer.learning.compiled_pods import Compiled
from trainer.learning.configuration import HDSConfig, PODSConfig
from trainer.learning.hds import HDS
from trainer.learning.labels import along_trajectory
from trainer.learning.pods import PODS
from trainer.learning.starts import reset_starts
from trainer.learning.value import ValueSpec
from trainer.policy.features import FeatureSpec
from trainer.policy.network import PolicySpec
from trainer.tasks.task import Task

DT = 0.1


FEATURES = FeatureSpec(2, (), (1.0, 1.0))


def push(theta: jax.Array, x: jax.Array, u: jax.Array) -> jax.Array:
    """Return the next state of a unit mass; theta is its viscous friction."""
    return jnp.stack([x[0] + DT * x[1], x[1] + DT * (2.0 * u[0] - theta * x[1])])


def no_model(force: object, substeps: int) -> None:
    raise NotImplementedError


TASK = Task(
    name="park",
    state_names=("place [m]", "velocity [m/s]"),
    action_names=("push [2 N]",),
    control_dt=DT,
    episode_steps=60,
    features=FEATURES,
    residual=lambda x, u: jnp.stack([x[0], 0.3 * x[1], 0.1 * u[0]]),
    terminated=lambda x: jnp.abs(x[0]) > 4.0,
    reset=lambda key: jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0),
    explore=lambda key: jax.random.uniform(key, (2,), minval=-2.0, maxval=2.0),
    success=lambda x: jnp.all(jnp.abs(x[-10:, 0]) < 0.1),
    model=no_model,  # pyright: ignore[reportArgumentType]
)


SPEC = PolicySpec(FEATURES, (32, 32), 1)


CONFIG = PODSConfig(batch=32, horizon=8, regression_steps=60, minibatch=128)


STARTS = reset_starts(TASK)


VALUE = ValueSpec(FEATURES, (32, 32), 4)


EPOCHS = 250


def soon(parts: PODS, epochs: int = EPOCHS) -> HDS:
    """Return `parts`, compiled with the least work: that is what takes long here, not their few epochs."""
    made = Compiled(*(compiled(part, ONCE) for part in (parts.init, parts.improve, parts.regress)))
    return HDS(parts, made, HDSConfig(), epochs)


@functools.cache
def learner(find_direction: object, search: object, epochs: int = EPOCHS) -> HDS:
    parts = PODS(TASK, push, SPEC, VALUE, STARTS, find_direction, search, along_trajectory, CONFIG)  # pyright: ignore[reportArgumentType]
    return soon(parts, epochs)
