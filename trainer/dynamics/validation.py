"""Validate a dynamics model by its open-loop error, 0.5 s and 1 s ahead, on held-out segments.

Errors are in units of the typical change of all recorded data, since the held-out part may be at rest.

Notation
    L   steps of the longest horizon
    W   starts of predictions, evenly spaced over the segments
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import stdtrit

from protos import kinematics
from trainer.compilation import SOONEST, compiled
from trainer.dynamics.dynamics_model import (
    WINDOW_STEPS,
    Calibration,
    Comparison,
    DynamicsModel,
    HorizonError,
    Split,
)
from trainer.dynamics.windows import Segment, append_action_history
from trainer.learning.trajectory import replay
from trainer.tasks.task import Task

HORIZONS = (0.5, 1.0)
"""[s]"""
STARTS = 96
SEPARATE = 8
"""Least number of predictions without overlap in a comparison."""
MOST = 1e12
"""Replaces a squared error that is not finite."""
NORMAL = 1.96
"""Standard deviations that hold 95 % of a normal distribution, on both sides."""
NINETY = 1.645
"""Standard deviations that hold 90 % of a normal distribution, on both sides."""


def least_held_out(task: Task) -> int:
    """Return the fewest control steps that the shortest horizon needs, at least a window."""
    return max(WINDOW_STEPS, round(HORIZONS[0] / task.control_dt) + 1)


class Predictor(NamedTuple):
    """Open-loop prediction by a dynamics model.

    Attributes:
        open_loop: `(theta, x0[W, n + m], u[W, L, m]) -> x[W, L + 1, n + m]`.
        nominal: the theta under which it is the simulator without a learned part.
        action_history: number of past actions in the state, 0 or 1.
    """

    open_loop: Callable[[Any, np.ndarray, np.ndarray], jax.Array]
    nominal: Any
    action_history: int


def predictor(dynamics: DynamicsModel, task: Task) -> Predictor:
    """Return the open-loop prediction of the model that policies are trained in."""
    return Predictor(
        open_loop_predictor(dynamics, task), dynamics.nominal_parameters(task), dynamics.action_history
    )


def horizon_errors(by: Predictor, task: Task, theta: Any, parts: Split) -> dict[float, HorizonError]:
    """Return the errors of `theta` at each horizon that the held-out segments are long enough for."""
    if not parts.held_out:
        return {}
    longest = round(HORIZONS[-1] / task.control_dt)
    x, u, ahead, place = _starts(append_action_history(parts.held_out, by.action_history), longest)
    n = len(task.state_names)
    learned, simulator = (np.asarray(by.open_loop(at, x[:, 0], u)) for at in (theta, by.nominal))
    errors: dict[float, HorizonError] = {}
    for horizon in HORIZONS:
        step = round(horizon / task.control_dt)
        reached = ahead >= step
        if not reached.any():
            continue
        truth, start = x[reached, step, :n], x[reached, 0, :n]
        off = [part[reached, step, :n] - truth for part in (learned, simulator)]
        in_changes = off[0] / _typical_change(parts, step)
        relative = float(np.sqrt(np.mean(np.nan_to_num(in_changes**2, nan=1e6, posinf=1e6))))
        sizes = [_medians(part[:, : task.positions]) for part in (*off, start - truth)]
        errors[horizon] = HorizonError(sizes[0], sizes[1], sizes[2], relative)
    if not errors:
        return {}
    noise = kinematics.noise(segment.x for segment in parts.held_out)
    step = _comparable_steps(parts.held_out, task.control_dt)
    blocks = np.unique(np.stack([place[:, 0], place[:, 1] // step], axis=1), axis=0, return_inverse=True)[1]
    reached = ahead >= step
    truth, start = x[reached, step, :n], x[reached, 0, :n]
    off, *others = (end - truth for end in (learned[reached, step, :n], simulator[reached, step, :n], start))
    change = _typical_change(parts, step)
    over = [
        _compare(off, other, change, noise, blocks.ravel()[reached], step * task.control_dt)
        for other in others
    ]
    first = min(errors)
    errors[first] = errors[first]._replace(over_simulator=over[0], over_persistence=over[1])
    return errors


def _typical_change(parts: Split, step: int) -> np.ndarray:
    """Return the root mean square [n] of how much states change within `step` steps."""
    changes = [segment.x[step:] - segment.x[:-step] for segment in (*parts.fitted, *parts.held_out)]
    return np.maximum(np.sqrt(np.mean(np.concatenate(changes) ** 2, axis=0)), 1e-6)


def _comparable_steps(held_out: list[Segment], dt: float) -> int:
    """Return the steps of a comparison: fewer than the shortest horizon if predictions would overlap."""
    steps = sum(len(segment.u) for segment in held_out)
    return max(1, min(round(HORIZONS[0] / dt), steps // SEPARATE))


def _compare(
    off: np.ndarray,
    other: np.ndarray,
    change: np.ndarray,
    noise: np.ndarray,
    block: np.ndarray,
    ahead_s: float,
) -> Comparison | None:
    """Compare errors [W, n] with those of a reference; predictions of one `block` [W] overlap."""
    square = lambda part: np.minimum(np.nan_to_num(part**2, nan=MOST, posinf=MOST), MOST)  # noqa: E731
    worse = np.mean((square(off) - square(other)) / change**2, axis=1)
    means = np.array([worse[block == one].mean() for one in np.unique(block)])
    if len(means) < 2:
        return None
    small = float(stdtrit(len(means) - 1, 0.975)) / NORMAL  # few blocks: their deviation is uncertain
    rms = [np.sqrt(square(part).mean(axis=0)) for part in (off, other)]
    counts = bool(np.any(rms[0] - rms[1] > noise))
    error = small * float(means.std(ddof=1) / np.sqrt(len(means)))
    return Comparison(float(means.mean()), error, counts, ahead_s)


def calibrate(
    dynamics: DynamicsModel, task: Task, members: Any, held_out: list[Segment]
) -> Calibration | None:
    """Compare the deviation of the `members`' predictions 0.5 s ahead with the error of their mean."""
    if not held_out:
        return None
    step, n = round(HORIZONS[0] / task.control_dt), len(task.state_names)
    x, u, reaches, _ = _starts(
        append_action_history(held_out, dynamics.action_history), round(HORIZONS[-1] / task.control_dt)
    )
    reached = reaches >= step
    if reached.sum() < 4:
        return None
    ahead = open_loop_predictor(dynamics, task)
    count = jax.tree.leaves(members)[0].shape[0]
    each = [jax.tree.map(lambda leaf, i=i: leaf[i], members) for i in range(count)]
    ends = np.stack([np.asarray(ahead(theta, x[:, 0], u))[reached, step, :n] for theta in each])
    std = np.maximum(ends.std(axis=0, ddof=1), 1e-9)
    ratio = np.abs(ends.mean(axis=0) - x[reached, step, :n]) / std
    scale = float(np.sqrt(np.mean(ratio[::2] ** 2)))
    return Calibration(scale, float(np.mean(ratio[1::2] <= NINETY * scale)))


