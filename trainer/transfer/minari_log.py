"""A Minari dataset that HDS did not write: observations are states, and actions are scaled to [-1, 1].

Notation
    o[n], a[m]       an observation and an action of the dataset
    x[n], u[m]       a state and an action of the task
    low, high [m]    the bounds of the dataset's action space
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np

from trainer.dynamics.windows import Segment
from trainer.logs.log_format import LARGEST, Column, LogFormat
from trainer.logs.resample import ALIKE
from trainer.tasks.task import Task
from trainer.transfer.hdf5_sizes import check_sizes
from trainer.transfer.minari_dataset import UNREADABLE, data_below
from trainer.transfer.recording import NotARecording, damaged

ROUNDING = 1e-6
"""Actions that exceed [-1, 1] by no more are rounded into it."""
LARGEST_BOUND = 1e30
"""Actions with larger bounds have none."""
Convert = Callable[[np.ndarray], np.ndarray]
"""`(o[T + 1, n]) -> x[T + 1, n]`, or `(a[T, m]) -> u[T, m]`."""


def read(
    directory: Path, task: Task, layout: LogFormat | None
) -> tuple[list[Segment], frozenset[int], list[str]]:
    """Return the episodes, the numbers of those that terminated, and what is to be known of them.

    Without a `layout`, observations are taken as they are, and actions as shares of their bounds.

    Raises:
        ValueError: the dataset can't be read, or is not about the task's states and actions.
    """
    data = data_below(directory)
    try:
        check_sizes(data)
        dataset = minari.MinariDataset(data)
        episodes = list(dataset.iterate_episodes())
    except NotARecording:
        raise
    except (*UNREADABLE, gym.error.Error, ImportError) as error:
        raise damaged(data, "Minari dataset", error) from error
    convert, notes = _conversion(directory, dataset, task, layout)
    notes.append(_control_step(directory, dataset, task))
    segments = [_motion(directory, episode, task, convert) for episode in episodes]
    if not segments:
        raise ValueError(f"{directory} holds no episode")
    largest = max(float(np.max(np.abs(segment.u))) for segment in segments)
    if largest > 1.0:
        notes.append(f"actions reach {largest:.6g}, beyond the task's 1, and are stored so")
    terminated = (number for number, episode in enumerate(episodes) if bool(episode.terminations[-1]))
    return segments, frozenset(terminated), notes


def _conversion(
    directory: Path, dataset: minari.MinariDataset, task: Task, layout: LogFormat | None
) -> tuple[tuple[Convert, Convert], list[str]]:
    """Return what makes states of observations and actions of actions, and both in words."""
    observed, acted = dataset.observation_space, dataset.action_space
    _check_box(f"{directory}: the observation space", observed, task.state_names, task)
    _check_box(f"{directory}: the action space", acted, task.action_names, task)
    assert isinstance(acted, gym.spaces.Box)
    if layout is not None:
        states, notes = _by_columns(directory, "observation", layout.states, task.state_names)
        actions, more = _by_columns(directory, "action", layout.actions, task.action_names)
        return (states, actions), notes + more
    low, high = acted.low.astype(float), acted.high.astype(float)
    if not (np.all(low < high) and np.all(np.maximum(-low, high) < LARGEST_BOUND)):
        tables = ", ".join(f"[{name.split(' [', maxsplit=1)[0]}]" for name in task.action_names)
        raise ValueError(
            f"{directory}: the action space has the bounds {_numbers(low)} to {_numbers(high)}, by which "
            f"actions can't be scaled to [-1, 1]; give --format, whose {tables} say their unit and scale"
        )
    notes = [
        "observations are taken as states",
        f"actions are scaled from the bounds {_numbers(low)} to {_numbers(high)} to [-1, 1]",
    ]
    return (lambda o: o, lambda a: 2.0 * (a - low) / (high - low) - 1.0), notes


def _by_columns(
    directory: Path, kind: str, columns: Sequence[Column], names: Sequence[str]
) -> tuple[Convert, list[str]]:
    """Return what a format makes of observations or actions, each by its place, or named `KIND NUMBER`."""
    places = []
    for place, column in enumerate(columns):
        named = re.fullmatch(rf"{kind} (\d+)", column.name)
        places.append(int(named[1]) if named else place)
        if places[-1] >= len(columns):
            choices = ", ".join(f"{kind} {number}" for number in range(len(columns)))
            raise ValueError(f"{directory}: there is no {column.name!r}; there are: {choices}")
    factor, offset = (np.array([getattr(c, of) for c in columns]) for of in ("factor", "offset"))
    notes = [
        f"{name} is {c.factor:.6g} × {kind} {place}" + (f" + {c.offset:.6g}" if c.offset else "")
        for name, c, place in zip(names, columns, places, strict=True)
    ]
    return lambda values: values[:, places] * factor + offset, notes


def _motion(directory: Path, episode: Any, task: Task, convert: tuple[Convert, Convert]) -> Segment:
    o, a = np.asarray(episode.observations, float), np.asarray(episode.actions, float)
    n, m, steps = len(task.state_names), len(task.action_names), len(a)
    if not steps or o.shape != (steps + 1, n) or a.shape != (steps, m):
        raise ValueError(
            f"{directory}, episode {episode.id}: observations and actions have the shapes {o.shape} and "
            f"{a.shape}; needed are (steps + 1, {n}) and (steps, {m}) of at least 1 step"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        x, u = convert[0](o), convert[1](a)
    for what, values in (("state", x), ("action", u)):
        wrong = ~(np.abs(values) <= LARGEST).all(axis=1)
        if wrong.any():
            step = int(np.argmax(wrong))
            raise ValueError(
                f"{directory}, episode {episode.id}, step {step}: the {what} is {_numbers(values[step])}; "
                f"each number must be finite and within ± {LARGEST:g}"
            )
    u = np.where(np.abs(u) <= 1.0 + ROUNDING, np.clip(u, -1.0, 1.0), u)
    return Segment(x.astype(np.float32), u.astype(np.float32))


def _control_step(directory: Path, dataset: minari.MinariDataset, task: Task) -> str:
    """Compare the dataset's control step, if it states one, as `dt` of its metadata or environment."""
    spec, dt = dataset.env_spec, task.control_dt
    for stated in (dataset.storage.metadata.get("dt"), (spec.kwargs if spec else {}).get("dt")):
        if isinstance(stated, int | float) and not isinstance(stated, bool):
            if not abs(stated - dt) < ALIKE * dt:
                raise ValueError(
                    f"{directory}: its steps take {stated:g} s (dt); task {task.name} has control steps of "
                    f"{dt:g} s"
                )
            return f"its steps take {stated:g} s, as the task's"
    return f"it does not say how long its steps take (dt); the task's {dt:g} s are assumed"


def _check_box(what: str, space: Any, names: Sequence[str], task: Task) -> None:
    if isinstance(space, gym.spaces.Box) and space.shape == (len(names),):
        return
    found = f"{type(space).__name__}"
    if isinstance(space, gym.spaces.Box):
        found += f" of shape {space.shape}"
    elif isinstance(space, gym.spaces.Dict):
        found += f" of {', '.join(space.spaces)}"
    raise ValueError(f"{what} is a {found}; task {task.name} needs a Box of {len(names)}: {', '.join(names)}")


def _numbers(values: np.ndarray) -> str:
    return ", ".join(f"{value:g}" for value in values)
