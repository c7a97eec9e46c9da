"""Sessions and episodes of a selection, a page at a time."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from trainer.store.records import COLLECT, EVALUATE, RecordedEpisode, Selection, SessionSummary
from trainer.store.rows import EpisodeRows, to_session
from trainer.store.schema import EPISODES, SESSIONS, TAGS, TRANSITIONS

STEPS = 20_000
"""Limit of transitions read in one query, which may exceed it by one episode."""
PART = 500
"""Limit of sessions or episodes named in one query."""

SessionKey = tuple[int, str]
"""Position before a page of sessions: begin and id of the last session."""
EpisodeKey = tuple[str, int]
"""Position before a page of episodes: session and first sequence number of the last episode."""


class EpisodePlace(NamedTuple):
    """Session, position, present length and task of a recorded episode."""

    session: str
    first_sequence: int
    end_sequence: int
    episode: int
    steps: int
    task: str
    control_dt_s: float

    @property
    def key(self) -> EpisodeKey:
        """The position of this episode in pages."""
        return self.session, self.first_sequence


def selected(query: sa.Select, wanted: Selection) -> sa.Select:
    """Restrict a query to the episodes of a selection; `policies` and `watermarks` are ignored."""
    query = query.select_from(EPISODES).join(SESSIONS, SESSIONS.c.id == EPISODES.c.session)
    return query.where(*_of_sessions(wanted), *_of_episodes(wanted))


def _of_episodes(wanted: Selection) -> list[sa.ColumnElement[bool]]:
    return [EPISODES.c.purpose == wanted.purpose] if wanted.purpose else []


def _of_sessions(wanted: Selection) -> list[sa.ColumnElement[bool]]:
    names = wanted.sessions or tuple(wanted.watermarks)
    conditions = [
        (wanted.task, SESSIONS.c.task == wanted.task),
        (names, SESSIONS.c.id.in_(names)),
        (wanted.tags, SESSIONS.c.id.in_(sa.select(TAGS.c.session).where(TAGS.c.tag.in_(wanted.tags)))),
        (wanted.plants, SESSIONS.c.plant.in_(wanted.plants)),
        (wanted.since_ns, SESSIONS.c.begun_ns >= wanted.since_ns),
        (wanted.until_ns, SESSIONS.c.begun_ns < wanted.until_ns),
    ]
    return [condition for given, condition in conditions if given]


def session_page(
    connection: sa.Connection, wanted: Selection, after: SessionKey | None, limit: int | None
) -> list[SessionSummary]:
    """Return sessions with episodes of a selection, oldest first; `policies` and `watermarks` are ignored."""
    episodes = sa.exists().where(EPISODES.c.session == SESSIONS.c.id, *_of_episodes(wanted))
    query = sa.select(SESSIONS).where(*_of_sessions(wanted), episodes)
    if after is not None:
        query = query.where(sa.tuple_(SESSIONS.c.begun_ns, SESSIONS.c.id) > sa.tuple_(*after))
    rows = connection.execute(query.order_by(SESSIONS.c.begun_ns, SESSIONS.c.id).limit(limit)).all()
    counts, tags = _counts(connection, wanted, rows), _tags(connection, rows)
    return [
        SessionSummary(
            to_session(row), row.begun_ns, row.next_sequence, tuple(tags.get(row.id, ())), *counts[row.id]
        )
        for row in rows
    ]


def episode_places(
    connection: sa.Connection, wanted: Selection, after: EpisodeKey | None, limit: int | None
) -> list[EpisodePlace]:
    """Return the places of episodes, by session and sequence; `policies` and `watermarks` are ignored."""
    position = (EPISODES.c.session, EPISODES.c.first_sequence)
    columns = (*position, EPISODES.c.end_sequence, EPISODES.c.episode, EPISODES.c.steps)
    query = selected(sa.select(*columns, SESSIONS.c.task, SESSIONS.c.control_dt_s), wanted)
    if after is not None:
        query = query.where(sa.tuple_(*position) > sa.tuple_(*after))
    return [EpisodePlace(*row) for row in connection.execute(query.order_by(*position).limit(limit))]


def read_episodes(
    connection: sa.Connection, places: Sequence[EpisodePlace], watermarks: dict[str, int]
) -> Iterator[RecordedEpisode]:
    """Yield the episodes at some places, in their order, up to the watermarks.

    Deleted episodes are skipped. Of episodes that have grown since, the steps at that time are read.
    """
    for part in _parts_of_steps(places):
        found = _read(connection, part, watermarks)
        yield from (found[place.key].record() for place in part if place.key in found)


def _parts_of_steps(places: Sequence[EpisodePlace]) -> Iterator[list[EpisodePlace]]:
    part, steps = list[EpisodePlace](), 0
    for place in places:
        if part and (len(part) == PART or steps + place.steps > STEPS):
            yield part
            part, steps = [], 0
        part.append(place)
        steps += place.steps
    if part:
        yield part


_COLUMNS = ", ".join(f'transitions.{column.name} AS "{column.key}"' for column in TRANSITIONS.columns)
_READ = f"""
WITH asked (session, first_sequence, end_sequence, episode) AS (VALUES {{asked}})
SELECT {_COLUMNS}, asked.first_sequence FROM asked LEFT JOIN transitions
ON transitions.session = asked.session AND transitions.episode = asked.episode
AND transitions.sequence >= asked.first_sequence AND transitions.sequence < asked.end_sequence
ORDER BY transitions.session, transitions.sequence
"""
"""For the driver: SQLAlchemy takes ten times as long to compose it. SQLite may turn an inner join round, and
look through all transitions."""


def _read(
    connection: sa.Connection, places: list[EpisodePlace], watermarks: dict[str, int]
) -> dict[EpisodeKey, EpisodeRows]:
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    asked = ", ".join([f"({mark}, {mark}, {mark}, {mark})"] * len(places))
    values = [(p.session, p.first_sequence, p.end_sequence, p.episode) for p in places]
    rows = connection.exec_driver_sql(_READ.format(asked=asked), tuple(itertools.chain(*values)))
    by_key = {place.key: place for place in places}
    found: dict[EpisodeKey, EpisodeRows] = {}
    for row in rows:
        if row.session is None or (watermarks and row.sequence >= watermarks.get(row.session, 0)):
            continue
        key = (row.session, row.first_sequence)
        if key not in found:
            found[key] = EpisodeRows(row, by_key[key].task, by_key[key].control_dt_s)
        found[key].add(row)
    return found


def _counts(connection: sa.Connection, wanted: Selection, rows: Any) -> dict[str, tuple[int, int, int]]:
    """Return, by session, its episodes and the steps to learn from and to judge by."""
    steps = lambda purpose: sa.func.sum(  # noqa: E731
        sa.case((EPISODES.c.purpose == purpose, EPISODES.c.steps), else_=0)
    )
    query = selected(
        sa.select(EPISODES.c.session, sa.func.count(), steps(COLLECT), steps(EVALUATE)), wanted
    ).group_by(EPISODES.c.session)
    found = {}
    for part in _parts(rows):
        for name, *counts in connection.execute(query.where(EPISODES.c.session.in_(part))):
            found[name] = tuple(map(int, counts))
    return found


def _tags(connection: sa.Connection, rows: Any) -> dict[str, list[str]]:
    tags: dict[str, list[str]] = {}
    for part in _parts(rows):
        query = sa.select(TAGS).where(TAGS.c.session.in_(part)).order_by(TAGS.c.tag)
        for row in connection.execute(query):
            tags.setdefault(row.session, []).append(row.tag)
    return tags


def _parts(rows: Any) -> list[list[str]]:
    return [[row.id for row in rows[at : at + PART]] for at in range(0, len(rows), PART)]


def by_policy(versions: Sequence[str], policies: tuple[str, ...]) -> bool:
    """Return whether one of `versions` begins with one of `policies`; True if there are no `policies`."""
    return not policies or any(v.startswith(p) for v in versions for p in policies)
