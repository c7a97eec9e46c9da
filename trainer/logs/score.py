"""Open-loop error of fitted dynamics on logs that they were not fitted to."""

from typing import Any, NamedTuple

import jax
import numpy as np

from trainer.dynamics.dynamics_model import DynamicsModel
from trainer.dynamics.validation import open_loop_predictor
from trainer.dynamics.windows import Segment, append_action_history
from trainer.logs.fit import Identified, without_friction
from trainer.tasks.task import Task

UPRIGHT_RAD = 0.35
"""Starts within this angle of upright are reported separately: small errors grow fast there."""
EVERY_S = 0.1
"""Time between the starts of predictions."""


class Predictions(NamedTuple):
    """Measured and predicted positions [W, L + 1, d] of W predictions, and their start states [W, n]."""

    start: np.ndarray
    measured: np.ndarray
    learned: np.ndarray
    frictionless: np.ndarray


def replayed(
    found: Identified, segments: list[Segment], horizon: float, every: float = EVERY_S
) -> Predictions:
    """Replay measured actions open loop for `horizon` [s], from a start every `every` [s] of the segments.

    Raises:
        ValueError: no segment is that long.
    """
    steps = max(1, round(horizon / found.task.control_dt))
    places = [
        (i, k)
        for i, segment in enumerate(segments)
        for k in _starts(segment.u.shape[0], steps, every / found.task.control_dt)
    ]
    if not places:
        raise ValueError(f"the log has no stretch of {horizon:g} s")
    parts = []
    for dynamics, fit in (
        (found.dynamics, found.fit),
        (without_friction(found.dynamics), found.frictionless),
    ):
        seen = append_action_history(segments, dynamics.action_history)
        x0 = np.stack([seen[i].x[k] for i, k in places])
        u = np.stack([seen[i].u[k : k + steps] for i, k in places])
        parts.append(_mean_prediction(dynamics, found.task, fit.members, x0, u))
    x = np.stack([segments[i].x[k : k + steps + 1] for i, k in places])
    joints = slice(0, found.task.positions)
    return Predictions(x[:, 0], x[..., joints], *(part[..., joints] for part in parts))


def score(found: Identified, segments: list[Segment], horizon: float) -> dict[str, Any]:
    """Return errors of the angle, the last position, at the horizon [rad].

    They are medians and 90th percentiles over predictions that start every 0.1 s. References are the
    frictionless model and the persistence baseline ("persistence", and "still" as in earlier versions).
    """
    seen = replayed(found, segments, horizon)
    angle = seen.start[:, found.task.positions - 1]
    from_upright = np.abs((angle + np.pi) % (2.0 * np.pi) - np.pi)
    elsewhere = from_upright > UPRIGHT_RAD
    end = seen.measured[:, -1, -1]
    errors = {
        name: np.abs(predicted - end)
        for name, predicted in (
            ("learned", seen.learned[:, -1, -1]),
            ("frictionless", seen.frictionless[:, -1, -1]),
            ("persistence", seen.measured[:, 0, -1]),
            ("still", seen.measured[:, 0, -1]),
        )
    }
    references = ("frictionless", "persistence", "still")
    return {
        "horizon": horizon,
        "windows": len(end),
        "windows_not_upright": int(elsewhere.sum()),
        "angle_error": _summary(errors["learned"]),
        "angle_error_not_upright": _summary(errors["learned"][elsewhere]),
        "reference": {name: _summary(errors[name]) for name in references},
        "reference_not_upright": {name: _summary(errors[name][elsewhere]) for name in references},
    }


def _starts(length: int, steps: int, every: float) -> list[int]:
    """Return the starts of windows of `steps` in a segment of `length`, one every `every` steps, rounded."""
    count = int((length - steps) / every + 1e-6) + 1 if length >= steps else 0
    return [round(i * every) for i in range(count) if round(i * every) + steps <= length]


def _mean_prediction(
    dynamics: DynamicsModel, task: Task, members: Any, x0: np.ndarray, u: np.ndarray
) -> np.ndarray:
    """Return x[W, L + 1, n], the mean over the members."""
    ahead, count = open_loop_predictor(dynamics, task), jax.tree.leaves(members)[0].shape[0]
    each = [ahead(jax.tree.map(lambda leaf, i=i: leaf[i], members), x0, u) for i in range(count)]
    return np.mean([np.asarray(part) for part in each], axis=0)[..., : len(task.state_names)]


def _summary(errors: np.ndarray) -> dict[str, float | None]:
    """Return median and 90th percentile; None if there are no errors."""
    if not errors.size:
        return {"median": None, "p90": None}
    return {"median": float(np.median(errors)), "p90": float(np.percentile(errors, 90.0))}
