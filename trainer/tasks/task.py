"""What is to be done: names and limits, cost, start states, termination and success."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax

from protos.control_step import same_step
from trainer.models.force import Force, SystemTransform, identity, no_force
from trainer.policy.features import FeatureSpec


class Simulator(Protocol):
    """A `Model` that knows the names of its moving bodies."""

    @property
    def links(self) -> tuple[str, ...]:
        """Names of the moving bodies, in the order of their masses."""
        ...

    @property
    def joints(self) -> int:
        """Number d of joint velocities, and of forces on the joints."""
        ...

    def __call__(self, theta: Any, x: jax.Array, u: jax.Array, /) -> jax.Array:
        """Return x_next[n]."""
        ...


class MakeSimulator(Protocol):
    """Build the simulator with a force on its joints, Runge-Kutta steps, and a system changed by theta."""

    def __call__(
        self, force: Force, substeps: int, system_transform: SystemTransform = identity, /
    ) -> Simulator:
        """Return the model of one control step."""
        ...


@dataclass(frozen=True, eq=False)
class Task:
    """A control task on a plant with state x[n] and action u[m] in [-1, 1].

    Attributes:
        name: as in `--task`.
        state_names: n names with units, in the plant's order.
        action_names: m names.
        control_dt: control step [s].
        episode_steps: control steps after which the clock truncates an episode.
        features: what networks see of a state.
        residual: `(x[n], u[m]) -> r[k]`; a control step costs ½‖r‖².
        terminated: `(x[n]) -> bool`, whether the plant has left its safe set.
        failure: one-off cost of termination; choose it above the discounted cost of the worst trajectory that
            does not terminate.
        reset: `(key) -> x[n]`, draws the start state of an episode.
        explore: `(key) -> x[n]`, draws any state from which acting well is worth knowing.
        success: `(x[T + 1, n]) -> bool`, of the states of one episode.
        model: the simulator, plus a force on its joints, with a system changed by theta.
        has_success: whether `success` says what the task is about; else a policy is gated by its cost alone.
        gate: least success in its model that a policy needs for its label; None for the default.
        learning: hyper-parameters for this task, by table and name, as in a `--config` file, which overrides
            them; all others have their defaults.
    """

    name: str
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    control_dt: float
    episode_steps: int
    features: FeatureSpec
    residual: Callable[[jax.Array, jax.Array], jax.Array]
    terminated: Callable[[jax.Array], jax.Array]
    reset: Callable[[jax.Array], jax.Array]
    explore: Callable[[jax.Array], jax.Array]
    success: Callable[[jax.Array], jax.Array]
    model: MakeSimulator
    failure: float = 0.0
    has_success: bool = True
    gate: float | None = None
    learning: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def joints(self) -> int:
        """Number d of joint velocities, the last of the n states."""
        return self.model(no_force, 1).joints

    @property
    def positions(self) -> int:
        """Number of joint positions, the first of the n states; more than d where there are quaternions."""
        return len(self.state_names) - self.joints


def check_fits(
    state_names: Iterable[str], action_names: Iterable[str], control_dt: float, task: Task, what: str
) -> None:
    """Check that `what`, a plant or what was recorded of one, is what `task` is about.

    Raises:
        ValueError: naming what it offers and what is needed.
    """
    offered = (tuple(state_names), tuple(action_names), control_dt)
    needed = (task.state_names, task.action_names, task.control_dt)
    if offered[:2] != needed[:2] or not same_step(control_dt, task.control_dt):
        raise ValueError(f"{what} does not fit task {task.name}: it offers {offered}; needed are {needed}")
