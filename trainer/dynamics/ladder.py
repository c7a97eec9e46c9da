"""The rungs by name, and `auto`, which picks one by its error on data held out."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from trainer.dynamics.black_box_rung import BlackBoxRung, suits
from trainer.dynamics.ensemble_rung import EnsembleRung
from trainer.dynamics.groups import DELAY, FRICTION, GAIN, MASS, ROTOR
from trainer.dynamics.physics_rung import PhysicsRung
from trainer.dynamics.residual_rung import ResidualRung
from trainer.dynamics.rung import Fit, Rung
from trainer.dynamics.windows import Motion
from trainer.tasks.task import Task

AUTO = "auto"
DEFAULT_RUNG = "friction"
ENSEMBLE = "-ensemble"

_FRICTION = PhysicsRung()
_PHYSICS = PhysicsRung("physics", (FRICTION, GAIN, MASS, DELAY))
_DRIVE = PhysicsRung("drive", (FRICTION, GAIN, ROTOR))
_SIMULATOR = PhysicsRung("simulator", ())
LADDER: dict[str, Rung] = {
    rung.name: rung
    for rung in (
        _FRICTION,
        _DRIVE,
        _PHYSICS,
        ResidualRung("friction-residual", _FRICTION),
        ResidualRung("physics-residual", _PHYSICS),
        ResidualRung("residual", _SIMULATOR),
        BlackBoxRung(),
    )
}
"""From few parameters to many, roughly: `auto` prefers the earlier of two that are about as good."""

BETTER = 0.9
"""`auto` takes a later rung only if its error is below this share of the best so far."""


class Choice(NamedTuple):
    """A rung, its fit, and the error of every rung that was tried, by name."""

    rung: Rung
    fit: Fit
    errors: dict[str, float]


def rung(name: str) -> Rung:
    """Return the rung called `name`; empty means the default, `NAME-ensemble` several fits of NAME.

    Raises:
        ValueError: naming the choices, if there is none of that name.
    """
    name = name or DEFAULT_RUNG
    base = name.removesuffix(ENSEMBLE)
    if base not in LADDER:
        choices = ", ".join(LADDER)
        raise ValueError(
            f"unknown dynamics model {name!r}; choose one of: {choices}, {AUTO}, or one with {ENSEMBLE}"
        )
    return LADDER[base] if base == name else EnsembleRung(LADDER[base])


def known_name(name: str) -> str:
    """Return what a fit by `name` is called: a rung's full name, or `auto`.

    Raises:
        ValueError: naming the choices.
    """
    return AUTO if name == AUTO else rung(name).name


def fit_best(task: Task, motions: list[Motion], key: jax.Array, progress: Callable[[float], None]) -> Choice:
    """Fit every rung and return the one that predicts held-out motion best, 0.5 s ahead."""
    chosen: Choice | None = None
    errors: dict[str, float] = {}
    suitable = [rung for rung in LADDER.values() if rung.name != BlackBoxRung.name or suits(task)]
    for tried, candidate in enumerate(suitable):
        told = lambda share, tried=tried: progress((tried + share) / len(suitable))  # noqa: E731
        fit = candidate.fit(task, motions, jax.random.fold_in(key, tried), told)
        errors[candidate.name] = held_out_error(fit)
        if chosen is None or errors[candidate.name] < BETTER * held_out_error(chosen.fit):
            chosen = Choice(candidate, fit, errors)
    assert chosen is not None, "the ladder has rungs"
    return chosen


def held_out_error(fit: Fit) -> float:
    """Return the error at the shortest horizon, a share of the typical change; infinite if none is known."""
    return fit.errors[min(fit.errors)].share if fit.errors else float("inf")
