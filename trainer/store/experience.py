"""The durable record of real transitions. Recorded raw, scored late.

Arrays are stored as little-endian float32, as they came over the wire.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa

from trainer.store.schema import SESSIONS, TRANSITIONS

COLLECT = 1
EVALUATE = 2
FALLBACK = 2
_FLOAT = np.dtype("<f4")


class Transition(NamedTuple):
    """One control step of the real plant; `x[n]`, `u[m]`, `x_next[n]` float32, time in ns.

    `purpose` and `action_source` are the numbers of the wire's enums.
    """

    sequence: int
    episode: int
    purpose: int
    x: np.ndarray
    u_requested: np.ndarray
    u_applied: np.ndarray
    x_next: np.ndarray
    t_ns: int
    terminated: bool
    truncated: bool
    policy_version: str
    action_source: int
    reason: str


@dataclass(frozen=True)
class SessionInfo:
    """Who the transitions of a session belong to."""

    id: str
    task: str
    plant: str
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    control_dt_s: float


class RecordedEpisode(NamedTuple):
    """One episode: states `x[T + 1, n]`, applied actions `u[T, m]`, and what was noted with them."""

    session: str
    task: str
    episode: int
    purpose: int
    first_sequence: int
    x: np.ndarray
    u: np.ndarray
    control_dt_s: float
    terminated: bool
    truncated: bool
    policy_versions: tuple[str, ...]
    fallback_steps: int


class SequenceGap(ValueError):
    """A batch starts beyond the watermark: something before it is missing."""


class ExperienceStore:
    """Transitions by `(session, sequence)`; appending one twice changes nothing."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def watermark(self, session: str) -> int:
        """Return the smallest sequence number that is not stored; 0 for an unknown session."""
        with self._engine.connect() as connection:
            return _watermark(connection, session)

    def session(self, name: str) -> SessionInfo | None:
        """Return what was told of a session; None if it is not known."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(SESSIONS).where(SESSIONS.c.id == name)).first()
        if row is None:
            return None
        return SessionInfo(
            row.id, row.task, row.plant, tuple(row.state_names), tuple(row.action_names), row.control_dt_s
        )

    def append(self, session: SessionInfo, transitions: Iterable[Transition]) -> int:
        """Commit a batch and return the new watermark.

        Raises:
            SequenceGap: the batch leaves a gap after the watermark; nothing of it is stored.
        """
        with self._engine.begin() as connection:
            watermark = _watermark(connection, session.id)
            if watermark == 0:
                _insert_session(connection, session)
            rows = []
            for transition in transitions:
                if transition.sequence > watermark:
                    raise SequenceGap(
                        f"sequence {transition.sequence} of session {session.id} leaves a gap; "
                        f"the next one is {watermark}"
                    )
                if transition.sequence == watermark:
                    rows.append(_row(session.id, transition))
                    watermark += 1
            if rows:
                connection.execute(TRANSITIONS.insert(), rows)
                connection.execute(
                    SESSIONS.update().where(SESSIONS.c.id == session.id).values(next_sequence=watermark)
                )
        return watermark

    def episodes(self, session: str = "", purpose: int = 0, task: str = "") -> list[RecordedEpisode]:
        """Return recorded episodes in order; empty and 0 mean any."""
        query = sa.select(TRANSITIONS, SESSIONS.c.task, SESSIONS.c.control_dt_s).join(SESSIONS)
        wanted = [
            (session, TRANSITIONS.c.session),
            (purpose, TRANSITIONS.c.purpose),
            (task, SESSIONS.c.task),
        ]
        for value, column in wanted:
            query = query.where(column == value) if value else query
        query = query.order_by(TRANSITIONS.c.session, TRANSITIONS.c.sequence)
        groups: dict[tuple[str, int], list[sa.Row]] = {}
        with self._engine.connect() as connection:
            for row in connection.execute(query):
                groups.setdefault((row.session, row.episode), []).append(row)
        return [_episode(rows) for rows in groups.values()]

    def has_data(self, purpose: int, task: str) -> bool:
        """Return whether anything is recorded for `purpose` and `task`."""
        query = sa.select(TRANSITIONS.c.sequence).join(SESSIONS).limit(1)
        query = query.where(TRANSITIONS.c.purpose == purpose, SESSIONS.c.task == task)
        with self._engine.connect() as connection:
            return connection.execute(query).first() is not None

    def transitions(self, session: str, episode: int) -> list[Transition]:
        """Return the transitions of one episode in order; empty if it is not stored."""
        query = (
            sa.select(TRANSITIONS)
            .where(TRANSITIONS.c.session == session, TRANSITIONS.c.episode == episode)
            .order_by(TRANSITIONS.c.sequence)
        )
        with self._engine.connect() as connection:
            return [_transition(row) for row in connection.execute(query)]


def _watermark(connection: sa.Connection, session: str) -> int:
    query = sa.select(SESSIONS.c.next_sequence).where(SESSIONS.c.id == session)
    return connection.execute(query).scalar() or 0


def _insert_session(connection: sa.Connection, session: SessionInfo) -> None:
    known = sa.select(SESSIONS.c.id).where(SESSIONS.c.id == session.id)
    if connection.execute(known).first() is None:
        values = dict(vars(session), next_sequence=0)
        values |= {"state_names": list(session.state_names), "action_names": list(session.action_names)}
        connection.execute(SESSIONS.insert().values(values))


def _row(session: str, transition: Transition) -> dict[str, Any]:
    arrays = ("x", "u_requested", "u_applied", "x_next")
    packed = {name: np.asarray(getattr(transition, name), _FLOAT).tobytes() for name in arrays}
    return {"session": session} | transition._asdict() | packed


def _unpack(blob: bytes) -> np.ndarray:
    return np.frombuffer(blob, _FLOAT)


def _transition(row: sa.Row) -> Transition:
    values: dict[str, Any] = {name: getattr(row, name) for name in Transition._fields}
    for name in ("x", "u_requested", "u_applied", "x_next"):
        values[name] = _unpack(values[name])
    return Transition(**values)


def _episode(rows: list[sa.Row]) -> RecordedEpisode:
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
    )
