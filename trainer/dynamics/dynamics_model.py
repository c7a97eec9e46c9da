"""The interface of a dynamics model, the result of a fit, and the split into fitted and held-out data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax

from trainer.dynamics.windows import Segment
from trainer.models.model import Model
from trainer.tasks.task import Task

WINDOW_STEPS = 10
"""Control steps over which the dynamics are fitted."""
SUBSTEPS = 1
"""Runge-Kutta steps per control step."""


class Estimate(NamedTuple):
    """A parameter and its 90 % interval, in physical units; those of the prior if the data do not narrow it.

    `at_bound`: the value is at a limit of the model, and the truth may lie beyond. Then the parameter is not
    identified, and the interval is cut off at the limit.
    """

    value: float
    low: float
    high: float
    identified: bool
    at_bound: bool = False


class Comparison(NamedTuple):
    """Squared error of learned dynamics minus that of a reference, over the same predictions.

    Attributes:
        mean: mean difference, in units of the squared typical change; above 0 is worse than the reference.
        error: standard error of the mean; predictions that overlap count as one.
        counts: whether the difference exceeds the sensors' noise in any state.
        ahead_s: length of the predictions [s]. It is shorter than the shortest horizon if little was held
            out, so that enough predictions do not overlap.
    """

    mean: float
    error: float
    counts: bool
    ahead_s: float = 0.5


class HorizonError(NamedTuple):
    """Median absolute open-loop position error [d] at a horizon, in m or rad, on held-out data.

    Attributes:
        learned: of the learned dynamics.
        simulator: of the simulator without the learned part.
        persistence: of the persistence baseline, which predicts no change.
        relative_rms: root mean square error of the learned dynamics over all states, in units of their
            typical change.
        over_simulator, over_persistence: comparison with these at the shortest horizon; None at others, or
            if the held-out data are too short.
    """

    learned: tuple[float, ...]
    simulator: tuple[float, ...]
    persistence: tuple[float, ...]
    relative_rms: float
    over_simulator: Comparison | None = None
    over_persistence: Comparison | None = None


class Calibration(NamedTuple):
    """Calibration of an ensemble: its standard deviation against its error, 0.5 s ahead, on held-out data.

    Attributes:
        scale: root mean square of error / standard deviation over every second prediction. Multiply the
            standard deviation by it.
        coverage: share of the errors of the other predictions within ± 1.645 scaled standard deviations;
            0.9 is correct.
    """

    scale: float
    coverage: float


class Fit(NamedTuple):
    """Learned dynamics: the result of a fit.

    Attributes:
        members: parameters, stacked along a leading axis (an ensemble of one or more).
        errors: by horizon [s], as far as the held-out data are long enough; empty if nothing was held out.
        estimates: identified parameters, by name.
        calibration: None for a single model, or if the held-out data are too short.
    """

    members: Any
    errors: dict[float, HorizonError]
    estimates: dict[str, Estimate]
    calibration: Calibration | None = None


class DynamicsModel(Protocol):
    """A model with parameters that are fitted to data. For its nominal parameters it is the simulator."""

    @property
    def name(self) -> str:
        """As in `--dynamics-model`."""
        ...

    @property
    def action_history(self) -> int:
        """Number of past actions that the model's state holds besides the plant's state: 0 or 1."""
        ...

    @property
    def extrapolates(self) -> bool:
        """Whether predictions are sensible outside the recorded states. Those of a network alone are not."""
        ...

    def model(self, task: Task) -> Model:
        """Return the model of one control step."""
        ...

    def nominal_parameters(self, task: Task) -> Any:
        """Return the parameters that make the model equal to the simulator."""
        ...

    def fit(
        self, task: Task, segments: list[Segment], key: jax.Array, progress: Callable[[float], None]
    ) -> Fit:
        """Fit to recorded segments of the plant's states; `progress` gets the share done, in [0, 1]."""
        ...


class Delegating:
    """The members of a dynamics model that are those of its `base`."""

    base: DynamicsModel

    @property
    def action_history(self) -> int:
        """Return the base's."""
        return self.base.action_history

    @property
    def extrapolates(self) -> bool:
        """Return the base's."""
        return self.base.extrapolates

    def model(self, task: Task) -> Model:
        """Return the base's model; each trajectory of a batch runs in one member of an ensemble."""
        return self.base.model(task)

    def nominal_parameters(self, task: Task) -> Any:
        """Return the base's."""
        return self.base.nominal_parameters(task)


@dataclass(frozen=True)
class Split:
    """Segments to fit to and held-out segments; none are held out if there is too little data for both."""

    fitted: list[Segment]
    held_out: list[Segment]


def split(segments: list[Segment], window: int = WINDOW_STEPS) -> Split:
    """Hold out every fourth episode; below four episodes, the last fifth of each, at least `window` steps."""
    if len(segments) >= 4:
        held_out = segments[3::4]
        return Split([segment for i, segment in enumerate(segments) if i % 4 != 3], held_out)
    fitted, held_out = [], []
    for segment in segments:
        cut = segment.u.shape[0] - max(window, segment.u.shape[0] // 5)
        if cut < window:
            fitted.append(segment)
            continue
        fitted.append(segment.part(0, cut))
        held_out.append(segment.part(cut, segment.u.shape[0]))
    return Split(fitted, held_out)
