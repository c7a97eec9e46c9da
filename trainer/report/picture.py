"""`gap.png`: success and cost against seconds of real data, and the pole before and after."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

CONTROL_DT = 0.04
BEFORE, AFTER, COST = "#c0392b", "#2471a3", "#7f8c8d"


def draw_gap(path: Path, rows: list[dict[str, Any]], before: np.ndarray, after: np.ndarray) -> None:
    """Draw `rows` (one per round) and the states `before[T, n]`, `after[T, n]` of two episodes."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_rounds(left, rows)
    _draw_traces(right, before, after)
    figure.savefig(path, dpi=110)


def _draw_rounds(axes: Axes, rows: list[dict[str, Any]]) -> None:
    seconds = [row["real_seconds"] for row in rows]
    (success,) = axes.plot(seconds, [row["real_success"] for row in rows], "o-", color=AFTER)
    (simulated,) = axes.plot(seconds, [row["simulation_success"] for row in rows], "o:", color="#85c1e9")
    axes.set(xlabel="real data [s]", ylabel="success", ylim=(-0.05, 1.05), title="On the plant, per round")
    axes.grid(alpha=0.2)
    costs = axes.twinx()
    (cost,) = costs.plot(seconds, [row["real_cost"] for row in rows], "s--", color=COST)
    costs.set_ylabel("cost of an episode", color=COST)
    costs.set_ylim(bottom=0)
    names = ["success, plant", "success, simulator", "cost, plant"]
    lines = [success, simulated, cost]
    axes.legend(lines, names, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=3, frameon=False)


def _draw_traces(axes: Axes, before: np.ndarray, after: np.ndarray) -> None:
    for states, color, name in ((before, BEFORE, "no real data"), (after, AFTER, "after the last refit")):
        time = np.arange(states.shape[0]) * CONTROL_DT
        axes.plot(time, np.cos(states[:, 1]), color=color, label=name)
    axes.axhline(0.95, color="black", linewidth=0.6, linestyle=":")
    axes.set(xlabel="time [s]", ylabel="cos(pole angle): 1 is upright", ylim=(-1.1, 1.1), title="The pole")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2, frameon=False)
