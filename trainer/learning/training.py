"""The training loop: epochs of an algorithm, with evaluations, of which the best policy is kept."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from trainer.learning.algorithm import Algorithm, EpochInfo, State
from trainer.learning.configuration import TrainingConfig
from trainer.learning.evaluation import Evaluate
from trainer.models.model import Theta
from trainer.policy.network import Parameters


class Best(NamedTuple):
    """The best policy so far, its state, and its scores in the validation models."""

    policy: Parameters
    state: Any
    success: float
    cost: float


class EpochProgress(NamedTuple):
    """One epoch: its number from 1, its figures, and the best policy once one was evaluated."""

    epoch: int
    info: EpochInfo
    best: Best | None


def train(
    algorithm: Algorithm[State],
    evaluate: Evaluate,
    theta: Theta,
    validation_models: Theta,
    config: TrainingConfig,
    key: jax.Array,
    warm: Mapping[str, Any] | None = None,
) -> Iterator[EpochProgress]:
    """Yield the progress of each epoch; the last one's `best` is the policy to publish.

    The success rate fluctuates, so the best policy by success, then cost, over episodes in
    `validation_models` is kept; a policy that starts from the networks `warm` takes part. Real data are not
    used for that choice.
    """
    key_init, key_evaluate, key = jax.random.split(key, 3)
    state, best = algorithm.init(key_init), None
    if warm is not None:
        state = algorithm.warm_start(state, warm)
        best = _evaluated(algorithm, evaluate, state, validation_models, key_evaluate)
    for epoch in range(config.epochs):
        state, theta = algorithm.place(state, theta)
        state, info = algorithm.step(state, theta, epoch, key)
        last = epoch + 1 == config.epochs
        if last or (epoch >= config.epochs // 4 and (epoch + 1) % config.check_every == 0):
            found = _evaluated(algorithm, evaluate, state, validation_models, key_evaluate)
            if best is None or (found.success, -found.cost) > (best.success, -best.cost):
                best = found
        yield EpochProgress(epoch + 1, info, best)


def _evaluated(
    algorithm: Algorithm[State], evaluate: Evaluate, state: State, models: Theta, key: jax.Array
) -> Best:
    policy = algorithm.policy(state)
    found = evaluate(policy, models, key)
    return Best(policy, state, float(jnp.mean(found.success)), float(jnp.mean(found.cost)))
