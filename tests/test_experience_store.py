import asyncio
import contextlib
import dataclasses
import multiprocessing
import os
import resource
import signal
import sqlite3
import threading
import time
import uuid
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.postgres import PostgreSQL
from trainer.services.group_commit import GroupCommit
from trainer.store.database import StoreUnavailable, audit_rows, open_database, sqlite_url
from trainer.store.experience import ExperienceStore
from trainer.store.records import (
    COLLECT,
    EVALUATE,
    Batch,
    Selection,
    SequenceGap,
    SessionConflict,
    SessionInfo,
    Transition,
)
from trainer.store.registry import Registry
from trainer.store.schema import AUDIT, METADATA
from trainer.store.turns import Turns

SESSION = SessionInfo("s1", "cartpole_swingup", "brax-friction", ("a", "b"), ("u",), 0.04)


def transition(sequence: int, episode: int = 0, purpose: int = COLLECT) -> Transition:
    x = np.array([sequence, 0.1 * sequence], np.float32)
    u = np.array([0.25], np.float32)
    return Transition(
        sequence, episode, purpose, x, u, u, x + 1, sequence * 40_000_000, False, False, "v1", 1, ""
    )


def opened(database: str | sa.URL) -> ExperienceStore:
    return ExperienceStore(open_database(database))


@pytest.fixture
def store(database: str | sa.URL) -> ExperienceStore:
    return opened(database)


def test_what_was_appended_comes_back_to_the_last_bit(store: ExperienceStore) -> None:
    sent = [transition(i) for i in range(5)]
    assert store.append(SESSION, sent) == 5
    for one, other in zip(sent, store.transitions("s1", 0), strict=True):
        for name in Transition._fields:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_a_gap_is_refused_and_nothing_of_the_batch_is_stored(store: ExperienceStore) -> None:
    store.append(SESSION, [transition(0)])
    with pytest.raises(SequenceGap, match="sequence 3 of session s1 leaves a gap; the next one is 2"):
        store.append(SESSION, [transition(1), transition(3)])
    assert store.watermark("s1") == 1


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"task": "pendulum"}, "task 'cartpole_swingup', not 'pendulum'"),
        ({"control_dt_s": 0.05}, "0.04, not 0.05"),
    ],
)
def test_a_known_session_does_not_change_its_task_or_plant(
    store: ExperienceStore, changed: dict, told: str
) -> None:
    store.append(SESSION, [transition(0)])
    with pytest.raises(SessionConflict, match=told):
        store.append(dataclasses.replace(SESSION, **changed), [transition(1)])
    fresh = dataclasses.replace(SESSION, id="s2")
    taken, refused = store.append_all(
        [Batch(fresh, [transition(0)]), Batch(dataclasses.replace(fresh, **changed), [transition(1)])]
    )
    assert taken == 1
    assert isinstance(refused, SessionConflict)
    assert (store.watermark("s1"), store.watermark("s2")) == (1, 1)


@pytest.mark.parametrize("at_once", [True, False])
def test_an_episode_that_evaluates_in_any_step_is_not_learned_from(
    store: ExperienceStore, at_once: bool
) -> None:
    rows = [transition(0), transition(1, purpose=EVALUATE), transition(2)]
    for batch in [rows] if at_once else [[row] for row in rows]:
        store.append(SESSION, batch)
    assert not store.episodes(Selection(purpose=COLLECT))
    assert store.episodes(Selection(purpose=EVALUATE))[0].u.shape == (3, 1)


def test_what_no_database_takes_of_one_stream_keeps_no_other_from_being_stored(
    store: ExperienceStore,
) -> None:
    async def together() -> list:
        commits, other = GroupCommit(store), dataclasses.replace(SESSION, id="s2")
        first = asyncio.create_task(commits.append(Batch(SESSION, [transition(0)])))  # the others wait for it
        await asyncio.sleep(0)
        broken = transition(0)._replace(t_ns=2**70)
        later = [Batch(other, [broken]), Batch(SESSION, [transition(1)])]
        return await asyncio.gather(first, *map(commits.append, later), return_exceptions=True)

    first, broken, good = asyncio.run(together())
    assert (first, good) == (1, 2)
    assert isinstance(broken, Exception)
    assert (store.watermark("s1"), store.watermark("s2")) == (2, 0)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6)), max_size=12))
