"""Judge a model by its open-loop error, 0.5 s and 1 s ahead, on motion held out.

Notation
    L   steps of the longest horizon
    W   starts of predictions, evenly spread over the motion
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trainer.dynamics.rung import WINDOW_STEPS, Calibration, HorizonError, Rung
from trainer.dynamics.windows import Motion, remembering
from trainer.learning.trajectory import replay
from trainer.tasks.task import Task

HORIZONS = (0.5, 1.0)
"""[s]"""
STARTS = 96
NINETY = 1.645
"""Standard deviations that hold 90 % of a normal distribution, on both sides."""


def least_held_out(task: Task) -> int:
    """Return the fewest control steps that the shortest horizon can be judged on, at least a window."""
    return max(WINDOW_STEPS, round(HORIZONS[0] / task.control_dt) + 1)


def horizon_errors(rung: Rung, task: Task, theta: Any, held_out: list[Motion]) -> dict[float, HorizonError]:
    """Return the errors of the model with parameters `theta` at each horizon that `held_out` reaches."""
    if not held_out:
        return {}
    longest = round(HORIZONS[-1] / task.control_dt)
    motions = remembering(held_out, rung.memory)
    x, u, ahead = _starts(motions, longest)
    n = len(task.state_names)
    learned, simulator = (predict(rung, task)(at, x[:, 0], u) for at in (theta, rung.nothing(task)))
    errors: dict[float, HorizonError] = {}
    for horizon in HORIZONS:
        step = round(horizon / task.control_dt)
        reached = ahead >= step
        if not reached.any():
            continue
        truth, start = x[reached, step, :n], x[reached, 0, :n]
        change = np.maximum(np.sqrt(np.mean((truth - start) ** 2, axis=0)), 1e-6)
        off = [np.asarray(part)[reached, step, :n] - truth for part in (learned, simulator)]
        share = float(np.sqrt(np.mean(np.nan_to_num((off[0] / change) ** 2, nan=1e6, posinf=1e6))))
        sizes = [_medians(part[:, : task.positions]) for part in (*off, start - truth)]
        errors[horizon] = HorizonError(learned=sizes[0], simulator=sizes[1], still=sizes[2], share=share)
    return errors


def calibrate(rung: Rung, task: Task, members: Any, held_out: list[Motion]) -> Calibration | None:
    """Compare the spread of the `members`' predictions 0.5 s ahead with the error of their mean."""
    if not held_out:
        return None
    step, n = round(HORIZONS[0] / task.control_dt), len(task.state_names)
    x, u, reaches = _starts(remembering(held_out, rung.memory), round(HORIZONS[-1] / task.control_dt))
    reached = reaches >= step
    if reached.sum() < 4:
        return None
    ahead = predict(rung, task)
    count = jax.tree.leaves(members)[0].shape[0]
    each = [jax.tree.map(lambda leaf, i=i: leaf[i], members) for i in range(count)]
    ends = np.stack([np.asarray(ahead(theta, x[:, 0], u))[reached, step, :n] for theta in each])
    spread = np.maximum(ends.std(axis=0, ddof=1), 1e-9)
    ratio = np.abs(ends.mean(axis=0) - x[reached, step, :n]) / spread
    scale = float(np.sqrt(np.mean(ratio[::2] ** 2)))
    return Calibration(scale, float(np.mean(ratio[1::2] <= NINETY * scale)))


def _medians(errors: np.ndarray) -> tuple[float, ...]:
    return tuple(float(v) for v in np.median(np.abs(errors), axis=0))


def _starts(motions: list[Motion], longest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x[W, L + 1, n] and u[W, L, m], padded where a motion ends, and how far each reaches [W]."""
    places = [(i, t) for i, motion in enumerate(motions) for t in range(len(motion.u))]
    chosen = np.linspace(0, len(places) - 1, STARTS).round().astype(int)
    x, u, ahead = [], [], []
    for i, t in (places[k] for k in chosen):
        motion = motions[i]
        steps = min(longest, len(motion.u) - t)
        rest = ((0, longest - steps), (0, 0))
        x.append(np.pad(motion.x[t : t + steps + 1], rest, mode="edge"))
        u.append(np.pad(motion.u[t : t + steps], rest))
        ahead.append(steps)
    return np.stack(x), np.stack(u), np.array(ahead)


@functools.lru_cache(maxsize=8)
def predict(rung: Rung, task: Task) -> Callable:
    """Return `(theta, x0[W, n], u[W, L, m]) -> x[W, L + 1, n]`, open loop."""
    model = rung.model(task)
    ahead = jax.jit(jax.vmap(functools.partial(replay, model), (None, 0, 0)))
    return lambda theta, x, u: ahead(theta, jnp.asarray(x, float), jnp.asarray(u, float))
