"""Success and cost of a policy in a model."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from trainer.learning.trajectory import Model, Objective, Theta, Trajectory, rollout, total_cost
from trainer.policy.network import Parameters, PolicySpec
from trainer.tasks.task import Task


class Evaluation(NamedTuple):
    """Scores of episodes: `success[B]` and `cost[B]` (sum over the episode)."""

    success: jax.Array
    cost: jax.Array


Evaluate = Callable[[Parameters, Theta, jax.Array], Evaluation]
"""`(parameters, theta[B], key) -> Evaluation` over B episodes, one in each model."""


def score(task: Task, x: jax.Array, u: jax.Array) -> Evaluation:
    """Score one episode with states `x[T + 1, n]` and actions `u[T, m]`; after its end nothing costs.

    An episode that terminates, or whose states do not stay finite, is no success whatever follows.
    """
    nothing_ahead = lambda x: jnp.zeros(1)  # noqa: E731
    objective = Objective(task.residual, nothing_ahead, task.terminated, 1.0, task.failure)
    whole = jnp.all(jnp.isfinite(x)) & ~jnp.any(jax.vmap(task.terminated)(x))
    return Evaluation(task.success(x) & whole, total_cost(objective, Trajectory(x, u)))


def evaluate(task: Task, model: Model, policy: PolicySpec) -> Evaluate:
    """Return the evaluation of `policy` in `model`; start states are drawn from the key."""

    def episode(parameters: Parameters, theta: Theta, key: jax.Array) -> Evaluation:
        law = lambda t, x: policy.apply(parameters, x)  # noqa: E731
        trajectory = rollout(model, theta, law, task.reset(key), task.episode_steps)
        return score(task, trajectory.x, trajectory.u)

    def run(parameters: Parameters, theta: Theta, key: jax.Array) -> Evaluation:
        episodes = jax.tree.leaves(theta)[0].shape[0]
        keys = jax.random.split(key, episodes)
        return jax.vmap(episode, (None, 0, 0))(parameters, theta, keys)

    return run
