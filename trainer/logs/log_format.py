"""Which column of a log is what, and in which unit and from which zero it counts."""

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer.tasks.task import Task

UNITS = {
    "rad": 1.0,
    "deg": 0.017453292519943295,
    "rev": 6.283185307179586,
    "rad/s": 1.0,
    "deg/s": 0.017453292519943295,
    "rpm": 0.10471975511965977,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "ns": 1e-9,
    "m": 1.0,
    "mm": 1e-3,
    "m/s": 1.0,
    "mm/s": 1e-3,
    "N": 1.0,
    "Nm": 1.0,
    "mNm": 1e-3,
    "1": 1.0,
}
"""Factors to SI units, by the name that a format gives."""
LARGEST = 1e6
"""Beyond it no state or action is measured, in the task's units: such a number is damage."""
_PI = 3.141592653589793


@dataclass(frozen=True)
class Column:
    """A column of a log: `value = factor * cell + offset`, in the task's units."""

    name: str
    factor: float = 1.0
    offset: float = 0.0
    angle: bool = False
    """Whether it may jump by a whole turn, which means nothing."""
    may_miss: bool = False
    """Whether a log may lack it: a velocity, which is derived, or an action, which is then 0."""
    missing: bool = False
    """Whether a format says that the log lacks it."""
    derived_from: int = 0
    """Of a velocity: the place of its position among the columns; 0 of all others."""


