"""The metrics of a fit by name, for logs, the registry and terminals."""

from trainer.dynamics.dynamics_model import Fit
from trainer.dynamics.groups import position_names
from trainer.tasks.task import Task


def figures(task: Task, fit: Fit) -> dict[str, float]:
    """Return estimates with 90 % intervals, and open-loop errors of the model and both references.

    `identified: X` is 1, or 0 if the data do not determine X and it stays near its prior. `at its bound: X`
    is present if X is at a limit of the model, and its true value may lie beyond.
    """
    metrics: dict[str, float] = {}
    for name, estimate in fit.estimates.items():
        metrics[f"estimate: {name}"] = estimate.value
        metrics[f"estimate: {name}, 5 %"] = estimate.low
        metrics[f"estimate: {name}, 95 %"] = estimate.high
        metrics[f"identified: {name}"] = float(estimate.identified)
        if estimate.at_bound:
            metrics[f"at its bound: {name}"] = 1.0
    for horizon, error in fit.errors.items():
        for i, position in enumerate(position_names(task)):
            sizes = {
                "": error.learned,
                " of the simulator": error.simulator,
                " of persistence": error.persistence,
            }
            for whose, size in sizes.items():
                metrics[f"error of {position} after {horizon:g} s{whose}"] = size[i]
        metrics[f"error after {horizon:g} s, share of the change"] = error.relative_rms
    if fit.calibration is not None:
        metrics["ensemble: error per spread after 0.5 s"] = fit.calibration.scale
        metrics["ensemble: errors within 90 % intervals"] = fit.calibration.coverage
    return metrics
