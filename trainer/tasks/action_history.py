"""A task whose state carries the last applied action, for plants on which actions act late.

Notation
    x   state of the plant                  [n]
    u   action                              [m]
    z   state and last action (x, u_last)   [n + m]
"""

import dataclasses

import jax
import jax.numpy as jnp

from trainer.policy.features import FeatureSpec
from trainer.tasks.task import Task


def with_action_history(task: Task, memory: int) -> Task:
    """Return `task` over z if `memory` is 1, or itself if 0; its `model` stays that of the plant's states."""
    if memory == 0:
        return task
    n, m = len(task.state_names), len(task.action_names)
    features = FeatureSpec(n + m, task.features.angles, (*task.features.scale, *(1.0,) * m))

    def explore(key: jax.Array) -> jax.Array:
        key_state, key_action = jax.random.split(key)
        return jnp.concatenate([task.explore(key_state), jax.random.uniform(key_action, (m,), minval=-1.0)])

    return dataclasses.replace(
        task,
        state_names=(*task.state_names, *(f"last {name}" for name in task.action_names)),
        features=features,
        residual=lambda z, u: task.residual(z[:n], u),
        terminated=lambda z: task.terminated(z[:n]),
        reset=lambda key: jnp.concatenate([task.reset(key), jnp.zeros(m)]),
        explore=explore,
        success=lambda z: task.success(z[:, :n]),
    )
