"""What a rung of the ladder of learned dynamics is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax

from trainer.dynamics.windows import Motion
from trainer.tasks.task import Task

WINDOW_STEPS = 10
"""Control steps over which the dynamics are fitted and judged."""
SUBSTEPS = 1
"""Runge-Kutta steps per control step."""


class Fit(NamedTuple):
    """Learned dynamics.

    Attributes:
        members: parameters of the family, stacked along a leading axis (an ensemble of one or more).
        error: root mean square error of the windows held out, in units of a typical change.
        reference_error: the same of the simulator without the learned part.
        estimates: what was identified, by name, in physical units.
    """

    members: Any
    error: float
    reference_error: float
    estimates: dict[str, float]


class Rung(Protocol):
    """A family of forces on the joints of the simulator, and how it is fitted."""

    @property
    def name(self) -> str:
        """As in `--dynamics-model`."""
        ...

    @property
    def substeps(self) -> int:
        """Runge-Kutta steps per control step that the force needs."""
        ...

    def force(self, theta: Any, q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
        """Return the force of the family on the joints [d]."""
        ...

    def nothing(self, task: Task) -> Any:
        """Return the parameters under which the family is the simulator itself."""
        ...

    def fit(
        self, task: Task, motions: list[Motion], key: jax.Array, progress: Callable[[float], None]
    ) -> Fit:
        """Fit the family to recorded motion; `progress` gets the share done."""
        ...


@dataclass(frozen=True)
class Split:
    """Motions to fit to, and motions held out to judge by."""

    fitted: list[Motion]
    held_out: list[Motion]


def split(motions: list[Motion], window: int = WINDOW_STEPS) -> Split:
    """Hold out every fourth episode; below four episodes, the last fifth of each."""
    if len(motions) >= 4:
        held_out = motions[3::4]
        return Split([motion for i, motion in enumerate(motions) if i % 4 != 3], held_out)
    fitted, held_out = [], []
    for motion in motions:
        cut = motion.u.shape[0] - max(window, motion.u.shape[0] // 5)
        if cut < window:
            fitted.append(motion)
            continue
        fitted.append(Motion(motion.x[: cut + 1], motion.u[:cut]))
        held_out.append(Motion(motion.x[cut:], motion.u[cut:]))
    return Split(fitted, held_out or fitted)
