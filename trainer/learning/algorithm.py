"""The interface of a learning algorithm: PODS and HDS are two, a user's file may bring another one.

    hds-trainer train --algorithm my_algorithm.py:MyAlgorithm

The name refers to a function or a class that is called with a `Problem` and returns an `Algorithm`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import jax

from trainer.compilation import Call
from trainer.learning.configuration import Configuration
from trainer.learning.non_finite import NonFinite
from trainer.models.model import Model, Theta
from trainer.policy.network import Parameters, PolicySpec
from trainer.tasks.task import Task

State = TypeVar("State")


@dataclass(frozen=True, eq=False)
class Problem:
    """What an algorithm is to learn.

    Attributes:
        task: cost, start states and termination.
        model: dynamics of one trajectory, given its parameters theta.
        policy: shape of the policy.
        configuration: hyper-parameters; an algorithm uses those that it knows.
    """

    task: Task
    model: Model
    policy: PolicySpec
    configuration: Configuration


class EpochInfo(NamedTuple):
    """Figures of one epoch by name, and the first number that was not finite (None: not looked for)."""

    scalars: Mapping[str, jax.Array]
    non_finite: NonFinite | None = None


class Algorithm(ABC, Generic[State]):
    """Learns a policy epoch by epoch. The state is any pytree of arrays, so that it can be saved."""

    @property
    @abstractmethod
    def batch(self) -> int:
        """Number of trajectories in an epoch: the leading axis of `theta`."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """Control steps of all trajectories of an epoch."""

    @abstractmethod
    def init(self, key: jax.Array) -> State:
        """Return the state before the first epoch."""

    @abstractmethod
    def step(self, state: State, theta: Theta, epoch: int, key: jax.Array) -> tuple[State, EpochInfo]:
        """Run epoch number `epoch`, from 0, in the models `theta` (leading axis `batch`).

        The key is the same for all epochs of a training: combine it with the number of the epoch.
        """

    @abstractmethod
    def policy(self, state: State) -> Parameters:
        """Return the parameters to evaluate and to publish."""

    def networks(self, state: State) -> dict[str, Any]:
        """Return what a later training starts from; it is saved with the policy."""
        del state
        return {}

    def warm_start(self, state: State, networks: Mapping[str, Any]) -> State:
        """Return a new `state` with the saved `networks` of an earlier training."""
        del networks
        return state

    def place(self, state: State, theta: Theta) -> tuple[State, Theta]:
        """Return both, sharded over the devices; called before each epoch."""
        return state, theta

    def calls(self, theta: Theta) -> list[Call]:
        """Return functions with arguments, to be compiled in parallel before the first epoch."""
        del theta
        return []


MakeAlgorithm: TypeAlias = Callable[[Problem], Algorithm[Any]]
