"""Rows of the tables from records, and back.

Arrays are stored as little-endian float32, as they came over the wire.
"""

import time
from typing import Any

import numpy as np
import psycopg
import sqlalchemy as sa

from trainer.store.records import FALLBACK, RecordedEpisode, SessionInfo, Transition
from trainer.store.schema import TRANSITIONS

_FLOAT = np.dtype("<f4")
_ARRAYS = ("x", "u_requested", "u_applied", "x_next")


def to_session(row: sa.Row) -> SessionInfo:
    """Return what a row says of its session."""
    names = (tuple(row.state_names), tuple(row.action_names))
    return SessionInfo(row.id, row.task, row.plant, *names, row.control_dt_s, row.source)


def from_session(session: SessionInfo) -> dict[str, Any]:
    """Return the row of a session that begins now."""
    values = dict(vars(session), next_sequence=0, begun_ns=time.time_ns())
    return values | {"state_names": list(session.state_names), "action_names": list(session.action_names)}


def from_transition(session: str, transition: Transition) -> tuple[Any, ...]:
    """Return the row of a transition of `session`, in the order of the table's columns."""
    arrays = (transition.x, transition.u_requested, transition.u_applied, transition.x_next)
    x, u_requested, u_applied, x_next = (np.asarray(values, _FLOAT).tobytes() for values in arrays)
    return (
        session, transition.sequence, transition.episode, transition.purpose, x, u_requested, u_applied,
        x_next, transition.t_ns, transition.terminated, transition.truncated, transition.policy_version,
        transition.action_source, transition.reason, transition.end,
    )  # fmt: skip


def insert_transitions(connection: sa.Connection, rows: list[tuple[Any, ...]]) -> None:
    """Insert rows of `from_transition` by the driver, three times as fast as through SQLAlchemy."""
    columns = ", ".join(column.name for column in TRANSITIONS.columns)
    if connection.dialect.name != "postgresql":
        marks = ", ".join("?" * len(TRANSITIONS.columns))
        connection.exec_driver_sql(f"INSERT INTO {TRANSITIONS.name} ({columns}) VALUES ({marks})", rows)
        return
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    with driver.cursor().copy(f"COPY {TRANSITIONS.name} ({columns}) FROM STDIN") as target:  # pyright: ignore
        for row in rows:
            target.write_row(row)


def _unpack(blob: bytes) -> np.ndarray:
    return np.frombuffer(blob, _FLOAT)


def to_transition(row: sa.Row) -> Transition:
    """Return the transition of a row."""
    values: dict[str, Any] = {name: getattr(row, name) for name in Transition._fields}
    for name in _ARRAYS:
        values[name] = _unpack(values[name])
    return Transition(**values)


class EpisodeRows:
    """Builds an episode from rows of transitions, keeping only what the record needs."""

    def __init__(self, row: sa.Row, task: str, control_dt_s: float) -> None:
        """Start with the first row, and the task and control step [s] of its session."""
        self._first = self._last = row
        self._task, self._control_dt_s = task, control_dt_s
        self._x, self._u = bytearray(), bytearray()
        self._versions: dict[str, None] = {}
        self._fallback_steps = 0
        self.steps = 0

    def add(self, row: sa.Row) -> None:
        """Add the next row; call this for the first row too."""
        self._x += row.x
        self._u += row.u_applied
        if row.policy_version:
            self._versions[row.policy_version] = None
        self._fallback_steps += row.action_source == FALLBACK
        self.steps += 1
        self._last = row

    def record(self) -> RecordedEpisode:
        """Return the episode."""
        first, last = self._first, self._last
        return RecordedEpisode(
            session=first.session,
            task=self._task,
            episode=first.episode,
            purpose=first.purpose,
            first_sequence=first.sequence,
            x=_unpack(bytes(self._x) + last.x_next).reshape(self.steps + 1, -1),
            u=_unpack(bytes(self._u)).reshape(self.steps, -1),
            control_dt_s=self._control_dt_s,
            terminated=bool(last.terminated),
            truncated=bool(last.truncated),
            policy_versions=tuple(self._versions),
            fallback_steps=self._fallback_steps,
            end=last.end,
        )