def _medians(errors: np.ndarray) -> tuple[float, ...]:
    return tuple(float(v) for v in np.median(np.abs(errors), axis=0))


def _starts(segments: list[Segment], longest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return windows for prediction: x[W, L + 1, n], u[W, L, m], steps[W] and origin[W, 2].

    A window is padded beyond its number of steps. Its origin is the index of the segment and the step in it.
    """
    places = [(i, t) for i, segment in enumerate(segments) for t in range(len(segment.u))]
    chosen = np.linspace(0, len(places) - 1, STARTS).round().astype(int)
    x, u, ahead, begins = [], [], [], []
    for i, t in (places[k] for k in chosen):
        segment = segments[i]
        steps = min(longest, len(segment.u) - t)
        rest = ((0, longest - steps), (0, 0))
        x.append(np.pad(segment.x[t : t + steps + 1], rest, mode="edge"))
        u.append(np.pad(segment.u[t : t + steps], rest))
        ahead.append(steps)
        begins.append((i, t))
    return np.stack(x), np.stack(u), np.array(ahead), np.array(begins)


@functools.lru_cache(maxsize=8)
def open_loop_predictor(dynamics: DynamicsModel, task: Task) -> Callable:
    """Return `(theta, x0[W, n], u[W, L, m]) -> x[W, L + 1, n]`, open loop."""
    model = dynamics.model(task)
    ahead = compiled(jax.vmap(functools.partial(replay, model), (None, 0, 0)), SOONEST)
    return lambda theta, x, u: ahead(theta, jnp.asarray(x, float), jnp.asarray(u, float))
