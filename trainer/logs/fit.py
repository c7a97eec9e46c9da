"""Dynamics fitted to logs of a real rig, and kept in a directory."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from flax.serialization import from_bytes, to_bytes

from trainer.dynamics.catalogue import AUTO, fit_best, known_name, load_dynamics
from trainer.dynamics.dynamics_model import DynamicsModel, Estimate, Fit
from trainer.dynamics.ensemble_dynamics import EnsembleDynamics
from trainer.dynamics.physics_dynamics import PhysicsDynamics
from trainer.dynamics.residual_dynamics import ResidualDynamics
from trainer.dynamics.windows import Segment
from trainer.tasks import load_task
from trainer.tasks.task import Task

DESCRIPTION, PARAMETERS = "dynamics.json", "dynamics.msgpack"


class Identified(NamedTuple):
    """A fitted dynamics model, and the same model without friction, fitted to the same logs."""

    task: Task
    dynamics: DynamicsModel
    fit: Fit
    frictionless: Fit
    why: str = ""
    """Why `auto` selected the dynamics model; empty if it was named."""


def without_friction(dynamics: DynamicsModel) -> PhysicsDynamics:
    """Return the physics of `dynamics` without friction."""
    base = dynamics
    while isinstance(base, ResidualDynamics | EnsembleDynamics):
        base = base.base
    groups = base.groups if isinstance(base, PhysicsDynamics) else ()
    return PhysicsDynamics("frictionless", tuple(group for group in groups if group.name != "friction"))


def identify(
    task: Task, model: str, segments: list[Segment], seed: int, progress: Callable[[float], None]
) -> Identified:
    """Fit the dynamics model `model`, or the best, and its frictionless reference to segments.

    Raises:
        ValueError: there is no such dynamics model, or the segments are too short.
    """
    key, key_reference = jax.random.split(jax.random.key(seed))
    on_progress = lambda share: progress(0.7 * share)  # noqa: E731
    why = ""
    if known_name(model) == AUTO:
        choice = fit_best(task, segments, key, on_progress)
        dynamics, fit, why = choice.dynamics, choice.fit, choice.why
    else:
        dynamics = load_dynamics(model)
        fit = dynamics.fit(task, segments, key, on_progress)
    reference = without_friction(dynamics)
    frictionless = reference.fit(task, segments, key_reference, lambda share: progress(0.7 + 0.3 * share))
    return Identified(task, dynamics, fit, frictionless, why)


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
        "model": found.dynamics.name,
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
    task, dynamics = load_task(described["task"]), load_dynamics(described["model"])
    if task.control_dt != described["control_dt"]:
        raise ValueError(
            f"{directory} was fitted with a control step of {described['control_dt']:g} s; "
            f"task {task.name} has {task.control_dt:g} s now"
        )
    stack = lambda tree, count: jax.tree.map(lambda leaf: np.stack([np.asarray(leaf)] * count), tree)  # noqa: E731
    like = (
        stack(dynamics.nominal_parameters(task), described["members"]),
        stack(without_friction(dynamics).nominal_parameters(task), 1),
    )
    members, frictionless = from_bytes(like, (directory / PARAMETERS).read_bytes())
    estimates = {name: Estimate(**estimate) for name, estimate in described["estimates"].items()}
    return Identified(task, dynamics, Fit(members, {}, estimates), Fit(frictionless, {}, {}))
