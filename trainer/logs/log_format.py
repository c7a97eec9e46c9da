"""Which column of a log is what, and in which unit and from which zero it counts."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer.tasks.task import Task

UNITS = {
    "rad": 1.0,
    "deg": 0.017453292519943295,
    "rev": 6.283185307179586,
    "rpm": 0.10471975511965977,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "ns": 1e-9,
    "m": 1.0,
    "mm": 1e-3,
    "N": 1.0,
    "Nm": 1.0,
    "mNm": 1e-3,
    "1": 1.0,
}
"""Factors to SI units, by the name that a format gives."""
_PI = 3.141592653589793


@dataclass(frozen=True)
class Column:
    """A column of a log: `value = factor * cell + offset`, in the task's units."""

    name: str
    factor: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class LogFormat:
    """The columns of time [s], of the task's states and of its actions, in the task's order."""

    time: Column
    states: tuple[Column, ...]
    actions: tuple[Column, ...]
    notes: tuple[str, ...] = field(default=())
    """What a reader of a report should know of it."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """All of them: time, states, actions."""
        return (self.time, *self.states, *self.actions)


def default_format(task: Task) -> LogFormat:
    """Return what is assumed without a format: columns called like the task's states and actions.

    Logs of single pendulums have, as rigs write them, `time` [s], `position` [rad, 0 = hanging],
    `velocity` [rad/s] and `torque` [N·m].
    """
    if task.state_names == ("angle [rad]", "velocity [rad/s]") and len(task.action_names) == 1:
        return LogFormat(
            Column("time"),
            (Column("position", offset=_PI), Column("velocity")),
            (Column("torque", factor=1.0 / _torque(task)),),
            ("angle: position 0 is hanging, so pi is added: the task's 0 is upright",),
        )
    plain = lambda names: tuple(Column(name.split(" [")[0]) for name in names)  # noqa: E731
    return LogFormat(Column("time"), plain(task.state_names), plain(task.action_names))


def read_format(path: Path, task: Task) -> LogFormat:
    """Read a TOML file with a table for `time` and for each state and action, called without its unit.

        [time]
        column = "t"
        unit = "ms"
        [angle]
        column = "theta"
        unit = "deg"
        zero = "hanging"        # or offset = 3.14159, added after the unit
        [torque]
        column = "tau"
        scale = 0.5             # a factor to what the task calls 1, after the unit

    Raises:
        OSError: it cannot be read.
        ValueError: naming the file, the table and the choices.
    """
    try:
        tables = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from error
    names = ["time", *(name.split(" [")[0] for name in (*task.state_names, *task.action_names))]
    if unknown := sorted(set(tables) - set(names)):
        raise ValueError(f"{path}: unknown table [{unknown[0]}]; task {task.name} has: {', '.join(names)}")
    if missing := [name for name in names if name not in tables]:
        raise ValueError(f"{path}: there is no table [{missing[0]}]; needed are: {', '.join(names)}")
    columns = [_column(path, name, tables[name]) for name in names]
    states = len(task.state_names)
    notes = tuple(f"{name}: {tables[name]}" for name in names)
    return LogFormat(columns[0], tuple(columns[1 : 1 + states]), tuple(columns[1 + states :]), notes)


def _column(path: Path, name: str, table: dict[str, Any]) -> Column:
    known = {"column", "unit", "scale", "offset", "zero"}
    if unknown := sorted(set(table) - known):
        raise ValueError(f"{path}: [{name}] has {unknown[0]!r}; allowed: {', '.join(sorted(known))}")
    unit, zero = str(table.get("unit", "1")), table.get("zero", "upright")
    if unit not in UNITS:
        raise ValueError(f"{path}: [{name}] has the unit {unit!r}; known: {', '.join(UNITS)}")
    if zero not in ("upright", "hanging"):
        raise ValueError(f"{path}: [{name}] has the zero {zero!r}; choose 'upright' or 'hanging'")
    offset = float(table.get("offset", 0.0)) + (_PI if zero == "hanging" else 0.0)
    return Column(str(table.get("column", name)), UNITS[unit] * float(table.get("scale", 1.0)), offset)


def _torque(task: Task) -> float:
    """Return the torque at u = 1 [N·m], which the action's name tells."""
    return float(task.action_names[0].split("[")[1].split()[0])
