"""Dynamics fitted to logs of a real rig, kept in a directory, and scored on another log."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.serialization import from_bytes, to_bytes

from trainer.dynamics.judge import predict
from trainer.dynamics.ladder import rung as rung_of
from trainer.dynamics.physics_rung import PhysicsRung
from trainer.dynamics.residual_rung import ResidualRung
from trainer.dynamics.rung import Fit, Rung
from trainer.dynamics.windows import Motion, remembering
from trainer.tasks import load_task
from trainer.tasks.task import Task

DEFAULT_MODEL = "drive"
DESCRIPTION, PARAMETERS = "dynamics.json", "dynamics.msgpack"
UPRIGHT_RAD = 0.35
"""Starts nearer to upright are told apart: whatever errs a little there errs much soon."""
EVERY_S = 0.1
"""Time between the starts of predictions."""


class Identified(NamedTuple):
    """What was fitted, and the same model fitted to the same logs without friction."""

    task: Task
    rung: Rung
    fit: Fit
    frictionless: Fit


def without_friction(rung: Rung) -> PhysicsRung:
    """Return the physics of `rung` with no friction to identify."""
    base = rung.base if isinstance(rung, ResidualRung) else rung
    groups = base.groups if isinstance(base, PhysicsRung) else ()
    return PhysicsRung("frictionless", tuple(group for group in groups if group.name != "friction"))


def identify(
    task: Task, rung: Rung, motions: list[Motion], seed: int, progress: Callable[[float], None]
) -> Identified:
    """Fit `rung`, and its frictionless reference, to motions of control steps."""
    key = jax.random.key(seed)
    fit = rung.fit(task, motions, key, lambda share: progress(0.7 * share))
    reference = without_friction(rung)
    frictionless = reference.fit(task, motions, key, lambda share: progress(0.7 + 0.3 * share))
    return Identified(task, rung, fit, frictionless)


def save(found: Identified, directory: Path, logs: list[Path], seed: int) -> None:
    """Write what `load` needs, and what was identified as JSON.

    Raises:
        OSError: it cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / PARAMETERS).write_bytes(to_bytes((found.fit.members, found.frictionless.members)))
    members = jax.tree.leaves(found.fit.members)[0].shape[0]
    described = {
        "task": found.task.name,
        "control_dt": found.task.control_dt,
        "model": found.rung.name,
        "members": members,
        "seed": seed,
        "logs": [path.name for path in logs],
        "estimates": {name: e._asdict() for name, e in found.fit.estimates.items()},
        "held_out": {f"{horizon:g}": e._asdict() for horizon, e in found.fit.errors.items()},
    }
    (directory / DESCRIPTION).write_text(json.dumps(described, indent=2) + "\n")


def load(directory: Path) -> Identified:
    """Return what `save` wrote.

    Raises:
        OSError: there is nothing of the kind.
        ValueError: the task or the model is unknown, or the task's control step is another now.
    """
    path = directory / DESCRIPTION
    if not path.is_file():
        raise FileNotFoundError(f"{directory} holds no dynamics; 'hds-trainer fit-dynamics --out' makes them")
    described = json.loads(path.read_text())
    task, rung = load_task(described["task"]), rung_of(described["model"])
    if task.control_dt != described["control_dt"]:
        raise ValueError(
            f"{directory} was fitted with a control step of {described['control_dt']:g} s; "
            f"task {task.name} has {task.control_dt:g} s now"
        )
    stack = lambda tree, count: jax.tree.map(lambda leaf: np.stack([np.asarray(leaf)] * count), tree)  # noqa: E731
    like = (
        stack(rung.nothing(task), described["members"]),
        stack(without_friction(rung).nothing(task), 1),
    )
    members, frictionless = from_bytes(like, (directory / PARAMETERS).read_bytes())
    return Identified(task, rung, Fit(members, {}, {}), Fit(frictionless, {}, {}))


class Predictions(NamedTuple):
    """Positions of W starts: measured and predicted [W, L + 1, d], and the start's states [W, n]."""

    start: np.ndarray
    measured: np.ndarray
    learned: np.ndarray
    frictionless: np.ndarray


def replayed(found: Identified, motions: list[Motion], horizon: float) -> Predictions:
    """Replay measured actions open loop for `horizon` [s] from each 0.1 s of the motions.

    Raises:
        ValueError: no motion is that long.
    """
    steps = max(1, round(horizon / found.task.control_dt))
    places = [
        (i, k)
        for i, motion in enumerate(motions)
        for k in _starts(motion.u.shape[0], steps, found.task.control_dt)
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


def _starts(length: int, steps: int, control_dt: float) -> list[int]:
    every = EVERY_S / control_dt
    count = int((length - steps) / every + 1e-6) + 1 if length >= steps else 0
    return [round(i * every) for i in range(count) if round(i * every) + steps <= length]


def _mean_prediction(rung: Rung, task: Task, members: Any, x0: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return x[W, L + 1, n], the mean over the members."""
    count = jax.tree.leaves(members)[0].shape[0]
    each = [
        predict(rung, task, u.shape[1])(jax.tree.map(lambda leaf, i=i: leaf[i], members), x0, u)
        for i in range(count)
    ]
    return np.mean([np.asarray(part) for part in each], axis=0)[..., : len(task.state_names)]


def _spread(errors: np.ndarray) -> dict[str, float | None]:
    """Return median and 90th percentile; None where there is nothing to judge."""
    if not errors.size:
        return {"median": None, "p90": None}
    return {"median": float(np.median(errors)), "p90": float(np.percentile(errors, 90.0))}
