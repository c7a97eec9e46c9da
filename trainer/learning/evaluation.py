"""Success and cost of a policy in a model."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from trainer.learning.trajectory import Objective, Trajectory, rollout, running_costs, total_cost, weights
from trainer.models.model import Model, Theta
from trainer.policy.network import Parameters, PolicySpec
from trainer.tasks.task import Task


class Evaluation(NamedTuple):
    """Scores of episodes: `success[B]` and `cost[B]` (sum over the episode)."""

    success: jax.Array
    cost: jax.Array


Evaluate = Callable[[Parameters, Theta, jax.Array], Evaluation]
"""`(parameters, theta[B], key) -> Evaluation` over B episodes, one in each model."""


def evaluate_episode(task: Task, x: jax.Array, u: jax.Array) -> Evaluation:
    """Score one episode with states `x[T + 1, n]` and actions `u[T, m]`; steps after its end cost nothing.

    An episode that terminates, or whose states do not stay finite, is no success.
    """
    return Evaluation(succeeded(task, x), total_cost(_objective(task), Trajectory(x, u)))


def succeeded(task: Task, x: jax.Array) -> jax.Array:
    """Return whether an episode with states `x[T + 1, n]` is a success, as a boolean."""
    whole = jnp.all(jnp.isfinite(x)) & ~jnp.any(jax.vmap(task.terminated)(x))
    return task.success(x) & whole


def cost_of_first(task: Task, x: jax.Array, u: jax.Array, steps: jax.Array) -> jax.Array:
    """Return the cost of the first `steps` of an episode `x[T + 1, n]`, `u[T, m]`.

    It equals that of `evaluate_episode` for these steps alone, and one compilation serves episodes of many
    lengths.
    """
    objective, trajectory = _objective(task), Trajectory(x, u)
    w = weights(objective, x)
    failed = task.failure * ((w[:-1] > 0.0) & (w[1:] == 0.0))
    costs = jnp.where(w[:-1] > 0.0, running_costs(objective, trajectory), 0.0) * w[:-1] + failed * w[:-1]
    cost = jnp.sum(jnp.where(jnp.arange(len(u)) < steps, costs, 0.0))
    return jnp.where(jnp.isfinite(cost), cost, jnp.inf)


def _objective(task: Task) -> Objective:
    """Return the cost of a whole episode, without discount and without a terminal cost."""
    nothing_ahead = lambda x: jnp.zeros(1)  # noqa: E731
    return Objective(task.residual, nothing_ahead, task.terminated, 1.0, task.failure)


def evaluate(task: Task, model: Model, policy: PolicySpec) -> Evaluate:
    """Return the evaluation of `policy` in `model`; start states are drawn from the key."""

    def episode(parameters: Parameters, theta: Theta, key: jax.Array) -> Evaluation:
        law = lambda t, x: policy.apply(parameters, x)  # noqa: E731
        trajectory = rollout(model, theta, law, task.reset(key), task.episode_steps)
        return evaluate_episode(task, trajectory.x, trajectory.u)

    def run(parameters: Parameters, theta: Theta, key: jax.Array) -> Evaluation:
        episodes = jax.tree.leaves(theta)[0].shape[0]
        keys = jax.random.split(key, episodes)
        return jax.vmap(episode, (None, 0, 0))(parameters, theta, keys)

    return run
