"""The store of real transitions."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from protos.control_step import same_step
from protos.security.caller import answering
from trainer.store.database import WRITES, audit, reading, writing
from trainer.store.records import (
    EVALUATE,
    EVERYTHING,
    STREAM,
    Batch,
    EvaluatedSession,
    RecordedEpisode,
    Selection,
    SequenceGap,
    SessionConflict,
    SessionInfo,
    SessionSummary,
    Transition,
)
from trainer.store.rows import (
    from_session,
    from_transition,
    insert_transitions,
    to_session,
    to_transition,
)
from trainer.store.schema import EPISODES, SESSIONS, TAGS, TRANSITIONS
from trainer.store.selecting import (
    EpisodeKey,
    EpisodePlace,
    SessionKey,
    by_policy,
    episode_places,
    read_episodes,
    selected,
    session_page,
)

Outcome = int | SequenceGap | SessionConflict
"""The watermark after a batch, or why it was refused."""
EpisodeCounts = dict[tuple[str, int], dict[str, Any]]
"""What batches add to each episode, by session and episode."""


class ExperienceStore:
    """Transitions by `(session, sequence)`. Appending one twice changes nothing."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._on_change: list[Callable[[Iterable[str]], None]] = []

    def on_change(self, call: Callable[[Iterable[str]], None]) -> None:
        """Call `call(sessions)` after transitions of these sessions may have been added or deleted.

        It is called in the thread that wrote, and must return at once.
        """
        self._on_change.append(call)

    def watermark(self, session: str) -> int:
        """Return the smallest sequence number that is not stored; 0 for an unknown session."""
        with reading(self._engine) as connection:
            return _watermarks(connection, [session]).get(session, 0)

    def session(self, name: str) -> SessionInfo | None:
        """Return a session; None if it is unknown."""
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(SESSIONS).where(SESSIONS.c.id == name)).first()
        return to_session(row) if row else None

    def sessions(
        self, wanted: Selection = EVERYTHING, after: SessionKey | None = None, limit: int | None = None
    ) -> list[SessionSummary]:
        """Return what is stored of the sessions that have episodes of a selection, oldest first.

        `policies` and `watermarks` of the selection are ignored.
        """
        with reading(self._engine) as connection:
            return session_page(connection, wanted, after, limit)

    def append(self, session: SessionInfo, transitions: Iterable[Transition]) -> int:
        """Commit a batch and return the new watermark.

        Raises:
            SequenceGap: the batch leaves a gap after the watermark; nothing of it is stored.
            OtherSession: the session is known, and of another task or plant; nothing of it is stored.
            StoreUnavailable: the database takes nothing now; nothing is stored.
        """
        (result,) = self.append_all([Batch(session, list(transitions))])
        if isinstance(result, Exception):
            raise result
        return result

    def append_all(self, batches: Sequence[Batch]) -> list[Outcome]:
        """Commit batches of any sessions in one transaction; return the outcome of each.

        Raises:
            StoreUnavailable: the database takes nothing now; nothing of any batch is stored.
        """
        counts: EpisodeCounts = {}
        try:
            with writing(self._engine) as connection:
                return _append(connection, batches, counts)
        finally:  # a commit that may have come about counts as one
            self._changed({session for session, _ in counts})

    def episodes(self, wanted: Selection = EVERYTHING) -> list[RecordedEpisode]:
        """Return the recorded episodes of a selection, by session and sequence."""
        with reading(self._engine) as connection:
            places = episode_places(connection, wanted, None, None)
            found = read_episodes(connection, places, wanted.watermarks)
            return [episode for episode in found if by_policy(episode.policy_versions, wanted.policies)]

    def episode_places(
        self, wanted: Selection, after: EpisodeKey | None, limit: int | None
    ) -> list[EpisodePlace]:
        """Return the places of up to `limit` episodes; `policies` and `watermarks` are ignored."""
        with reading(self._engine) as connection:
            return episode_places(connection, wanted, after, limit)

    def read_episodes(
        self, places: Sequence[EpisodePlace], watermarks: dict[str, int]
    ) -> Iterator[RecordedEpisode]:
        """Yield the episodes at some places, up to the watermarks; deleted ones are skipped."""
        with reading(self._engine) as connection:
            yield from read_episodes(connection, places, watermarks)

    def evaluated(self, wanted: Selection = EVERYTHING) -> list[EvaluatedSession]:
        """Return the sessions with evaluation episodes, oldest first."""
        columns = (SESSIONS.c.id, SESSIONS.c.task, SESSIONS.c.plant)
        query = selected(sa.select(*columns, sa.func.sum(EPISODES.c.steps)), wanted)
        query = query.where(EPISODES.c.purpose == EVALUATE).group_by(*columns)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(sa.func.min(SESSIONS.c.begun_ns), SESSIONS.c.id))
            return [EvaluatedSession(name, task, plant, int(steps)) for name, task, plant, steps in rows]

    def has_data(self, wanted: Selection) -> bool:
        """Return whether there are episodes; `policies` and `watermarks` are ignored."""
        query = selected(sa.select(EPISODES.c.episode), wanted).limit(1)
        with reading(self._engine) as connection:
            return connection.execute(query).first() is not None

    def transitions(
        self, session: str, episode: int, first: int = 0, limit: int | None = None
    ) -> list[Transition]:
        """Return up to `limit` transitions of one episode in order, from sequence number `first` on."""
        known = sa.select(EPISODES.c.first_sequence, EPISODES.c.end_sequence).where(
            EPISODES.c.session == session, EPISODES.c.episode == episode
        )
        with reading(self._engine) as connection:
            place = connection.execute(known).first()
            if place is None:
                return []
            begin = max(first, place.first_sequence)
            query = sa.select(TRANSITIONS).where(
                TRANSITIONS.c.session == session,
                TRANSITIONS.c.sequence.between(begin, place.end_sequence - 1),
                TRANSITIONS.c.episode == episode,
            )
            rows = connection.execute(query.order_by(TRANSITIONS.c.sequence).limit(limit))
            return [to_transition(row) for row in rows]

    def tag(self, session: str, tag: str) -> None:
        """Add a tag to a session.

        Raises:
            LookupError: there is no such session.
        """
        with writing(self._engine) as connection:
            if session not in _watermarks(connection, [session]):
                raise LookupError(f"there is no session {session!r}; see 'hds-trainer experience'")
            connection.execute(_insert_missing(connection, TAGS), [{"session": session, "tag": tag}])
            audit(connection, "tag", session, tag=tag)

    def sizes(self, wanted: Selection) -> dict[str, int]:
        """Return the number of stored transitions by session."""
        query = selected(sa.select(EPISODES.c.session, sa.func.sum(EPISODES.c.steps)), wanted)
        with reading(self._engine) as connection:
            rows = connection.execute(query.group_by(EPISODES.c.session).order_by(EPISODES.c.session))
            return {name: int(steps) for name, steps in rows}

    def forget(self, sessions: Iterable[str]) -> int:
        """Delete the transitions of sessions, and say so in the audit trail; return how many.

        The sessions themselves stay with their watermark, so that nothing of them is taken in again. Each is
        deleted in a transaction of its own, so that an append waits for one at most.

        Raises:
            LookupError: there is no such session; nothing is deleted.
        """
        deleted, names = 0, list(dict.fromkeys(sessions))
        with reading(self._engine) as connection:
            known = _watermarks(connection, names)
        if unknown := [name for name in names if name not in known]:
            raise LookupError(f"there is no session {unknown[0]!r}; see 'hds-trainer experience'")
        for name in names:
            try:
                with writing(self._engine) as connection:
                    gone = connection.execute(TRANSITIONS.delete().where(TRANSITIONS.c.session == name))
                    connection.execute(EPISODES.delete().where(EPISODES.c.session == name))
                    audit(connection, "forget", name, transitions=gone.rowcount)
                    deleted += gone.rowcount
            finally:
                self._changed({name})
        return deleted

    def _changed(self, sessions: set[str]) -> None:
        for call in self._on_change if sessions else ():
            call(sessions)


