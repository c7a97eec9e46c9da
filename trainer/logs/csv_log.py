"""CSV of real rigs: parsed strictly, with the line of whatever is wrong, and sampled anew evenly.

A control step is what the task says. States are interpolated at the steps' ends; an action is the mean, over
the step, of what was logged, each value held until the next. Rows with a number that is not finite are left
out; where time stands still for longer than `LONGEST_GAP` steps, a new stretch begins.
"""

import csv
import io
import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.dynamics.windows import Motion
from trainer.logs.log_format import LogFormat

DELIMITERS = ",;\t "
LONGEST_GAP = 3.0
"""Control steps; also three times the median sampling interval, if that is longer."""


@dataclass(frozen=True)
class Log:
    """A log in the task's conventions: `t[N]` [s], `x[N, n]`, `u[N, m]`, all finite, time increasing."""

    path: Path
    t: np.ndarray
    x: np.ndarray
    u: np.ndarray
    notes: tuple[str, ...]


def read_csv(path: Path, layout: LogFormat) -> Log:
    """Read and check a log.

    Raises:
        OSError: it cannot be read.
        ValueError: with the line, if a column is missing, a cell is no number, time does not advance, or
            there are fewer than two usable rows.
    """
    text = path.read_text(encoding="utf-8-sig")
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), None)
    if first is None:
        raise ValueError(f"{path} is empty; expected a line with the columns' names, then numbers")
    delimiter = max(DELIMITERS, key=lambda mark: (lines[first].count(mark), -DELIMITERS.index(mark)))
    header = [name.strip() for name in next(csv.reader([lines[first]], delimiter=delimiter))]
    places = []
    for column in layout.columns:
        if column.name not in header:
            raise ValueError(
                f"{path}, line {first + 1}: there is no column {column.name!r}; there are: "
                f"{', '.join(header)}. A --format file says which column is what"
            )
        places.append(header.index(column.name))
    table, numbers = _table(path, lines[first + 1 :], first + 2, delimiter, places, header)
    notes = list(layout.notes)
    if delimiter != ",":
        notes.append(f"columns are separated by {delimiter!r}")
    usable = np.all(np.isfinite(table), axis=1)
    if not usable.all():
        notes.append(
            f"{int((~usable).sum())} rows are left out, a number in them is not finite; the first is line "
            f"{numbers[np.flatnonzero(~usable)[0]]}"
        )
    table, numbers = table[usable], numbers[usable]
    if len(table) < 2:
        raise ValueError(f"{path} has {len(table)} usable rows; at least 2 are needed")
    scaled = table * [c.factor for c in layout.columns] + [c.offset for c in layout.columns]
    t = scaled[:, 0]
    if (back := np.flatnonzero(np.diff(t) <= 0.0)).size:
        raise ValueError(
            f"{path}, line {numbers[back[0] + 1]}: time does not advance, from {t[back[0]]:g} to "
            f"{t[back[0] + 1]:g} s"
        )
    gaps = np.diff(t)
    notes.append(
        f"{len(t)} rows over {t[-1] - t[0]:.3f} s, sampled every {np.median(gaps) * 1e3:.3g} ms "
        f"({gaps.min() * 1e3:.3g} to {gaps.max() * 1e3:.3g})"
    )
    n = len(layout.states)
    return Log(path, t, scaled[:, 1 : 1 + n], scaled[:, 1 + n :], tuple(notes))


def resample(log: Log, control_dt: float) -> list[Motion]:
    """Return the log as motions of control steps [s], cut where it has gaps.

    Raises:
        ValueError: no stretch holds a control step.
    """
    gaps = np.diff(log.t)
    longest = max(LONGEST_GAP * control_dt, 3.0 * float(np.median(gaps)))
    edges = [0, *(np.flatnonzero(gaps > longest) + 1), len(log.t)]
    motions = []
    for first, last in itertools.pairwise(edges):
        t, x, u = log.t[first:last], log.x[first:last], log.u[first:last]
        steps = int((t[-1] - t[0]) / control_dt + 1e-6)
        if steps < 1:
            continue
        grid = t[0] + control_dt * np.arange(steps + 1)
        states = np.stack([np.interp(grid, t, column) for column in x.T], axis=1)
        held = np.concatenate([np.zeros((1, u.shape[1])), np.cumsum(u[:-1] * np.diff(t)[:, None], axis=0)])
        impulse = np.stack([np.interp(grid, t, column) for column in held.T], axis=1)
        actions = np.diff(impulse, axis=0) / control_dt
        motions.append(Motion(states.astype(np.float32), actions.astype(np.float32)))
    if not motions:
        raise ValueError(f"{log.path} has no stretch as long as a control step of {control_dt:g} s")
    return motions


def _table(
    path: Path, lines: list[str], first: int, delimiter: str, places: list[int], header: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the wanted columns [N, k] and the line number of each row; `first` is that of `lines[0]`."""
    numbers = np.array([first + i for i, line in enumerate(lines) if line.strip()], int)
    lines = [line for line in lines if line.strip()]
    try:
        table = np.loadtxt(io.StringIO("\n".join(lines)), delimiter=delimiter, usecols=places, ndmin=2)
        if lines and all(line.count(delimiter) == len(header) - 1 for line in lines):
            return table, numbers
    except ValueError:
        pass  # found below, cell by cell
    rows = []
    for number, cells in zip(numbers, csv.reader(lines, delimiter=delimiter), strict=True):
        if len(cells) != len(header):
            raise ValueError(f"{path}, line {number}: {len(cells)} cells, where the header has {len(header)}")
        rows.append([_number(path, int(number), header[place], cells[place]) for place in places])
    return np.array(rows, float).reshape(-1, len(places)), numbers


def _number(path: Path, line: int, name: str, cell: str) -> float:
    if not cell.strip():
        return float("nan")
    try:
        return float(cell)
    except ValueError as error:
        hint = "; write decimals with a point" if "," in cell else ""
        raise ValueError(f"{path}, line {line}: {name!r} is {cell.strip()!r}, no number{hint}") from error