def test_however_batches_overlap_each_transition_is_stored_once(
    store: ExperienceStore, batches: list[tuple[int, int]]
) -> None:
    session = dataclasses.replace(SESSION, id=uuid.uuid4().hex)
    watermark = 0
    for first, count in batches:
        rows = [transition(i) for i in range(first, first + count)]
        if first <= watermark:
            watermark = max(watermark, first + count)
            assert store.append(session, rows) == watermark
        else:
            with pytest.raises(SequenceGap):
                store.append(session, rows)
    assert [row.sequence for row in store.transitions(session.id, 0)] == list(range(watermark))


def test_episodes_are_grouped_and_filtered_by_purpose(store: ExperienceStore) -> None:
    rows = [transition(i, i // 3, COLLECT if i < 6 else EVALUATE) for i in range(9)]
    store.append(SESSION, rows)
    assert [e.episode for e in store.episodes(Selection(purpose=COLLECT))] == [0, 1]
    (judged,) = store.episodes(Selection(purpose=EVALUATE))
    assert judged.x.shape == (4, 2)
    assert judged.u.shape == (3, 1)
    assert judged.first_sequence == 6
    assert not store.episodes(Selection(task="another"))


def append_for_ever(database: str | sa.URL, pipe: Connection) -> None:
    store = opened(database)
    for sequence in range(1_000_000):
        pipe.send(store.append(SESSION, [transition(sequence)]))


def test_every_acknowledged_transition_survives_the_death_of_the_process(database: str | sa.URL) -> None:
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=append_for_ever, args=(database, theirs))
    process.start()
    theirs.close()
    acknowledged = 0
    while acknowledged < 50:
        acknowledged = ours.recv()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    while ours.poll():
        try:
            acknowledged = ours.recv()
        except EOFError:
            break
    store = opened(database)
    assert store.watermark("s1") >= acknowledged
    assert [row.sequence for row in store.transitions("s1", 0)] == list(range(store.watermark("s1")))


def test_a_database_that_cannot_be_written_is_named() -> None:
    with pytest.raises(OSError, match=r"database sqlite:////dev/null/hds.sqlite cannot be opened"):
        open_database("sqlite:////dev/null/hds.sqlite")


def test_sessions_are_chosen_by_id_tag_time_policy_and_watermark(store: ExperienceStore) -> None:
    for name in ("a", "b", "c"):
        rows = [transition(i, i // 2)._replace(policy_version=f"{name}{i // 2}") for i in range(4)]
        store.append(dataclasses.replace(SESSION, id=name), rows)
    store.tag("b", "cold-bearing")
    found = lambda **wanted: [(e.session, e.episode) for e in store.episodes(Selection(**wanted))]  # noqa: E731
    assert found(sessions=("a", "c")) == [("a", 0), ("a", 1), ("c", 0), ("c", 1)]
    assert found(tags=("cold-bearing",)) == [("b", 0), ("b", 1)]
    assert found(policies=("c1",)) == [("c", 1)]
    assert found(since_ns=2**62) == []
    (short,) = store.episodes(Selection(watermarks={"a": 1}))
    assert short.u.shape == (1, 1)
    with pytest.raises(LookupError, match="there is no session 'd'"):
        store.tag("d", "x")


def test_one_transaction_takes_batches_of_many_sessions_and_leaves_out_the_one_with_a_gap(
    store: ExperienceStore,
) -> None:
    other = dataclasses.replace(SESSION, id="s2")
    batches = [
        Batch(SESSION, [transition(0)]),
        Batch(other, [transition(1)]),
        Batch(SESSION, [transition(1), transition(2)]),
    ]
    first, gap, last = store.append_all(batches)
    assert (first, last) == (1, 3)
    assert isinstance(gap, SequenceGap)
    assert (store.watermark("s1"), store.watermark("s2")) == (3, 0)


def test_what_is_forgotten_is_noted_and_not_taken_in_again(
    store: ExperienceStore, database: str | sa.URL
) -> None:
    rows = [transition(i) for i in range(4)]
    store.append(SESSION, rows)
    assert store.forget(["s1"]) == 4
    assert store.append(SESSION, rows) == 4
    assert store.transitions("s1", 0) == []
    with open_database(database).connect() as connection:
        (noted,) = connection.execute(sa.select(AUDIT)).all()
    assert (noted.action, noted.resource, noted.detail) == ("forget", "s1", {"transitions": 4})


def test_a_database_from_before_migrations_keeps_its_episodes(tmp_path: Path) -> None:
    """The tables as the first version made them, with two episodes."""
    url = sqlite_url(tmp_path / "old.sqlite")
    engine = open_database(url)
    ExperienceStore(engine).append(SESSION, [transition(i, i // 2) for i in range(4)])
    engine.dispose()
    with contextlib.closing(sqlite3.connect(tmp_path / "old.sqlite")) as old:
        for table in ("episodes", "tags", "audit", "alembic_version", "job_epochs"):
            old.execute(f"DROP TABLE {table}")
        old.execute("DROP INDEX sessions_by_time")
        old.execute("ALTER TABLE policies DROP COLUMN pruned_ns")
        for column in ("begun_ns", "source"):
            old.execute(f"ALTER TABLE sessions DROP COLUMN {column}")
        old.execute("ALTER TABLE transitions DROP COLUMN end_cause")
        old.execute("DROP TABLE labels")
        old.execute("CREATE TABLE labels (label VARCHAR PRIMARY KEY, version VARCHAR REFERENCES policies)")
        old.execute("INSERT INTO policies VALUES ('aaa', 'pendulum', '', 0.0, '{}', 1)")
        old.execute("INSERT INTO labels VALUES ('stable', 'aaa')")
        old.execute("CREATE INDEX transitions_by_purpose ON transitions (purpose, session, sequence)")
        old.commit()
    store = opened(url)
    assert [(e.episode, e.u.shape[0]) for e in store.episodes()] == [(0, 2), (1, 2)]
    assert store.append(SESSION, [transition(4, 1)]) == 5
    assert store.episodes()[1].u.shape[0] == 3
    labels = Registry(open_database(url))
    assert labels.labelled("stable") == ("pendulum", "aaa"), "a label goes to the task of its policy"


def test_the_audit_trail_of_an_earlier_version_keeps_its_rows(database: str | sa.URL) -> None:
    """As it is in schema 0004, whose columns had other names."""
    engine = open_database(database)
    ExperienceStore(engine).append(SESSION, [transition(0)])
    ExperienceStore(engine).tag(SESSION.id, "cold")
    with engine.begin() as connection:
        for before, after in (("action", "deed"), ("resource", "subject")):
            connection.execute(sa.text(f"ALTER TABLE audit RENAME COLUMN {before} TO {after}"))
        connection.execute(sa.text("DROP TABLE job_epochs"))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0004'"))
    engine.dispose()
    (row,) = audit_rows(open_database(database))
    assert (row.action, row.resource, row.detail) == ("tag", "s1", {"tag": "cold"})


def test_the_migrations_lead_to_the_tables_that_the_code_knows(database: str | sa.URL) -> None:
    with open_database(database).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, METADATA) == []


def test_a_database_of_a_newer_version_is_left_alone(database: str | sa.URL) -> None:
    with open_database(database).begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(OSError, match="has the schema '9999'; this version of HDS knows up to '0006'"):
        open_database(database)


def test_a_restart_of_postgresql_is_survived_without_a_new_store(postgres: PostgreSQL) -> None:
    store = opened(postgres.new_database())
    store.append(SESSION, [transition(0)])
    postgres.stop()
    with pytest.raises(StoreUnavailable, match="the database is not available"):
        store.append(SESSION, [transition(1)])
    postgres.start()
    assert store.append(SESSION, [transition(1)]) == 2


def test_a_full_disk_stores_nothing_of_a_batch_and_recovers(tmp_path: Path) -> None:
    store = opened(sqlite_url(tmp_path / "hds.sqlite"))
    store.append(SESSION, [transition(0)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StoreUnavailable, match="the database is not available"):
            store.append(SESSION, [transition(i) for i in range(1, 2000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.watermark("s1") == 1
    assert store.append(SESSION, [transition(i) for i in range(1, 2000)]) == 2000


def test_turns_are_taken_in_the_order_in_which_they_were_asked_for() -> None:
    turns, order, within = Turns(), list[int](), list[int]()
    asked = [threading.Event() for _ in range(8)]

    def take(number: int) -> None:
        asked[number].set()
        with turns.turn():
            within.append(number)
            order.append(number)
            assert within == [number]
            within.remove(number)

    with turns.turn():
        threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
        for number, thread in enumerate(threads):
            thread.start()
            asked[number].wait()
            while len(turns._waiting) <= number:
                thread.join(0.001)
    for thread in threads:
        thread.join()
    assert order == list(range(8))


def test_whoever_writes_all_the_time_does_not_shut_out_who_writes_little(database: str) -> None:
    store, ended = ExperienceStore(open_database(database)), threading.Event()
    store.append(SESSION, [transition(0)])

    def write() -> None:
        while not ended.is_set():
            store.tag(SESSION.id, "busy")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    took = []
    for sequence in range(1, 41):
        began = time.monotonic()
        store.append(SESSION, [transition(sequence)])
        took.append(time.monotonic() - began)
    ended.set()
    for thread in threads:
        thread.join()
    assert max(took) < 1.0, "it waits for those who were there before it, and no longer"
