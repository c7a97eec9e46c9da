"""CSV of real rigs: parsed strictly, with the line of whatever is wrong.

Rows with a number that is not finite are left out, and told.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.logs.log_format import LogFormat

DELIMITERS = ",;\t "


@dataclass(frozen=True)
class Log:
    """A log in the task's conventions: `t[N]` [s], `x[N, n]`, `u[N, m]`, all finite, time increasing."""

    path: Path
    t: np.ndarray
    x: np.ndarray
    u: np.ndarray
    notes: tuple[str, ...]
    held: bool = False
    """Whether an action was held until the next row, as a command is, or measured and goes on a line."""


def read_csv(path: Path, layout: LogFormat) -> Log:
    """Read and check a log.

    Raises:
        OSError: it cannot be read.
        ValueError: with the line, if a column is missing, a cell is no number, time does not advance, or
            there are fewer than two usable rows.
    """
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    first = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), None)
    if first is None:
        raise ValueError(f"{path} is empty; expected a line with the columns' names, then numbers")
    delimiter = max(DELIMITERS, key=lambda mark: (lines[first].count(mark), -DELIMITERS.index(mark)))
    notes = [] if delimiter == "," else [f"columns are separated by {delimiter!r}"]
    header = [name.strip() for name in next(csv.reader([lines[first]], delimiter=delimiter))]
    places = find_columns(f"{path}, line {first + 1}", header, layout)
    table, numbers = _table(path, lines[first + 1 :], first + 2, delimiter, places, header)
    return as_log(path, table, numbers, layout, notes)


def as_log(
    path: Path, table: np.ndarray, numbers: np.ndarray, layout: LogFormat, notes: Sequence[str] = ()
) -> Log:
    """Return the columns of `layout`, `table[N, k]`, as a log; `numbers[N]` are the rows' lines.

    Raises:
        ValueError: with the line, if time does not advance, or there are fewer than two usable rows.
    """
    told = [*layout.notes, *notes]
    table, numbers = _usable(path, table, numbers, told)
    scaled = table * [c.factor for c in layout.columns] + [c.offset for c in layout.columns]
    _check_time(path, scaled[:, 0], numbers, told)
    for place, column in enumerate(layout.columns):
        if column.angle:
            scaled[:, place] = _unwrapped(scaled[:, place], column.name, told)
    n = len(layout.states)
    return Log(path, scaled[:, 0], scaled[:, 1 : 1 + n], scaled[:, 1 + n :], tuple(told), layout.held)


def find_columns(where: str, header: Sequence[str], layout: LogFormat) -> list[int]:
    """Return where the columns of `layout` are in a header.

    Raises:
        ValueError: saying `where`, if one is not there, or more than once.
    """
    for column in layout.columns:
        if list(header).count(column.name) != 1:
            what = "no column" if column.name not in header else "more than one column"
            raise ValueError(
                f"{where}: there is {what} {column.name!r}; there are: {', '.join(header)}. "
                "A --format file says which column is what"
            )
    return [list(header).index(column.name) for column in layout.columns]


def _usable(
    path: Path, table: np.ndarray, numbers: np.ndarray, notes: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Leave out rows with a number that is not finite."""
    usable = np.all(np.isfinite(table), axis=1)
    if not usable.all():
        notes.append(
            f"{int((~usable).sum())} rows are left out, a number in them is not finite; the first is line "
            f"{numbers[np.flatnonzero(~usable)[0]]}"
        )
    if usable.sum() < 2:
        raise ValueError(f"{path} has {int(usable.sum())} usable rows; at least 2 are needed")
    return table[usable], numbers[usable]


def _check_time(path: Path, t: np.ndarray, numbers: np.ndarray, notes: list[str]) -> None:
    gaps = np.diff(t)
    if (back := np.flatnonzero(gaps <= 0.0)).size:
        raise ValueError(
            f"{path}, line {numbers[back[0] + 1]}: time does not advance, from {t[back[0]]:g} to "
            f"{t[back[0] + 1]:g} s"
        )
    notes.append(
        f"{len(t)} rows over {t[-1] - t[0]:.3f} s, sampled every {np.median(gaps) * 1e3:.3g} ms "
        f"({gaps.min() * 1e3:.3g} to {gaps.max() * 1e3:.3g})"
    )


def _unwrapped(angle: np.ndarray, name: str, notes: list[str]) -> np.ndarray:
    """Return the angle without jumps of a whole turn."""
    jumps = int(np.sum(np.abs(np.diff(angle)) > np.pi))
    if jumps:
        notes.append(f"{name!r} jumps by about a turn {jumps} times and was unwrapped")
    return np.unwrap(angle)


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
