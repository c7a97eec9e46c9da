"""What a rung of the ladder of learned dynamics is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax

from trainer.dynamics.windows import Motion
from trainer.learning.trajectory import Model
from trainer.tasks.task import Task

WINDOW_STEPS = 10
"""Control steps over which the dynamics are fitted."""
SUBSTEPS = 1
"""Runge-Kutta steps per control step."""


class Estimate(NamedTuple):
    """A value and its 90 % interval, in physical units; the prior's where the data says nothing.

    `at_bound` says that the value is at a limit of the model, beyond which the truth may lie: then it is not
    identified, and its interval ends there for no better reason.
    """

    value: float
    low: float
    high: float
    identified: bool
    at_bound: bool = False


class Comparison(NamedTuple):
    """How much worse learned dynamics predict than a reference, over the same starts.

    Attributes:
        mean: mean squared error, in units of the typical change, minus the reference's; above 0 is worse.
        error: its standard error; starts that overlap count as one.
        counts: whether the difference is more than the sensors' noise in any state.
        ahead_s: how far ahead was predicted [s]; less than the shortest horizon where little was held out, so
            that there are predictions enough that do not overlap.
    """

    mean: float
    error: float
    counts: bool
    ahead_s: float = 0.5


class HorizonError(NamedTuple):
    """Median size of the open-loop position error [d] at a horizon, in m or rad, on data held out.

    Attributes:
        learned: of the learned dynamics.
        simulator: of the simulator without the learned part.
        still: of "nothing moves".
        share: of the learned dynamics, root mean square over all states in units of their typical change.
        over_simulator, over_still: how much worse than these the learned dynamics are, at the shortest
            horizon; None at others, or where the held-out data is too short to tell.
    """

    learned: tuple[float, ...]
    simulator: tuple[float, ...]
    still: tuple[float, ...]
    share: float
    over_simulator: Comparison | None = None
    over_still: Comparison | None = None


class Calibration(NamedTuple):
    """How the spread of an ensemble's predictions relates to its error, 0.5 s ahead, on data held out.

    Attributes:
        scale: root mean square of error / spread, on every second start: what to multiply the spread by.
        coverage: share of the errors at the other starts within ± 1.645 scaled spreads; 0.9 is right.
    """

    scale: float
    coverage: float


class Fit(NamedTuple):
    """Learned dynamics.

    Attributes:
        members: parameters of the family, stacked along a leading axis (an ensemble of one or more).
        errors: by horizon [s], as far as the held-out data reaches; empty where none could be held out.
        estimates: what was identified, by name.
        calibration: of an ensemble's spread; None for a single model, or where held-out data is too short.
    """

    members: Any
    errors: dict[float, HorizonError]
    estimates: dict[str, Estimate]
    calibration: Calibration | None = None


class Rung(Protocol):
    """A family of models with the simulator in it, and how it is fitted."""

    @property
    def name(self) -> str:
        """As in `--dynamics-model`."""
        ...

    @property
    def memory(self) -> int:
        """How many applied actions the model's state carries besides the plant's: 0 or 1."""
        ...

    @property
    def extrapolates(self) -> bool:
        """Whether the family says something sensible where nothing was recorded: a network alone does not."""
        ...

    def model(self, task: Task) -> Model:
        """Return the family's model of one control step."""
        ...

    def nothing(self, task: Task) -> Any:
        """Return the parameters under which the family is the simulator itself."""
        ...

    def fit(
        self, task: Task, motions: list[Motion], key: jax.Array, progress: Callable[[float], None]
    ) -> Fit:
        """Fit the family to recorded motion of the plant's states; `progress` gets the share done."""
        ...


@dataclass(frozen=True)
class Split:
    """Motions to fit to, and motions held out to judge by; none where there is too little for both."""

    fitted: list[Motion]
    held_out: list[Motion]


def split(motions: list[Motion], window: int = WINDOW_STEPS) -> Split:
    """Hold out every fourth episode; below four episodes, the last fifth of each, at least `window` steps."""
    if len(motions) >= 4:
        held_out = motions[3::4]
        return Split([motion for i, motion in enumerate(motions) if i % 4 != 3], held_out)
    fitted, held_out = [], []
    for motion in motions:
        cut = motion.u.shape[0] - max(window, motion.u.shape[0] // 5)
        if cut < window:
            fitted.append(motion)
            continue
        fitted.append(motion.part(0, cut))
        held_out.append(motion.part(cut, motion.u.shape[0]))
    return Split(fitted, held_out)
