"""Dynamics fitted to logs of a real rig, and kept in a directory."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from flax.serialization import from_bytes, to_bytes

from trainer.dynamics.ensemble_rung import EnsembleRung
from trainer.dynamics.ladder import AUTO, fit_best, known_name
from trainer.dynamics.ladder import rung as rung_of
from trainer.dynamics.physics_rung import PhysicsRung
from trainer.dynamics.residual_rung import ResidualRung
from trainer.dynamics.rung import Estimate, Fit, Rung
from trainer.dynamics.windows import Motion
from trainer.tasks import load_task
from trainer.tasks.task import Task

DESCRIPTION, PARAMETERS = "dynamics.json", "dynamics.msgpack"


class Identified(NamedTuple):
    """What was fitted, and the same model fitted to the same logs without friction."""

    task: Task
    rung: Rung
    fit: Fit
    frictionless: Fit
    why: str = ""
    """Why `auto` chose the rung; empty if it was named."""


def without_friction(rung: Rung) -> PhysicsRung:
    """Return the physics of `rung` with no friction to identify."""
    base = rung
    while isinstance(base, ResidualRung | EnsembleRung):
        base = base.base
    groups = base.groups if isinstance(base, PhysicsRung) else ()
    return PhysicsRung("frictionless", tuple(group for group in groups if group.name != "friction"))


def identify(
    task: Task, model: str, motions: list[Motion], seed: int, progress: Callable[[float], None]
) -> Identified:
    """Fit the rung called `model`, or the best, and its frictionless reference, to motions of control steps.

    Raises:
        ValueError: there is no such rung, or the motions are too short.
    """
    key, key_reference = jax.random.split(jax.random.key(seed))
    told = lambda share: progress(0.7 * share)  # noqa: E731
    why = ""
    if known_name(model) == AUTO:
        choice = fit_best(task, motions, key, told)
        rung, fit, why = choice.rung, choice.fit, choice.why
    else:
        rung = rung_of(model)
        fit = rung.fit(task, motions, key, told)
    reference = without_friction(rung)
    frictionless = reference.fit(task, motions, key_reference, lambda share: progress(0.7 + 0.3 * share))
    return Identified(task, rung, fit, frictionless, why)


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
    estimates = {name: Estimate(**estimate) for name, estimate in described["estimates"].items()}
    return Identified(task, rung, Fit(members, {}, estimates), Fit(frictionless, {}, {}))