@dataclass(frozen=True)
class LogFormat:
    """The columns of time [s], of the task's states and of its actions, in the task's order."""

    time: Column
    states: tuple[Column, ...]
    actions: tuple[Column, ...]
    notes: tuple[str, ...] = field(default=())
    """What a reader of a report should know of it."""
    held: bool = False
    """Whether actions are commands, held until the next row, or were measured when the row was written."""
    given: bool = False
    """Whether a file says which column is what; else that is assumed."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """All of them: time, states, actions."""
        return (self.time, *self.states, *self.actions)


def default_format(task: Task) -> LogFormat:
    """Return what is assumed without a format: columns called like the task's states and actions.

    Logs of single pendulums have, as rigs write them, `time` [s], `position` [rad, 0 = hanging],
    `velocity` [rad/s] and `torque` [N·m], as the motor measured it.
    """
    if task.state_names == ("angle [rad]", "velocity [rad/s]") and len(task.action_names) == 1:
        return LogFormat(
            Column("time"),
            (Column("position", offset=_PI, angle=True), Column("velocity", may_miss=True, derived_from=1)),
            (Column("torque", factor=1.0 / _size(task.action_names[0]), may_miss=True),),
            ("position 0 is hanging: pi was added, since the task's 0 is upright",),
        )
    states = tuple(_derivable(Column(_plain(name)), i, task) for i, name in enumerate(task.state_names))
    return LogFormat(
        Column("time"),
        tuple(dataclasses.replace(c, angle=i in task.features.angles) for i, c in enumerate(states)),
        tuple(Column(_plain(name), factor=1.0 / _size(name), may_miss=True) for name in task.action_names),
    )


def _derivable(column: Column, state: int, task: Task) -> Column:
    """Return the column of a state, which a log may lack if it is the velocity of another one."""
    if task.positions != task.joints or state < task.joints:
        return column
    return dataclasses.replace(column, may_miss=True, derived_from=1 + state - task.joints)


def read_format(path: Path, task: Task, optional: tuple[str, ...] = ()) -> LogFormat:
    """Read a TOML file with a table for `time` and for each state and action, called without its unit.

    Tables named in `optional` may be missing.

        actions = "held"        # commands, held until the next row; "measured" (default): of that moment
        [time]
        column = "t"
        unit = "ms"
        [angle]
        column = "theta"
        unit = "deg"
        zero = "hanging"        # or offset = 3.14159, added after the unit; upright is the default
        [velocity]
        column = "omega"
        unit = "rpm"
        scale = -1.0            # a factor after the unit
        # derive = true         # instead: it was not recorded, and follows from its position
        [torque]
        column = "tau"          # or its number, from 1, where no line names the columns
        unit = "mNm"
        # off = true            # instead: the motor was off

    Raises:
        OSError: it cannot be read.
        ValueError: naming the file, the table and the choices.
    """
    try:
        tables = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from error
    mode = tables.pop("actions", "measured")
    if mode not in ("measured", "held"):
        raise ValueError(f"{path}: actions is {mode!r}; choose 'measured' or 'held'")
    sizes = {"time": 1.0} | {_plain(name): 1.0 for name in task.state_names}
    sizes |= {_plain(name): _size(name) for name in task.action_names}
    if unknown := sorted(set(tables) - set(sizes)):
        raise ValueError(f"{path}: unknown table [{unknown[0]}]; task {task.name} has: {', '.join(sizes)}")
    tables = {name: {} for name in optional} | tables
    if missing := [name for name in sizes if name not in tables]:
        raise ValueError(f"{path}: there is no table [{missing[0]}]; needed are: {', '.join(sizes)}")
    states, angles = len(task.state_names), {1 + i for i in task.features.angles}
    columns = [
        _column(path, name, tables[name], 1.0 / size, at in angles)
        for at, (name, size) in enumerate(sizes.items())
    ]
    for i in task.features.angles:
        columns[1 + i] = dataclasses.replace(columns[1 + i], angle=True)
    for i in range(states):
        columns[1 + i] = _derivable(columns[1 + i], i, task)
    columns[1 + states :] = [dataclasses.replace(c, may_miss=True) for c in columns[1 + states :]]
    for column, name in zip(columns, sizes, strict=True):
        if column.missing and not column.may_miss:
            raise ValueError(f"{path}: [{name}] is neither a velocity nor an action; a log must have it")
    notes = tuple(f"{name} from {_told(tables[name])}" for name in sizes)
    return LogFormat(
        columns[0],
        tuple(columns[1 : 1 + states]),
        tuple(columns[1 + states :]),
        notes,
        mode == "held",
        given=True,
    )


def _column(path: Path, name: str, table: Any, factor: float, angle: bool) -> Column:
    known = ("column", "unit", "scale", "offset", "zero", "derive", "off")
    if not isinstance(table, dict):
        raise ValueError(f"{path}: {name} must be a table with some of: {', '.join(known)}")
    if unknown := sorted(set(table) - set(known)):
        raise ValueError(f"{path}: [{name}] has {unknown[0]!r}; allowed: {', '.join(known)}")
    unit, zero = str(table.get("unit", "1")), table.get("zero", "upright")
    if unit not in UNITS:
        raise ValueError(f"{path}: [{name}] has the unit {unit!r}; known: {', '.join(UNITS)}")
    if zero not in ("upright", "hanging"):
        raise ValueError(f"{path}: [{name}] has the zero {zero!r}; choose 'upright' or 'hanging'")
    scale, offset = (
        _number(path, name, table, key, value) for key, value in (("scale", 1.0), ("offset", 0.0))
    )
    if "zero" in table and not angle:
        raise ValueError(f"{path}: [{name}] is no angle that goes round; a zero of its own is an offset")
    offset += _PI if zero == "hanging" else 0.0
    missing = [key for key in ("derive", "off") if table.get(key, False) is not False]
    if any(table[key] is not True for key in missing):
        raise ValueError(f"{path}: [{name}] has {missing[0]} {table[missing[0]]!r}; it is true or false")
    called = str(table.get("column", name))
    return Column(called, factor * UNITS[unit] * scale, factor * offset, missing=bool(missing))


def _number(path: Path, name: str, table: dict[str, Any], key: str, default: float) -> float:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{path}: [{name}] has {key} {value!r}; give a number")
    return float(value)


def _told(table: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in table.items())


def _plain(name: str) -> str:
    """Return a state's or an action's name without its unit."""
    return name.split(" [", maxsplit=1)[0]


def _size(action: str) -> float:
    """Return what an action of 1 stands for, as its name tells: 2 for `torque [2 N·m]`; 1 if it does not."""
    words = action.partition("[")[2].split()
    try:
        return float(words[0])
    except (IndexError, ValueError):
        return 1.0
