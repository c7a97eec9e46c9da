"""How a job learns: PODS put together for one task and one rung of learned dynamics."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.stages import Wrapped

from trainer.dynamics.rung import Rung
from trainer.learning.compilation import SOONER, compiled, side_by_side
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
from trainer.learning.trajectory import Theta
from trainer.learning.value import ValueSpec
from trainer.policy.network import PolicySpec
from trainer.tasks.memory import with_memory
from trainer.tasks.task import Task

HIDDEN = (64, 64)
VALUE_OUTPUTS = 8
DAMPING = 0.1
EXPLORING_SHARE, EXPLORING_STEPS = 0.5, 64
STEP_SIZES = (1.0, 0.5, 0.2, 0.05)


class Learner(NamedTuple):
    """Compiled parts, shared by all jobs of one worker on one task and rung.

    `task` is the plant's; what the policy learns is `with_memory` of it, where the rung remembers actions.
    """

    task: Task
    rung: Rung
    policy: PolicySpec
    pods: PODS
    compiled: Compiled
    evaluate: Wrapped

    @property
    def algorithm(self) -> Algorithm:
        """What a training calls."""
        return self.compiled.algorithm

    def compile(self, theta: Theta, judged_in: Theta) -> None:
        """Compile all that a training in the models `theta` calls which is judged in the models `judged_in`.

        On several devices the batch lies spread over them, which is not known here: parts compile when they
        are called.
        """
        if batch_mesh(self.pods.config.batch).size > 1:
            return
        calls, key = self.compiled.calls(theta), jax.random.key(0)
        policy = jax.eval_shape(self.policy.init, key)
        side_by_side((self.evaluate, (policy, judged_in, key)), *calls)


@functools.lru_cache(maxsize=4)
def learner(task: Task, chosen: Rung) -> Learner:
    """Build PODS and the evaluation in the rung's family, which has the simulator in it."""
    model = jax.jit(chosen.model(task))  # so that it is traced once, however often the algorithm calls it
    seen = with_memory(task, chosen.memory)
    policy = PolicySpec(seen.features, HIDDEN, len(seen.action_names))
    pods = PODS(
        task=seen,
        model=model,
        policy=policy,
        value=ValueSpec(seen.features, HIDDEN, VALUE_OUTPUTS),
        starts=exploring_starts(seen, EXPLORING_SHARE, EXPLORING_STEPS),
        find_direction=gauss_newton(DAMPING),
        search=annealing(STEP_SIZES),
        teach=along_trajectory,
        config=PODSConfig(),
    )
    judge = compiled(evaluate(seen, model, policy), SOONER)
    return Learner(task, chosen, policy, pods, compiled_pods(pods), judge)


def stacked(theta: Any) -> Any:
    """Return an ensemble of one."""
    return jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf)[None]), theta)
