"""A figure of identified dynamics: parameters, measured and predicted motion, error by horizon."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.dynamics.dynamics_model import Estimate
from trainer.dynamics.groups import joint_names
from trainer.dynamics.windows import Segment
from trainer.logs.fit import Identified
from trainer.logs.score import replayed

HORIZONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)
"""[s]"""
TRACE_S, TRACES = 0.5, 12
FITTED, FRICTIONLESS, MEASURED = "#2471a3", "#c0392b", "#7f8c8d"


def draw(found: Identified, segments: list[Segment], where: str, path: Path) -> None:
    """Draw to `path`; `where` names the log of the segments."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _parameters(left, found.fit.estimates)
    _traces(middle, found, segments, where)
    _errors(right, found, segments, where)
    figure.savefig(path, dpi=110)


def _parameters(axes: Axes, estimates: dict[str, Estimate]) -> None:
    """Draw each interval as a share of its value; what is not identified is grey."""
    for row, (name, estimate) in enumerate(estimates.items()):
        size = abs(estimate.value) or 1.0
        color = FITTED if estimate.identified else "#bdc3c7"
        axes.plot([estimate.low / size, estimate.high / size], [row, row], color=color, linewidth=3)
        axes.plot(estimate.value / size, row, "o", color=color)
        text = f"{name}: {estimate.value:.3g}"
        axes.text(0.02, row - 0.15, text, transform=axes.get_yaxis_transform(), fontsize=7)
    axes.set(yticks=[], xlim=(0.0, 2.0), xlabel="90 % interval, as a share of the value",
             title="Parameters (grey: not identified)")  # fmt: skip
    axes.set_ylim(len(estimates) - 0.5, -0.7)


def _traces(axes: Axes, found: Identified, segments: list[Segment], where: str) -> None:
    """Draw the last position of the longest motion, and predictions that begin where they are measured."""
    longest = max(segments, key=lambda segment: len(segment.u))
    joint, dt = found.task.positions - 1, found.task.control_dt
    steps = max(1, round(TRACE_S / dt))
    if len(longest.u) < steps:
        return
    end = min(len(longest.u), TRACES * steps)
    part = longest.part(0, end)
    axes.plot(dt * np.arange(end + 1), part.x[:, joint], color=MEASURED, label="measured", linewidth=2)
    seen = replayed(found, [part], TRACE_S, every=TRACE_S)
    for predicted, color, name in (
        (seen.frictionless, FRICTIONLESS, "frictionless"), (seen.learned, FITTED, "fitted")
    ):  # fmt: skip
        for i, trace in enumerate(predicted[:, :, -1]):
            time = dt * np.arange(steps + 1) + i * TRACE_S
            axes.plot(time, trace, color=color, linewidth=1, label=name if i == 0 else None)
    axes.set(
        xlabel="time [s]", ylabel=f"{joint_names(found.task)[-1]}", title=f"{TRACE_S:g} s open loop, {where}"
    )
    axes.legend(frameon=False, fontsize=8)


def _errors(axes: Axes, found: Identified, segments: list[Segment], where: str) -> None:
    reach = found.task.control_dt * max(len(segment.u) for segment in segments)
    horizons = [h for h in HORIZONS if found.task.control_dt <= h <= reach]
    rows = []
    for horizon in horizons:
        seen = replayed(found, segments, horizon)
        end = seen.measured[:, -1, -1]
        predictions = (seen.learned[:, -1, -1], seen.frictionless[:, -1, -1], seen.measured[:, 0, -1])
        rows.append([float(np.median(np.abs(predicted - end))) for predicted in predictions])
    names = (("fitted", FITTED), ("frictionless", FRICTIONLESS), ("persistence", MEASURED))
    for (name, color), errors in zip(names, np.array(rows).T, strict=True):
        axes.semilogy(horizons, np.maximum(errors, 1e-5), "o-", color=color, label=name)
    axes.set(xlabel="horizon [s]", ylabel="median error", title=f"Error by horizon, {where}")
    axes.grid(alpha=0.2)
    axes.legend(frameon=False, fontsize=8)
