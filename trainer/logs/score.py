"""How well fitted dynamics predict a log that they were not fitted to: actions replayed open loop."""

from typing import Any, NamedTuple

import jax
import numpy as np

from trainer.dynamics.judge import predict
from trainer.dynamics.rung import Rung
from trainer.dynamics.windows import Motion, remembering
from trainer.logs.identify import Identified, without_friction
from trainer.tasks.task import Task

UPRIGHT_RAD = 0.35
"""Starts nearer to upright are told apart: whatever errs a little there errs much soon."""
EVERY_S = 0.1
"""Time between the starts of predictions."""


class Predictions(NamedTuple):
    """Positions of W starts: measured and predicted [W, L + 1, d], and the start's states [W, n]."""

    start: np.ndarray
    measured: np.ndarray
    learned: np.ndarray
    frictionless: np.ndarray


def replayed(found: Identified, motions: list[Motion], horizon: float, every: float = EVERY_S) -> Predictions:
    """Replay measured actions open loop for `horizon` [s], begun anew every so often [s] of the motions.

    Raises:
        ValueError: no motion is that long.
    """
    steps = max(1, round(horizon / found.task.control_dt))
    places = [
        (i, k)
        for i, motion in enumerate(motions)
        for k in _starts(motion.u.shape[0], steps, every / found.task.control_dt)
    ]
    if not places:
        raise ValueError(f"the log has no stretch of {horizon:g} s")
    parts = []
    for rung, fit in ((found.rung, found.fit), (without_friction(found.rung), found.frictionless)):
        seen = remembering(motions, rung.memory)
        x0 = np.stack([seen[i].x[k] for i, k in places])
        u = np.stack([seen[i].u[k : k + steps] for i, k in places])
        parts.append(_mean_prediction(rung, found.task, fit.members, x0, u))
    x = np.stack([motions[i].x[k : k + steps + 1] for i, k in places])
    joints = slice(0, found.task.positions)
    return Predictions(x[:, 0], x[..., joints], *(part[..., joints] for part in parts))


def score(found: Identified, motions: list[Motion], horizon: float) -> dict[str, Any]:
    """Return errors of the angle, the last position, at the horizon [rad].

    They are medians and 90th percentiles over starts at each 0.1 s, beside the frictionless reference and
    "still": the angle stays as it is.
    """
    seen = replayed(found, motions, horizon)
    angle = seen.start[:, found.task.positions - 1]
    from_upright = np.abs((angle + np.pi) % (2.0 * np.pi) - np.pi)
    elsewhere = from_upright > UPRIGHT_RAD
    end = seen.measured[:, -1, -1]
    errors = {
        name: np.abs(predicted - end)
        for name, predicted in (
            ("learned", seen.learned[:, -1, -1]),
            ("frictionless", seen.frictionless[:, -1, -1]),
            ("still", seen.measured[:, 0, -1]),
        )
    }
    references = ("frictionless", "still")
    return {
        "horizon": horizon,
        "windows": len(end),
        "windows_not_upright": int(elsewhere.sum()),
        "angle_error": _spread(errors["learned"]),
        "angle_error_not_upright": _spread(errors["learned"][elsewhere]),
        "reference": {name: _spread(errors[name]) for name in references},
        "reference_not_upright": {name: _spread(errors[name][elsewhere]) for name in references},
    }


def _starts(length: int, steps: int, every: float) -> list[int]:
    """Return where windows of `steps` begin in a motion of `length`, `every` so many steps, rounded."""
    count = int((length - steps) / every + 1e-6) + 1 if length >= steps else 0
    return [round(i * every) for i in range(count) if round(i * every) + steps <= length]


def _mean_prediction(rung: Rung, task: Task, members: Any, x0: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return x[W, L + 1, n], the mean over the members."""
    count = jax.tree.leaves(members)[0].shape[0]
    each = [
        predict(rung, task)(jax.tree.map(lambda leaf, i=i: leaf[i], members), x0, u) for i in range(count)
    ]
    return np.mean([np.asarray(part) for part in each], axis=0)[..., : len(task.state_names)]


def _spread(errors: np.ndarray) -> dict[str, float | None]:
    """Return median and 90th percentile; None where there is nothing to judge."""
    if not errors.size:
        return {"median": None, "p90": None}
    return {"median": float(np.median(errors)), "p90": float(np.percentile(errors, 90.0))}
