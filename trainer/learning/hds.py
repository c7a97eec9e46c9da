"""HDS: hybrid differentiable simulation. PODS in several models, with exploration noise and annealing.

A fixed share of the trajectories runs in dynamics learned from real data, the others in the simulator.
Exploration noise on the actions and the temperature of the step-size annealing fall with every epoch. A
dynamics model contains the simulator, so the mixture is a stack of parameters, without branches in the
numerics.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trainer.learning.evaluation import Evaluate
from trainer.learning.pods_state import PODSInfo, PODSState, Schedule
from trainer.learning.sharding import batch_mesh, shard
from trainer.models.model import Theta
from trainer.policy.network import Parameters

NETWORKS = ("policy", "average", "value", "target_value")
"""The fields of a state that a warm start takes over."""


@dataclass(frozen=True)
class HDSConfig:
    """How HDS runs PODS.

    Attributes:
        epochs: number of epochs.
        noise: standard deviation of the exploration noise on the actions at the first epoch; falls
            linearly to 0.
        temperature: of the step-size annealing at the first epoch, in units of cost; falls to 0 with
            the square of the share left.
        learning_rate: at the first epoch.
        final_learning_rate: at the last; in between it decays geometrically.
        average_rate: share of the policy's parameters that its average takes over at the first epoch.
        final_average_rate: at the last; in between it decays geometrically. The average follows the policy
            early, and spans many epochs late, so that a few bad epochs do not spoil it.
        check_every: epochs between evaluations after the first quarter of the training.
    """

    epochs: int = 250
    noise: float = 0.1
    temperature: float = 0.02
    learning_rate: float = 2e-3
    final_learning_rate: float = 2e-4
    average_rate: float = 0.5
    final_average_rate: float = 0.016
    check_every: int = 4


class Algorithm(NamedTuple):
    """PODS, or another learner of its form: `init(key) -> state`, and `step`, usually jitted."""

    init: Callable[[jax.Array], PODSState]
    step: Callable[[PODSState, Theta, Schedule, jax.Array], tuple[PODSState, PODSInfo]]


class Best(NamedTuple):
    """The best policy so far, its state, and its scores in the validation models."""

    policy: Parameters
    state: PODSState
    success: float
    cost: float


class HDSProgress(NamedTuple):
    """One epoch: its number from 1, its figures, and the best policy once one was evaluated."""

    epoch: int
    info: PODSInfo
    best: Best | None


def schedule(config: HDSConfig, epoch: int) -> Schedule:
    """Return the schedule of `epoch`, counted from 0."""
    left = 1.0 - epoch / config.epochs
    falling = lambda first, last: jnp.asarray(first * (last / first) ** (1.0 - left))  # noqa: E731
    return Schedule(
        noise=jnp.asarray(config.noise * left),
        temperature=jnp.asarray(config.temperature * left**2),
        learning_rate=falling(config.learning_rate, config.final_learning_rate),
        average_rate=falling(config.average_rate, config.final_average_rate),
    )


def mixture(simulator: Theta, learned: Theta, learned_fraction: float, batch: int) -> Theta:
    """Stack model parameters for `batch` trajectories.

    The first `round(learned_fraction · batch)` are drawn in turn from `learned` (leading axis: its
    members), the rest are the simulator's.
    """
    count = round(learned_fraction * batch)

    def stack(one: jax.Array, members: jax.Array) -> jax.Array:
        chosen = np.asarray(members)[np.arange(count) % members.shape[0]]
        rest = np.broadcast_to(one, (batch - count, *np.shape(one)))
        return jax.device_put(np.concatenate([chosen, rest]))

    return jax.tree.map(stack, simulator, learned)


def train(
    algorithm: Algorithm,
    evaluate: Evaluate,
    theta: Theta,
    validation_models: Theta,
    config: HDSConfig,
    key: jax.Array,
    warm: PODSState | None = None,
) -> Iterator[HDSProgress]:
    """Yield the progress of each epoch; the last one's `best` is the policy to publish.

    The success rate fluctuates, so the best policy by success, then cost, over episodes in
    `validation_models` is kept; the policy of a warm start takes part. Real data are not used for that
    choice. The batch is sharded over all devices.
    """
    key_init, key_evaluate, key = jax.random.split(key, 3)
    state = algorithm.init(key_init) if warm is None else _restart(warm, algorithm.init(key_init))
    evaluated = lambda state: _evaluated(evaluate, state, validation_models, key_evaluate)  # noqa: E731
    best = None if warm is None else evaluated(state)
    mesh = batch_mesh(state.x.shape[0])
    for epoch in range(config.epochs):
        if mesh.size > 1:
            state, theta = shard(mesh, state, theta)
        state, info = algorithm.step(state, theta, schedule(config, epoch), key)
        last = epoch + 1 == config.epochs
        if last or (epoch >= config.epochs // 4 and (epoch + 1) % config.check_every == 0):
            found = evaluated(state)
            if best is None or (found.success, -found.cost) > (best.success, -best.cost):
                best = found
        yield HDSProgress(epoch + 1, info, best)


def _evaluated(evaluate: Evaluate, state: PODSState, validation_models: Theta, key: jax.Array) -> Best:
    found = evaluate(state.average, validation_models, key)
    return Best(state.average, state, float(jnp.mean(found.success)), float(jnp.mean(found.cost)))


def _restart(warm: PODSState, fresh: PODSState) -> PODSState:
    """Take over the networks of `warm`, with new start states, labels and optimiser."""
    kept = {name: getattr(warm, name) for name in NETWORKS}
    return fresh._replace(**kept | {"policy": warm.average})
