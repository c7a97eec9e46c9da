"""Logs of rigs, from a table of text or another file. Errors name the line.

Rows with a number that is not finite, or larger than anything that is measured, are left out, with a note.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from protos.operation.text import printable, shortened
from trainer.logs.log_format import LARGEST, LogFormat
from trainer.logs.text_table import read_table

EPISODES = ("episode", "episode_index", "episode_id")
"""What a column is called that numbers the episodes of a file."""


class Table(Protocol):
    """Columns of a file; see `TextTable`."""

    @property
    def path(self) -> Path: ...  # noqa: D102

    @property
    def where(self) -> str: ...  # noqa: D102

    @property
    def names(self) -> tuple[str, ...] | None: ...  # noqa: D102

    @property
    def width(self) -> int: ...  # noqa: D102

    @property
    def notes(self) -> list[str]: ...  # noqa: D102

    def columns(self, places: Sequence[int], /) -> tuple[np.ndarray, np.ndarray]: ...  # noqa: D102


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
    """Read and check a log of one episode.

    Raises:
        OSError, ValueError: see `read_csv_logs`; or there are several episodes.
    """
    logs = read_csv_logs(path, layout)
    if len(logs) > 1:
        raise ValueError(f"{path} holds {len(logs)} episodes; one is needed")
    return logs[0]


def read_csv_logs(path: Path, layout: LogFormat) -> list[Log]:
    """Read and check a log, episode by episode.

    Raises:
        OSError: it cannot be read.
        ValueError: with the line, if a column is missing, a cell is no number, time does not advance, or
            there are fewer than two usable rows.
    """
    return as_logs(read_table(path), layout)


def as_logs(table: Table, layout: LogFormat) -> list[Log]:
    """Return the columns of `layout` as logs: one, or one for each episode that a column numbers.

    Raises:
        ValueError: with the line, if a column is missing, time does not advance, or there are fewer than two
            usable rows.
    """
    notes = [*layout.notes, *table.notes]
    places = _places(table, layout, notes)
    wanted = [place for place in places if place is not None]
    episode = _episode_column(table, wanted)
    values, lines = table.columns([*wanted, *([] if episode is None else [episode])])
    filled = np.zeros((len(values), len(places)))
    filled[:, [i for i, place in enumerate(places) if place is not None]] = values[:, : len(wanted)]
    derived = [i for i, place in enumerate(places) if place is None and layout.columns[i].derived_from]
    if episode is None or len(np.unique(values[:, -1])) < 2:
        return [_log(table.path, filled, lines, layout, derived, notes)]
    starts = np.flatnonzero(np.diff(values[:, -1], prepend=np.nan) != 0.0)
    logs, short = [], 0
    for rows in np.split(np.arange(len(values)), starts[1:]):
        usable = np.isfinite(filled[rows]).all(axis=1)
        if usable.sum() < 2:
            short += 1
            continue
        logs.append(_log(table.path, filled[rows], lines[rows], layout, derived, []))
    if not logs:
        raise ValueError(f"{table.path}: none of its {len(starts)} episodes has 2 usable rows")
    name = table.names[episode] if table.names else f"column {episode + 1}"
    notes.append(f"{len(logs)} episodes by {name!r}" + (f"; {short} are too short" if short else ""))
    notes += logs[0].notes
    return [Log(log.path, log.t, log.x, log.u, tuple(notes), log.held) for log in logs]


def _log(
    path: Path, table: np.ndarray, lines: np.ndarray, layout: LogFormat, derived: list[int], notes: list[str]
) -> Log:
    """Return the rows of one episode as a log; the columns `derived` follow from others."""
    found = list(notes)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = table * [c.factor for c in layout.columns] + [c.offset for c in layout.columns]
    scaled, lines = _usable(path, scaled, lines, found)
    _check_time(path, scaled[:, 0], lines, found)
    for place, column in enumerate(layout.columns):
        if column.angle:
            scaled[:, place] = _unwrapped(scaled[:, place], column.name, found)
    for place in derived:
        scaled[:, place] = np.gradient(scaled[:, layout.columns[place].derived_from], scaled[:, 0])
    n = len(layout.states)
    return Log(path, scaled[:, 0], scaled[:, 1 : 1 + n], scaled[:, 1 + n :], tuple(found), layout.held)


def _places(table: Table, layout: LogFormat, notes: list[str]) -> list[int | None]:
    """Return where the columns of `layout` are; None for a velocity that is derived or a motor that is off.

    Raises:
        ValueError: one is not there, or more than once.
    """
    names = table.names
    if names is None and table.width == len(layout.columns) and not layout.given:
        taken = ", ".join(column.name for column in layout.columns)
        notes.append(f"no line names the columns; they are taken as {taken}")
        return list(range(table.width))
    known = names or tuple(str(number + 1) for number in range(table.width))
    spare = [name for name in known if name not in {c.name for c in layout.columns} and name not in EPISODES]
    places: list[int | None] = []
    for column in layout.columns:
        if column.missing or (known.count(column.name) == 0 and column.may_miss and not spare):
            off = "taken as 0, as of a motor that is off"
            what = "derived from its position" if column.derived_from else off
            notes.append(f"{column.name!r} is not in the log; it is {what}")
            places.append(None)
        elif known.count(column.name) == 1:
            places.append(known.index(column.name))
        else:
            raise ValueError(_missing(table, known, column.name, column.may_miss, bool(column.derived_from)))
    return places


def _missing(table: Table, known: Sequence[str], name: str, may_miss: bool, velocity: bool) -> str:
    what = "no column" if name not in known else "more than one column"
    shown = ", ".join(printable(shortened(one, 40)) for one in known[:30])
    shown += ", …" if len(known) > 30 else ""
    columns = (
        f"there are: {shown}" if table.names else f"no line names the {len(known)} columns; they are {shown}"
    )
    key = "derive" if velocity else "off"
    hint = f", or that it was not recorded ({key} = true)" if may_miss else ""
    return (
        f"{table.where}: there is {what} {name!r}; {columns}. A --format file says which column is what{hint}"
    )


def _episode_column(table: Table, taken: Sequence[int]) -> int | None:
    for place, name in enumerate(table.names or ()):
        if name in EPISODES and place not in taken:
            return place
    return None


def _usable(
    path: Path, table: np.ndarray, numbers: np.ndarray, notes: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Leave out rows with a number that is not finite, or a state or action beyond ± `LARGEST`."""
    usable = np.all(np.isfinite(table), axis=1) & np.all(np.abs(table[:, 1:]) <= LARGEST, axis=1)
    if not usable.all():
        notes.append(
            f"{int((~usable).sum())} rows are left out, a number in them is not finite or beyond "
            f"± {LARGEST:g}; the first is line {numbers[np.flatnonzero(~usable)[0]]}"
        )
    if usable.sum() < 2:
        raise ValueError(f"{path} has {int(usable.sum())} usable rows; at least 2 are needed")
    return table[usable], numbers[usable]


def _check_time(path: Path, t: np.ndarray, numbers: np.ndarray, notes: list[str]) -> None:
    gaps = np.diff(t)
    if (back := np.flatnonzero(~(gaps > 0.0))).size:
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
