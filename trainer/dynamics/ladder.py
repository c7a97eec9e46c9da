"""The rungs by name, and `auto`, the default, which picks one by its error on data held out."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from trainer.dynamics.black_box_rung import BlackBoxRung
from trainer.dynamics.ensemble_rung import EnsembleRung
from trainer.dynamics.groups import DELAY, FRICTION, GAIN, MASS, ROTOR, position_names
from trainer.dynamics.physics_rung import PhysicsRung
from trainer.dynamics.residual_rung import ResidualRung
from trainer.dynamics.rung import Fit, Rung
from trainer.dynamics.windows import Motion
from trainer.tasks.task import Task

AUTO = "auto"
DEFAULT_RUNG = "friction"
"""The family that a first training runs in."""
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
"""From few parameters to many, roughly."""

BETTER = 0.9
"""`auto` takes a later rung only if its error is below this share of the best so far."""
ENOUGH = 0.02
"""`auto` tries no further where a rung predicts to this share of the typical change, half a second ahead:
what is left is mostly noise, by which a later one would be chosen."""
GOOD = 0.1
"""`auto` asks no network where physics predicts to this share of the typical change, half a second ahead."""
PHYSICAL = ("friction", "drive", "physics")
"""What `auto` tries first: few parameters, fitted within seconds."""


class Choice(NamedTuple):
    """A rung, its fit, the error of every rung that was tried, by name, and why it was chosen, in words."""

    rung: Rung
    fit: Fit
    errors: dict[str, float]
    why: str


def rung(name: str) -> Rung:
    """Return the rung called `name`; empty is the first, `NAME-ensemble` several fits of NAME.

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
    """Return what a fit by `name` is called: a rung's full name, or `auto`, which empty means.

    Raises:
        ValueError: naming the choices.
    """
    return AUTO if name in {"", AUTO} else rung(name).name


def fit_best(task: Task, motions: list[Motion], key: jax.Array, progress: Callable[[float], None]) -> Choice:
    """Fit physics, and a network on top where that predicts badly; return what predicts held-out motion best.

    A network alone is never chosen: from seconds of data it learns no plant, and believes that it did. Nor is
    one asked where actions act later than the model can say: it does not see the actions before, and takes
    what they did for a force of the state.
    """
    fits: dict[str, Fit] = {}

    def tried(name: str) -> float:
        place = len(fits)
        told = lambda share: progress((place + share) / (len(PHYSICAL) + 1))  # noqa: E731
        fits[name] = LADDER[name].fit(task, motions, jax.random.fold_in(key, list(LADDER).index(name)), told)
        return held_out_error(fits[name])

    best, error = "", float("inf")
    for name in PHYSICAL:
        found = tried(name)
        if not best or found < BETTER * error:
            best, error = name, found
        if error <= ENOUGH:
            break
    residual = f"{best}-residual"
    unexplained = error > GOOD and bool(fits[best].errors) and residual in LADDER
    late = unexplained and _too_late(task, fits[best])
    if unexplained and not late and tried(residual) < BETTER * error:
        best = residual
    progress(1.0)
    errors = {name: held_out_error(fit) for name, fit in fits.items()}
    why = _why(task, best, fits) + (
        "; no network was asked: actions act later than it could see" if late else ""
    )
    return Choice(LADDER[best], fits[best], errors, why)


def _too_late(task: Task, fit: Fit) -> bool:
    """Return whether the delay of actions is at its bound."""
    return any(fit.estimates[name].at_bound for name in DELAY.names(task) if name in fit.estimates)


def _why(task: Task, best: str, fits: dict[str, Fit]) -> str:
    """Return in words which rung was chosen, and what each predicts, in the units of the task."""
    if not fits[best].errors:
        return f"auto chose {best!r}: the data is too short to hold some of it out, so the first is taken"
    horizon = min(fits[best].errors)
    units = [name.rpartition("[")[2].rstrip("]") for name in task.state_names]
    names = position_names(task)

    def described(sizes: tuple[float, ...]) -> str:
        parts = zip(names, sizes, units, strict=False)
        return ", ".join(f"{name} {size:.3g} {unit}" for name, size, unit in parts)

    tried = {name: fit.errors[horizon] for name, fit in fits.items()}
    shown = [f"{name!r} {e.share:.1%} ({described(e.learned)})" for name, e in tried.items()]
    return (
        f"auto chose {best!r}, by how it predicts motion held out {horizon:g} s ahead; root mean "
        f"square error in shares of the typical change, and median errors: {'; '.join(shown)}; the plain "
        f"simulator ({described(tried[best].simulator)}). A later one is tried if no share is below "
        f"{ENOUGH:.0%}, and taken if its share is below {BETTER:g} of the best before"
    )


def held_out_error(fit: Fit) -> float:
    """Return the error at the shortest horizon, a share of the typical change; infinite if none is known."""
    return fit.errors[min(fit.errors)].share if fit.errors else float("inf")
