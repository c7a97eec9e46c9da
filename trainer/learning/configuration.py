"""The hyper-parameters of a training: typed data classes, read from tables such as those of a TOML file.

Each class is one table. A task's file, a `--config` file and options set entries, in that order; entries that
none of them sets have the defaults below.
"""

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

Tables = Mapping[str, Mapping[str, Any]]
"""Entries by table and name."""


def bounded(default: float, low: float, high: float = math.inf) -> Any:
    """Return a field with bounds, which belong to the allowed values."""
    return field(default=default, metadata={"low": low, "high": high})


def among(*choices: str) -> Any:
    """Return a field with these choices, of which the first is the default."""
    return field(default=choices[0], metadata={"choices": choices})


class _Table:
    """Checks the entries of a table."""

    name: ClassVar[str]

    def __post_init__(self) -> None:
        for entry in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]
            value, bounds = getattr(self, entry.name), entry.metadata
            place = f"{self.name}.{entry.name}"
            if "choices" in bounds and value not in bounds["choices"]:
                raise ValueError(f"{place} must be one of {', '.join(bounds['choices'])}; got {value!r}")
            values = value if isinstance(value, tuple) else (value,)
            if "low" in bounds and not all(bounds["low"] <= one <= bounds["high"] for one in values):
                raise ValueError(f"{place} must be in [{bounds['low']:g}, {bounds['high']:g}]; got {value}")


@dataclass(frozen=True)
class TrainingConfig(_Table):
    """Budget and evaluation of a training, whatever the algorithm.

    Attributes:
        epochs: number of epochs; by default 100 in the simulator alone, and 250 with learned dynamics.
        rounds: a training whose success rate is below `target_success` is continued, up to this many rounds
            in all; 1 by default if `epochs` is set.
        target_success: success rate in the validation models at which no further round follows.
        check_every: epochs between evaluations after the first quarter of a round.
        evaluation_episodes: episodes of an evaluation.
    """

    name: ClassVar[str] = "training"
    epochs: int = bounded(250, 1)
    rounds: int = bounded(3, 1)
    target_success: float = bounded(0.95, 0.0, 1.0)
    check_every: int = bounded(4, 1)
    evaluation_episodes: int = bounded(256, 2)


@dataclass(frozen=True)
class NetworkConfig(_Table):
    """Networks of policy and value.

    Attributes:
        policy_hidden, value_hidden: widths of the hidden layers.
        value_outputs: number of residuals of the value.
        activation: between the layers of both.
    """

    name: ClassVar[str] = "network"
    policy_hidden: tuple[int, ...] = field(default=(64, 64), metadata={"low": 1, "high": math.inf})
    value_hidden: tuple[int, ...] = field(default=(64, 64), metadata={"low": 1, "high": math.inf})
    value_outputs: int = bounded(8, 1)
    activation: str = among("tanh", "relu", "elu", "swish")


@dataclass(frozen=True)
class PODSConfig(_Table):
    """Configuration of PODS.

    Attributes:
        batch: N, trajectories per epoch.
        horizon: H, control steps per trajectory.
        improvement_iterations: improvements of each trajectory per epoch.
        discount: gamma of one control step.
        td_lambda: lambda of TD(λ).
        kept_batches: D, batches of labels that the regression sees.
        regression_steps: Adam steps per epoch.
        minibatch: labels per Adam step.
        target_rate: share of the value's parameters that its slow copy takes over per epoch.
        value_steps, value_failures: initial scale of the value, as a number of steps at the cost of the
            start states, or as a number of failures if that is larger.
    """

    name: ClassVar[str] = "pods"
    batch: int = bounded(128, 1)
    horizon: int = bounded(16, 1)
    improvement_iterations: int = bounded(2, 1)
    discount: float = bounded(0.98, 1e-6, 1.0)
    td_lambda: float = bounded(0.8, 0.0, 1.0)
    kept_batches: int = bounded(4, 1)
    regression_steps: int = bounded(100, 1)
    minibatch: int = bounded(256, 1)
    target_rate: float = bounded(0.3, 0.0, 1.0)
    value_steps: float = bounded(6.0, 0.0)
    value_failures: float = bounded(0.2, 0.0)


@dataclass(frozen=True)
class HDSConfig(_Table):
    """Schedules of HDS; a value falls from the first epoch to the last.

    Attributes:
        noise: standard deviation of the exploration noise on the actions at the first epoch; falls
            linearly to 0.
        temperature: of the step-size annealing at the first epoch, in units of cost; falls to 0 with
            the square of the share left.
        learning_rate: at the first epoch.
        final_learning_rate: at the last; in between it decays geometrically.
        average_rate: share of the policy's parameters that its average takes over at the first epoch.
        final_average_rate: at the last; in between it decays geometrically. The average follows the policy
            early, and spans many epochs late, so that a few bad epochs do not spoil it.
    """

    name: ClassVar[str] = "hds"
    noise: float = bounded(0.1, 0.0)
    temperature: float = bounded(0.02, 0.0)
    learning_rate: float = bounded(2e-3, 1e-12)
    final_learning_rate: float = bounded(2e-4, 1e-12)
    average_rate: float = bounded(0.5, 1e-6, 1.0)
    final_average_rate: float = bounded(0.016, 1e-6, 1.0)


