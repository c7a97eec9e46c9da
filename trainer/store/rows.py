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


def to_episode(rows: list[sa.Row]) -> RecordedEpisode:
    """Return the episode of its transitions' rows, each with its session's task and control step."""
    states = [_unpack(row.x) for row in rows] + [_unpack(rows[-1].x_next)]
    return RecordedEpisode(
        session=rows[0].session,
        task=rows[0].task,
        episode=rows[0].episode,
        purpose=rows[0].purpose,
        first_sequence=rows[0].sequence,
        x=np.stack(states),
        u=np.stack([_unpack(row.u_applied) for row in rows]),
        control_dt_s=rows[0].control_dt_s,
        terminated=rows[-1].terminated,
        truncated=rows[-1].truncated,
        policy_versions=tuple(dict.fromkeys(row.policy_version for row in rows if row.policy_version)),
        fallback_steps=sum(row.action_source == FALLBACK for row in rows),
        end=rows[-1].end,
    )
