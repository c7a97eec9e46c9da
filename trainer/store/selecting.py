"""Sessions and episodes of a selection, a page at a time."""

import itertools
from typing import Any

import sqlalchemy as sa

from trainer.store.records import COLLECT, EVALUATE, RecordedEpisode, Selection, SessionSummary
from trainer.store.rows import to_episode, to_session
from trainer.store.schema import EPISODES, SESSIONS, TAGS, TRANSITIONS

STEPS = 200_000
"""Transitions in a page of episodes, and one episode more."""
PART = 500
"""Sessions that are named in one query."""

SessionKey = tuple[int, str]
"""Where a page of sessions begins, exclusive: when the session began, and its id."""
EpisodeKey = tuple[str, int]
"""Where a page of episodes begins, exclusive: session, and the episode's first sequence number."""


def selected(query: sa.Select, wanted: Selection) -> sa.Select:
    """Restrict a query to the episodes of a selection, as far as the database knows."""
    query = query.select_from(EPISODES).join(SESSIONS, SESSIONS.c.id == EPISODES.c.session)
    names = wanted.sessions or tuple(wanted.watermarks)
    conditions = [
        (wanted.task, SESSIONS.c.task == wanted.task),
        (wanted.purpose, EPISODES.c.purpose == wanted.purpose),
        (names, SESSIONS.c.id.in_(names)),
        (wanted.tags, SESSIONS.c.id.in_(sa.select(TAGS.c.session).where(TAGS.c.tag.in_(wanted.tags)))),
        (wanted.plants, SESSIONS.c.plant.in_(wanted.plants)),
        (wanted.since_ns, SESSIONS.c.begun_ns >= wanted.since_ns),
        (wanted.until_ns, SESSIONS.c.begun_ns < wanted.until_ns),
    ]
    return query.where(*(condition for given, condition in conditions if given))


def session_page(
    connection: sa.Connection, wanted: Selection, after: SessionKey | None, limit: int | None
) -> list[SessionSummary]:
    """Return sessions that have episodes of a selection, oldest first; of policies nothing is asked."""
    having = selected(sa.select(EPISODES.c.session), wanted)
    query = sa.select(SESSIONS).where(SESSIONS.c.id.in_(having))
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


def episode_page(
    connection: sa.Connection, wanted: Selection, after: EpisodeKey | None, limit: int | None
) -> tuple[list[RecordedEpisode], EpisodeKey | None]:
    """Return episodes of a selection by session and sequence, and where the next page begins.

    A page with a limit also ends after STEPS transitions.
    """
    place = (EPISODES.c.session, EPISODES.c.first_sequence)
    keys = selected(sa.select(*place, EPISODES.c.episode, EPISODES.c.steps), wanted)
    if after is not None:
        keys = keys.where(sa.tuple_(*place) > sa.tuple_(*after))
    found, last = connection.execute(keys.order_by(*place).limit(None if limit is None else limit + 1)), None
    taken, steps = list[sa.Row](), 0
    for row in found.all():
        if limit is not None and (len(taken) == limit or (taken and steps + row.steps > STEPS)):
            last = taken[-1].session, taken[-1].first_sequence
            break
        taken.append(row)
        steps += row.steps
    episodes = list[RecordedEpisode]()
    for session, rows in itertools.groupby(taken, lambda row: row.session):
        episodes += _episodes(connection, session, [row.episode for row in rows], wanted.watermarks)
    return [episode for episode in episodes if _by_policy(episode, wanted.policies)], last


def _episodes(
    connection: sa.Connection, session: str, numbers: list[int], watermarks: dict[str, int]
) -> list[RecordedEpisode]:
    """Return episodes of one session, as far as the watermarks let."""
    query = (
        sa.select(TRANSITIONS, SESSIONS.c.task, SESSIONS.c.control_dt_s)
        .select_from(EPISODES)
        .join(SESSIONS, SESSIONS.c.id == EPISODES.c.session)
        .join(
            TRANSITIONS,
            sa.and_(
                TRANSITIONS.c.session == EPISODES.c.session,
                TRANSITIONS.c.sequence.between(EPISODES.c.first_sequence, EPISODES.c.end_sequence - 1),
                TRANSITIONS.c.episode == EPISODES.c.episode,
            ),
        )
        .where(EPISODES.c.session == session)
        .where(EPISODES.c.episode.between(min(numbers), max(numbers)))
    )
    if watermarks:
        query = query.where(TRANSITIONS.c.sequence < watermarks.get(session, 0))
    groups: dict[int, list[sa.Row]] = {}
    wanted = set(numbers)
    for row in connection.execute(query.order_by(TRANSITIONS.c.sequence)):
        if row.episode in wanted:
            groups.setdefault(row.episode, []).append(row)
    return [to_episode(rows) for rows in groups.values()]


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


def _by_policy(episode: RecordedEpisode, policies: tuple[str, ...]) -> bool:
    return not policies or any(v.startswith(p) for v in episode.policy_versions for p in policies)
