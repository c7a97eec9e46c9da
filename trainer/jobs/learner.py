"""PODS and its evaluation, set up for a task and a dynamics model."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.stages import Wrapped

from trainer.compilation import SOONER, compiled, side_by_side
from trainer.dynamics.dynamics_model import DynamicsModel
from trainer.learning.compiled_pods import Compiled, compiled_pods
from trainer.learning.direction import gauss_newton
from trainer.learning.evaluation import evaluate
from trainer.learning.hds import Algorithm
from trainer.learning.labels import along_trajectory
from trainer.learning.pods import PODS
from trainer.learning.pods_state import PODSConfig
from trainer.learning.search import annealing
from trainer.learning.sharding import batch_mesh
from trainer.learning.starts import exploring_starts
from trainer.learning.value import ValueSpec
from trainer.models.model import Theta
from trainer.policy.network import PolicySpec
from trainer.tasks.action_history import with_action_history
from trainer.tasks.task import Task

HIDDEN = (64, 64)
VALUE_OUTPUTS = 8
DAMPING = 0.1
EXPLORING_SHARE, EXPLORING_STEPS = 0.5, 64
STEP_SIZES = (1.0, 0.5, 0.2, 0.05)


class Learner(NamedTuple):
    """Compiled parts, shared by all jobs of a worker with the same task and dynamics model.

    `task` is the plant's. The policy is trained on `with_action_history` of it.
    """

    task: Task
    dynamics: DynamicsModel
    policy: PolicySpec
    pods: PODS
    compiled: Compiled
    evaluate: Wrapped

    @property
    def algorithm(self) -> Algorithm:
        """The functions that a training calls."""
        return self.compiled.algorithm

    def compile(self, theta: Theta, validation_models: Theta) -> None:
        """Compile everything that a training in the models `theta` calls, in parallel.

        On several devices the functions are compiled at their first call, since the placement of the batch is
        unknown here.
        """
        if batch_mesh(self.pods.config.batch).size > 1:
            return
        calls, key = self.compiled.calls(theta), jax.random.key(0)
        policy = jax.eval_shape(self.policy.init, key)
        side_by_side((self.evaluate, (policy, validation_models, key)), *calls)


@functools.lru_cache(maxsize=4)
def learner(task: Task, chosen: DynamicsModel) -> Learner:
    """Return PODS and the evaluation for a dynamics model."""
    model = jax.jit(chosen.model(task))  # traced once
    seen = with_action_history(task, chosen.action_history)
    policy = PolicySpec(seen.features, HIDDEN, len(seen.action_names))
    pods = PODS(
        task=seen,
        model=model,
        policy=policy,
        value=ValueSpec(seen.features, HIDDEN, VALUE_OUTPUTS),
        starts=exploring_starts(seen, EXPLORING_SHARE, EXPLORING_STEPS),
        find_direction=gauss_newton(DAMPING),
        search=annealing(STEP_SIZES),
        make_targets=along_trajectory,
        config=PODSConfig(),
    )
    evaluation = compiled(evaluate(seen, model, policy), SOONER)
    return Learner(task, chosen, policy, pods, compiled_pods(pods), evaluation)


def stacked(theta: Any) -> Any:
    """Return an ensemble of one."""
    return jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf)[None]), theta)
