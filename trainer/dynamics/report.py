"""The figures of a fit by name, for logs, registries and terminals."""

from trainer.dynamics.groups import position_names
from trainer.dynamics.rung import Fit
from trainer.tasks.task import Task


def figures(task: Task, fit: Fit) -> dict[str, float]:
    """Return estimates with their 90 % intervals, and open-loop errors beside both references.

    `identified: X` is 1, or 0 where the data says little of X, which then is left to its prior. Where
    `at its bound: X` is there, X is as far as the model lets it, and may be beyond.
    """
    told: dict[str, float] = {}
    for name, estimate in fit.estimates.items():
        told[f"estimate: {name}"] = estimate.value
        told[f"estimate: {name}, 5 %"] = estimate.low
        told[f"estimate: {name}, 95 %"] = estimate.high
        told[f"identified: {name}"] = float(estimate.identified)
        if estimate.at_bound:
            told[f"at its bound: {name}"] = 1.0
    for horizon, error in fit.errors.items():
        for i, position in enumerate(position_names(task)):
            sizes = {
                "": error.learned,
                " of the simulator": error.simulator,
                " if nothing moved": error.still,
            }
            for whose, size in sizes.items():
                told[f"error of {position} after {horizon:g} s{whose}"] = size[i]
        told[f"error after {horizon:g} s, share of the change"] = error.share
    if fit.calibration is not None:
        told["ensemble: error per spread after 0.5 s"] = fit.calibration.scale
        told["ensemble: errors within 90 % intervals"] = fit.calibration.coverage
    return told
