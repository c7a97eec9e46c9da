"""The dynamics models by name, and `auto`, the default, which selects one by its held-out error."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from trainer.dynamics.black_box_dynamics import BlackBoxDynamics
from trainer.dynamics.dynamics_model import DynamicsModel, Fit
from trainer.dynamics.ensemble_dynamics import EnsembleDynamics
from trainer.dynamics.groups import DELAY, FRICTION, GAIN, MASS, ROTOR, position_names
from trainer.dynamics.physics_dynamics import PhysicsDynamics
from trainer.dynamics.residual_dynamics import ResidualDynamics
from trainer.dynamics.user_dynamics import user_dynamics
from trainer.dynamics.windows import Segment
from trainer.tasks.task import Task
from trainer.user_file import is_file

AUTO = "auto"
DEFAULT = "friction"
"""The dynamics model of a first training."""
ENSEMBLE = "-ensemble"

_FRICTION = PhysicsDynamics()
_PHYSICS = PhysicsDynamics("physics", (FRICTION, GAIN, MASS, DELAY))
_DRIVE = PhysicsDynamics("drive", (FRICTION, GAIN, ROTOR))
_SIMULATOR = PhysicsDynamics("simulator", ())
DYNAMICS: dict[str, DynamicsModel] = {
    dynamics.name: dynamics
    for dynamics in (
        _FRICTION,
        _DRIVE,
        _PHYSICS,
        ResidualDynamics("friction-residual", _FRICTION),
        ResidualDynamics("physics-residual", _PHYSICS),
        ResidualDynamics("residual", _SIMULATOR),
        BlackBoxDynamics(),
    )
}
"""Roughly in the order of their number of parameters."""

BETTER = 0.9
"""`auto` selects a later model only if its error is below this share of the best so far."""
ENOUGH = 0.02
"""`auto` stops at a model with this relative error, half a second ahead: what is left is mostly noise."""
GOOD = 0.1
"""`auto` tries no network if physics has this relative error, half a second ahead."""
PHYSICAL = ("friction", "drive", "physics")
"""The models that `auto` tries first: few parameters, fitted within seconds."""


class Choice(NamedTuple):
    """The selected dynamics model, its fit, the errors of all that were tried, by name, and the reason."""

    dynamics: DynamicsModel
    fit: Fit
    errors: dict[str, float]
    why: str


def load_dynamics(name: str) -> DynamicsModel:
    """Return the dynamics model `name`; empty is the default, `NAME-ensemble` an ensemble of NAME.

    `FILE.py:NAME` is that of a user's file.

    Raises:
        ValueError: naming the choices, if there is none of that name.
    """
    name = name or DEFAULT
    base = name.removesuffix(ENSEMBLE)
    if is_file(base):
        found: DynamicsModel = user_dynamics(base)
    elif base in DYNAMICS:
        found = DYNAMICS[base]
    else:
        choices = ", ".join(DYNAMICS)
        raise ValueError(
            f"unknown dynamics model {name!r}; choose one of: {choices}, {AUTO}, one with {ENSEMBLE}, or "
            "FILE.py:NAME"
        )
    return found if base == name else EnsembleDynamics(found)


def known_name(name: str) -> str:
    """Return the full name of a dynamics model, or `auto`, which is also the meaning of an empty name.

    Raises:
        ValueError: naming the choices.
    """
    return AUTO if name in {"", AUTO} else load_dynamics(name).name


def fit_best(
    task: Task, segments: list[Segment], key: jax.Array, progress: Callable[[float], None]
) -> Choice:
    """Fit physics, and a residual network if that predicts badly; return the best on held-out data.

    A network alone is never selected: it cannot be learned from seconds of data. Nor is a residual network
    tried if the delay of actions is at its bound: it does not see past actions, and would take their effect
    for a force that depends on the state.
    """
    fits: dict[str, Fit] = {}

    def tried(name: str) -> float:
        place = len(fits)
        on_progress = lambda share: progress((place + share) / (len(PHYSICAL) + 1))  # noqa: E731
        fits[name] = DYNAMICS[name].fit(
            task, segments, jax.random.fold_in(key, list(DYNAMICS).index(name)), on_progress
        )
        return held_out_error(fits[name])

    best, error = "", float("inf")
    for name in PHYSICAL:
        found = tried(name)
        if not best or found < BETTER * error:
            best, error = name, found
        if error <= ENOUGH:
            break
    residual = f"{best}-residual"
    unexplained = error > GOOD and bool(fits[best].errors) and residual in DYNAMICS
    late = unexplained and _too_late(task, fits[best])
    if unexplained and not late and tried(residual) < BETTER * error:
        best = residual
    progress(1.0)
    errors = {name: held_out_error(fit) for name, fit in fits.items()}
    why = _why(task, best, fits) + (
        "; no network was tried: the delay of actions is at its bound" if late else ""
    )
    return Choice(DYNAMICS[best], fits[best], errors, why)


def _too_late(task: Task, fit: Fit) -> bool:
    """Return whether the delay of actions is at its bound."""
    return any(fit.estimates[name].at_bound for name in DELAY.names(task) if name in fit.estimates)


def _why(task: Task, best: str, fits: dict[str, Fit]) -> str:
    """Return which model was selected, and the errors of each, in the units of the task."""
    if not fits[best].errors:
        return f"auto selected {best!r}: the data are too short to hold any out, so the first model is used"
    horizon = min(fits[best].errors)
    units = [name.rpartition("[")[2].rstrip("]") for name in task.state_names]
    names = position_names(task)

    def described(sizes: tuple[float, ...]) -> str:
        parts = zip(names, sizes, units, strict=False)
        return ", ".join(f"{name} {size:.3g} {unit}" for name, size, unit in parts)

    tried = {name: fit.errors[horizon] for name, fit in fits.items()}
    shown = [f"{name!r} {e.relative_rms:.1%} ({described(e.learned)})" for name, e in tried.items()]
    return (
        f"auto selected {best!r} by its error on held-out data, {horizon:g} s ahead; root mean square "
        f"error relative to the typical change, and median errors: {'; '.join(shown)}; the simulator "
        f"({described(tried[best].simulator)}). A later model is tried if no relative error is below "
        f"{ENOUGH:.0%}, and selected if its error is below {BETTER:g} of the best before"
    )


def held_out_error(fit: Fit) -> float:
    """Return the relative error at the shortest horizon; infinite if nothing was held out."""
    return fit.errors[min(fit.errors)].relative_rms if fit.errors else float("inf")
