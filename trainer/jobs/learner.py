"""A task in a dynamics model, with the evaluation of policies, and the algorithm that learns there."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.stages import Wrapped

from trainer.compilation import SOONER, compiled, side_by_side
from trainer.dynamics.dynamics_model import DynamicsModel
from trainer.learning.algorithm import Algorithm, Problem
from trainer.learning.configuration import Configuration, NetworkConfig
from trainer.learning.evaluation import evaluate
from trainer.learning.sharding import batch_mesh
from trainer.models.model import Model, Theta
from trainer.policy.network import PolicySpec
from trainer.tasks.action_history import with_action_history
from trainer.tasks.task import Task


class Learner(NamedTuple):
    """Parts that all jobs of a worker with the same task, dynamics model and network share.

    `task` is the plant's. The policy is trained on `learned_task`, whose state may hold the last action.
    """

    task: Task
    learned_task: Task
    dynamics: DynamicsModel
    model: Model
    policy: PolicySpec
    evaluate: Wrapped

    def problem(self, configuration: Configuration) -> Problem:
        """Return the problem for an algorithm."""
        return Problem(self.learned_task, self.model, self.policy, configuration)

    def compile(self, algorithm: Algorithm[Any], theta: Theta, validation_models: Theta) -> None:
        """Compile everything that a training in the models `theta` calls, in parallel.

        On several devices the functions are compiled at their first call, since the placement of the batch is
        unknown here.
        """
        if batch_mesh(algorithm.batch).size > 1:
            return
        key = jax.random.key(0)
        policy = jax.eval_shape(self.policy.init, key)
        side_by_side((self.evaluate, (policy, validation_models, key)), *algorithm.calls(theta))


def learner(task: Task, dynamics: DynamicsModel, network: NetworkConfig | None = None) -> Learner:
    """Return the parts for a task in a dynamics model."""
    return _learner(task, dynamics, network or NetworkConfig())


@functools.lru_cache(maxsize=4)
def _learner(task: Task, dynamics: DynamicsModel, network: NetworkConfig) -> Learner:
    model = jax.jit(dynamics.model(task))  # traced once
    seen = with_action_history(task, dynamics.action_history)
    policy = PolicySpec(seen.features, network.policy_hidden, len(seen.action_names), network.activation)
    evaluation = compiled(evaluate(seen, model, policy), SOONER)
    return Learner(task, seen, dynamics, model, policy, evaluation)


def stacked(theta: Any) -> Any:
    """Return an ensemble of one."""
    return jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf)[None]), theta)