def _append(connection: sa.Connection, batches: Sequence[Batch], counts: EpisodeCounts) -> list[Outcome]:
    """Insert what is new of some batches, and add its episodes to `counts`; return the outcome of each."""
    infos, before = _sessions(connection, batches)
    reached, results = dict.fromkeys(infos, 0) | before, []
    rows: list[tuple[Any, ...]] = []
    for batch in batches:
        other = _other(batch.session, infos[batch.session.id])
        other = other or _contradiction(connection, batch, reached[batch.session.id], rows)
        results.append(other or _take(batch, reached, rows, counts))
    if rows:
        insert_transitions(connection, rows)
        _count_episodes(connection, counts)
        ends = [{"of": name, "end": end} for name, end in reached.items() if end != before.get(name, 0)]
        moved = SESSIONS.update().where(SESSIONS.c.id == sa.bindparam("of"))
        connection.execute(moved.values(next_sequence=sa.bindparam("end")), ends)
    return results


def _sessions(
    connection: sa.Connection, batches: Sequence[Batch]
) -> tuple[dict[str, SessionInfo], dict[str, int]]:
    """Return what is stored of the batches' sessions by id, new ones included, and the known watermarks."""
    offered: dict[str, SessionInfo] = {}
    for batch in batches:
        offered.setdefault(batch.session.id, batch.session)
    query = sa.select(SESSIONS).where(SESSIONS.c.id.in_(list(offered))).with_for_update()
    known = connection.execute(query).all()
    infos = {row.id: to_session(row) for row in known}
    new = [info for name, info in offered.items() if name not in infos]
    if new:
        connection.execute(_insert_missing(connection, SESSIONS), [from_session(info) for info in new])
    callers = {batch.session.id: batch.caller for batch in batches}
    for info in new:
        if info.source != STREAM:
            answering(callers[info.id])
            audit(connection, "import", info.id, source=info.source)
    return offered | infos, {row.id: row.next_sequence for row in known}