@dataclass(frozen=True)
class SearchConfig(_Table):
    """Improvement of a trajectory.

    Attributes:
        direction: how the improvement direction is computed.
        damping: of the Gauss-Newton direction.
        method: annealing draws a step size by its cost, a line search takes the best.
        step_sizes: that are tried in parallel.
    """

    name: ClassVar[str] = "search"
    direction: str = among("gauss-newton", "gradient")
    damping: float = bounded(0.1, 0.0)
    method: str = among("annealing", "line-search")
    step_sizes: tuple[float, ...] = field(
        default=(1.0, 0.5, 0.2, 0.05), metadata={"low": 0.0, "high": math.inf}
    )


@dataclass(frozen=True)
class StartsConfig(_Table):
    """Start states of trajectories.

    Attributes:
        exploring_share: share of the trajectories with exploring starts.
        exploring_steps: control steps of an episode from an exploring start.
    """

    name: ClassVar[str] = "starts"
    exploring_share: float = bounded(0.5, 0.0, 1.0)
    exploring_steps: int = bounded(64, 1)


@dataclass(frozen=True)
class TargetsConfig(_Table):
    """Regression targets of an improved trajectory.

    Attributes:
        noise_std: standard deviation [n] of each state around the trajectory, at which the feedback law gives
            further targets; empty for targets along the trajectory only.
    """

    name: ClassVar[str] = "targets"
    noise_std: tuple[float, ...] = field(default=(), metadata={"low": 0.0, "high": math.inf})


@dataclass(frozen=True)
class Configuration:
    """All hyper-parameters of a training."""

    training: TrainingConfig = field(default_factory=TrainingConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    pods: PODSConfig = field(default_factory=PODSConfig)
    hds: HDSConfig = field(default_factory=HDSConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    starts: StartsConfig = field(default_factory=StartsConfig)
    targets: TargetsConfig = field(default_factory=TargetsConfig)

    def tables(self) -> dict[str, dict[str, Any]]:
        """Return all entries, as `configuration` takes them."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


def configuration(tables: Tables) -> Configuration:
    """Return the configuration with these entries, and defaults for all others.

    Raises:
        ValueError: naming the entry that is unknown, of another type or out of bounds, and the choices.
    """
    known = {table.name: table.default_factory for table in dataclasses.fields(Configuration)}
    for name, entries in tables.items():
        if name not in known:
            raise ValueError(f"there is no table [{name}]; the tables are: {', '.join(known)}")
        if not isinstance(entries, Mapping):
            raise ValueError(f"[{name}] must be a table of entries; got {entries!r}")
    parts = {name: _table(typing.cast(type, kind), tables.get(name, {})) for name, kind in known.items()}
    return Configuration(**parts)


def merged(*layers: Tables) -> dict[str, dict[str, Any]]:
    """Return the entries of all layers; a later one wins."""
    found: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for name, entries in layer.items():
            found[name] = {**found.get(name, {}), **entries}
    return found


def to_toml(tables: Tables) -> str:
    """Return the entries as TOML."""
    parts = []
    for name, entries in tables.items():
        rows = (f"{entry} = {json.dumps(value)}" for entry, value in entries.items())
        parts.append("\n".join([f"[{name}]", *rows]))
    return "\n\n".join(parts) + "\n"


def _table(kind: type, entries: Mapping[str, Any]) -> Any:
    hints = {entry.name: entry.type for entry in dataclasses.fields(kind)}
    values = {}
    for entry, value in entries.items():
        place = f"{kind.name}.{entry}"
        if entry not in hints:
            raise ValueError(f"there is no {place}; the entries of [{kind.name}] are: {', '.join(hints)}")
        values[entry] = _typed(place, value, hints[entry])
    return kind(**values)


def _typed(place: str, value: Any, hint: Any) -> Any:
    """Return `value` as what the field holds: an int, a float, a string, or a tuple of one of these."""
    if isinstance(hint, types.GenericAlias):
        if not isinstance(value, list | tuple):
            raise ValueError(f"{place} must be a list; got {value!r}")
        return tuple(_typed(place, one, typing.get_args(hint)[0]) for one in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or isinstance(value, bool):
        names = {int: "a whole number", float: "a number", str: "a text"}
        raise ValueError(f"{place} must be {names[hint]}; got {value!r}")
    return value
