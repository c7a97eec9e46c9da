"""HDS: hybrid differentiable simulation. PODS in several models, with exploration noise and annealing.

A fixed share of the trajectories runs in dynamics learned from real data, the others in the simulator.
Exploration noise on the actions and the temperature of the step-size annealing fall with every epoch. A
dynamics model contains the simulator, so the mixture is a stack of parameters, without branches in the
numerics.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trainer.compilation import Call
from trainer.learning.algorithm import Algorithm, EpochInfo, Problem
from trainer.learning.compiled_pods import Compiled, compiled_pods
from trainer.learning.configuration import (
    Configuration,
    HDSConfig,
    NetworkConfig,
    PODSConfig,
    SearchConfig,
    StartsConfig,
    TargetsConfig,
)
from trainer.learning.direction import gauss_newton, gradient
from trainer.learning.labels import along_trajectory, around_trajectory
from trainer.learning.pods import PODS, epoch
from trainer.learning.pods_state import PODSInfo, PODSState, Schedule
from trainer.learning.search import annealing, line_search
from trainer.learning.sharding import batch_mesh, shard
from trainer.learning.starts import exploring_starts
from trainer.learning.value import ValueSpec
from trainer.models.model import Model, Theta
from trainer.policy.network import Parameters, PolicySpec
from trainer.tasks.task import Task

NETWORKS = ("policy", "average", "value", "target_value")
"""The fields of a state that a warm start takes over."""


class HDS(Algorithm[PODSState]):
    """PODS with the schedules of HDS. The batch is sharded over all devices."""

    def __init__(self, pods: PODS, compiled: Compiled, config: HDSConfig, epochs: int) -> None:
        self.pods, self.compiled = pods, compiled
        self._config, self._epochs = config, epochs
        self._step = epoch(compiled.improve, compiled.regress)
        self._mesh = batch_mesh(pods.config.batch)

    @property
    def batch(self) -> int:
        """Number of trajectories in an epoch."""
        return self.pods.config.batch

    @property
    def steps(self) -> int:
        """Control steps of all trajectories of an epoch."""
        return self.batch * self.pods.config.horizon

    def init(self, key: jax.Array) -> PODSState:
        """Return the state before the first epoch."""
        return self.compiled.init(key)

    def step(self, state: PODSState, theta: Theta, epoch: int, key: jax.Array) -> tuple[PODSState, EpochInfo]:
        """Run one epoch."""
        state, info = self._step(state, theta, schedule(self._config, epoch, self._epochs), key)
        return state, EpochInfo(scalars(info), info.non_finite)

    def policy(self, state: PODSState) -> Parameters:
        """Return the average policy."""
        return state.average

    def networks(self, state: PODSState) -> dict[str, Any]:
        """Return policy, value, and the averages of both."""
        return {name: getattr(state, name) for name in NETWORKS}

    def warm_start(self, state: PODSState, networks: Mapping[str, Any]) -> PODSState:
        """Take over the networks, the policy from its average; start states, labels and optimiser are new."""
        return state._replace(**{**networks, "policy": networks["average"]})

    def place(self, state: PODSState, theta: Theta) -> tuple[PODSState, Theta]:
        """Shard both over all devices that divide the batch."""
        return shard(self._mesh, state, theta) if self._mesh.size > 1 else (state, theta)

    def calls(self, theta: Theta) -> list[Call]:
        """Return what to compile; on several devices nothing, since the sharding is unknown here."""
        return self.compiled.calls(theta) if self._mesh.size == 1 else []


def make_hds(problem: Problem) -> HDS:
    """Return HDS with the configuration of `problem`."""
    config = problem.configuration
    pods, compiled = _parts(
        problem.task,
        problem.model,
        problem.policy,
        config.network,
        config.pods,
        config.search,
        config.starts,
        config.targets,
    )
    return HDS(pods, compiled, config.hds, config.training.epochs)


def make_pods(problem: Problem) -> HDS:
    """Return PODS as in the paper: line search, no exploration noise, and the starts of episodes only."""
    return make_hds(dataclasses.replace(problem, configuration=as_pods(problem.configuration)))


def as_pods(config: Configuration) -> Configuration:
    """Return the configuration without what HDS adds to PODS."""
    return dataclasses.replace(
        config,
        hds=dataclasses.replace(config.hds, noise=0.0, temperature=0.0),
        search=dataclasses.replace(config.search, method="line-search"),
        starts=dataclasses.replace(config.starts, exploring_share=0.0),
    )


@functools.lru_cache(maxsize=4)
def _parts(
    task: Task,
    model: Model,
    policy: PolicySpec,
    network: NetworkConfig,
    pods: PODSConfig,
    search: SearchConfig,
    starts: StartsConfig,
    targets: TargetsConfig,
) -> tuple[PODS, Compiled]:
    """Return PODS and its compiled functions, which trainings with the same sizes share."""
    if len(targets.noise_std) not in {0, task.features.state_size}:
        raise ValueError(
            f"targets.noise_std must have one number for each of the {task.features.state_size} states of "
            f"{task.name}, or none; got {len(targets.noise_std)}"
        )
    parts = PODS(
        task=task,
        model=model,
        policy=policy,
        value=ValueSpec(task.features, network.value_hidden, network.value_outputs, network.activation),
        starts=exploring_starts(task, starts.exploring_share, starts.exploring_steps),
        find_direction=gradient if search.direction == "gradient" else gauss_newton(search.damping),
        search=(annealing if search.method == "annealing" else line_search)(search.step_sizes),
        make_targets=around_trajectory(targets.noise_std) if targets.noise_std else along_trajectory,
        config=pods,
    )
    return parts, compiled_pods(parts)


def scalars(info: PODSInfo) -> dict[str, jax.Array]:
    """Return the figures of an epoch by name."""
    named = {name: value for name, value in info._asdict().items() if name != "non_finite"}
    return {"cost_per_step" if name == "cost" else name: value for name, value in named.items()}


def schedule(config: HDSConfig, epoch: int, epochs: int) -> Schedule:
    """Return the schedule of `epoch`, counted from 0."""
    left = 1.0 - epoch / epochs
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