def _other(offered: SessionInfo, stored: SessionInfo) -> SessionConflict | None:
    """Return in words that a batch's session is not the stored one; None if it is."""
    differences = [
        f"{name} {getattr(stored, name)!r}, not {getattr(offered, name)!r}"
        for name in ("task", "plant", "state_names", "action_names", "control_dt_s")
        if getattr(stored, name) != getattr(offered, name)
        and not (name == "control_dt_s" and same_step(stored.control_dt_s, offered.control_dt_s))
    ]
    return (
        SessionConflict(f"session {stored.id} is known with {'; '.join(differences)}")
        if differences
        else None
    )


def _contradiction(
    connection: sa.Connection, batch: Batch, watermark: int, pending: list[tuple[Any, ...]]
) -> SessionConflict | None:
    """Return the contradiction of a batch to what is stored; None if there is none.

    Deleted transitions are not compared.
    """
    name = batch.session.id
    known = {t.sequence: from_transition(name, t) for t in batch.transitions if t.sequence < watermark}
    if not known:
        return None
    query = sa.select(TRANSITIONS).where(
        TRANSITIONS.c.session == name, TRANSITIONS.c.sequence.between(min(known), max(known))
    )
    stored = [tuple(row) for row in connection.execute(query)]
    stored += [row for row in pending if row[0] == name]
    for row in stored:
        if known.get(row[1], row) != row:
            return SessionConflict(
                f"session {name} has another transition {row[1]} than the one that came, which is not "
                "stored: a session has one writer, who sends the same under the same number"
            )
    return None


def _watermarks(connection: sa.Connection, sessions: list[str]) -> dict[str, int]:
    query = sa.select(SESSIONS.c.id, SESSIONS.c.next_sequence).where(SESSIONS.c.id.in_(sessions))
    locked = connection.get_execution_options().get(WRITES)
    rows = connection.execute(query.with_for_update() if locked else query)
    return {row.id: row.next_sequence for row in rows}


def _insert_missing(connection: sa.Connection, table: sa.Table) -> sa.Insert:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table).on_conflict_do_nothing()


def _take(
    batch: Batch, reached: dict[str, int], rows: list[tuple[Any, ...]], counts: EpisodeCounts
) -> int | SequenceGap:
    """Add what of `batch` is new, unless it leaves a gap; return the watermark or the gap."""
    name = batch.session.id
    first = watermark = reached[name]
    new = []
    for transition in batch.transitions:
        if transition.sequence > watermark:
            return SequenceGap(
                f"sequence {transition.sequence} of session {name} leaves a gap; the next one is {watermark}"
            )
        if transition.sequence == watermark:
            new.append(transition)
            watermark += 1
    for sequence, transition in enumerate(new, start=first):
        rows.append(from_transition(name, transition))
        counted = counts.setdefault(
            (name, transition.episode),
            {"session": name, "episode": transition.episode, "purpose": transition.purpose,
             "first_sequence": sequence, "steps": 0},
        )  # fmt: skip
        counted["purpose"] = max(counted["purpose"], transition.purpose)
        counted["steps"] += 1
        counted["end_sequence"] = sequence + 1
    reached[name] = watermark
    return watermark


def _count_episodes(connection: sa.Connection, counts: EpisodeCounts) -> None:
    """Add to the episodes what is new of them; one that evaluates in any of its steps is not learned from."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    insert = dialect.insert(EPISODES)
    new = insert.excluded
    purpose = sa.case((new.purpose > EPISODES.c.purpose, new.purpose), else_=EPISODES.c.purpose)
    more = {
        "steps": EPISODES.c.steps + new.steps, "end_sequence": new.end_sequence, "purpose": purpose,
    }  # fmt: skip
    upsert = insert.on_conflict_do_update(index_elements=["session", "episode"], set_=more)
    connection.execute(upsert, list(counts.values()))
