"""Lists of episodes: what was read once is not read again, and no list holds more than it needs."""

import dataclasses
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.event import listen

from tests.support.transitions import SESSION, Reads, U, X, rows
from trainer.services.episode_list import EpisodeList
from trainer.services.scoring import Scorer
from trainer.store.database import open_database, sqlite_url
from trainer.store.experience import ExperienceStore
from trainer.store.records import COLLECT, EVALUATE, EVERYTHING, Batch, Selection


@pytest.fixture
def engine(database: str | sa.URL) -> sa.Engine:
    return open_database(database)


@pytest.fixture
def store(engine: sa.Engine) -> ExperienceStore:
    return ExperienceStore(engine)


def test_an_episode_is_read_once_and_again_when_it_has_grown(
    store: ExperienceStore, engine: sa.Engine
) -> None:
    store.append(SESSION, rows(0, 25))
    listed, reads = EpisodeList(store, Scorer()), Reads(engine)
    first, _ = listed.page(EVERYTHING, "", 100)
    assert [one.steps for one in first] == [10, 10, 5]
    assert reads.count == 1
    assert listed.page(EVERYTHING, "", 100)[0] == first
    assert reads.count == 1
    store.append(SESSION, rows(25, 5, policy_version="def"))
    grown, _ = listed.page(EVERYTHING, "", 100)
    assert reads.count == 2
    assert grown[:2] == first[:2]
    assert (grown[2].steps, grown[2].truncated, list(grown[2].policy_versions)) == (10, True, ["abc", "def"])


def test_what_is_known_of_whole_episodes_is_not_told_of_parts_of_them(store: ExperienceStore) -> None:
    store.append(SESSION, rows(0, 30))
    listed = EpisodeList(store, Scorer())
    listed.page(EVERYTHING, "", 100)
    part, _ = listed.page(Selection(watermarks={"s1": 14}), "", 100)
    assert [one.steps for one in part] == [10, 4]
    assert [one.steps for one in listed.page(EVERYTHING, "", 100)[0]] == [10, 10, 10]


def test_episodes_that_are_known_are_selected_like_those_that_are_not(store: ExperienceStore) -> None:
    store.append(SESSION, rows(0, 20) + rows(20, 10, policy_version="def", purpose=EVALUATE))
    listed = EpisodeList(store, Scorer())
    for _ in range(2):
        numbers = lambda wanted: [one.episode for one in listed.page(wanted, "", 100)[0]]  # noqa: E731
        assert numbers(EVERYTHING) == [0, 1, 2]
        assert numbers(Selection(policies=("de",))) == [2]
        assert numbers(Selection(purpose=COLLECT)) == [0, 1]
    store.forget(["s1"])
    assert listed.page(EVERYTHING, "", 100) == ([], "")


def test_pages_meet_and_end_after_so_many_steps(
    store: ExperienceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.services.episode_list.STEPS", 25)
    sessions = [dataclasses.replace(SESSION, id=f"s{k}") for k in range(4)]
    store.append_all([Batch(session, rows(0, 35)) for session in sessions])
    listed, token, pages = EpisodeList(store, Scorer()), "", []
    while True:
        found, token = listed.page(EVERYTHING, token, 7)
        pages.append([(one.session, one.episode) for one in found])
        if not token:
            break
    assert max(map(len, pages)) == 3  # 10 + 10 + 5; one of 35 steps would be a page by itself
    assert [key for page in pages for key in page] == [
        (f"s{k}", number) for k in range(4) for number in range(4)
    ]


def test_no_page_of_a_list_goes_through_all_that_is_stored(tmp_path: Path) -> None:
    """A page of a year's sessions took 0.6 s, for which every rig's transitions waited."""
    engine = open_database(sqlite_url(tmp_path / "hds.sqlite"))
    store, plans = ExperienceStore(engine), list[str]()
    sessions = [dataclasses.replace(SESSION, id=f"s{k:03}") for k in range(300)]
    store.append_all([Batch(session, rows(0, 20)) for session in sessions])
    first = store.sessions(EVERYTHING, None, 10)[-1]
    with engine.begin() as connection:
        connection.exec_driver_sql("ANALYZE")

    def explain(connection: Any, _cursor: object, statement: str, values: tuple, *_: object) -> None:
        if not statement.startswith("BEGIN"):
            driver = connection.connection.driver_connection
            plans.extend(row[3] for row in driver.execute("EXPLAIN QUERY PLAN " + statement, values))

    listen(engine, "before_cursor_execute", explain)
    for wanted in (EVERYTHING, Selection(purpose=COLLECT), Selection(since_ns=1)):
        assert len(store.sessions(wanted, (first.begun_ns, first.session.id), 10)) == 10
        assert len(store.episode_places(wanted, ("s100", 0), 10)) == 10
    places = store.episode_places(EVERYTHING, ("s100", 0), 100)
    assert len(list(store.read_episodes(places, {}))) == 100
    assert plans
    for table in ("transitions", "episodes"):
        assert not [plan for plan in plans if plan.startswith(f"SCAN {table}")], plans


def test_a_task_whose_file_changed_judges_anew(
    store: ExperienceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "mine.py"
    words = (
        "import dataclasses\nfrom trainer.tasks.cartpole_swingup import TASK as T\n"
        "TASK = dataclasses.replace(T, episode_steps={})\n"
    )
    file.write_text(words.format(10))
    store.append(dataclasses.replace(SESSION, task="mine.py:TASK"), rows(0, 10))
    listed = EpisodeList(store, Scorer())
    judged = lambda: [one.judged for one in listed.page(EVERYTHING, "", 100)[0]]  # noqa: E731
    assert judged() == judged() == [True]
    file.write_text(words.format(11))
    os.utime(file, ns=(1, 1))
    assert judged() == [False]
    file.unlink()
    assert judged() == [False]


def test_a_list_of_long_episodes_takes_no_more_memory_than_their_states_and_actions(
    store: ExperienceStore,
) -> None:
    """Rows of a database, all of a page at once, took 2 kB for each step: 400 MB a list."""
    steps, bytes_a_step = 60_000, X.nbytes + U.nbytes
    for first in range(0, steps, 10_000):
        store.append(SESSION, rows(first, 10_000, length=1_000))
    store.episodes(Selection(sessions=("none",)))
    tracemalloc.start()
    try:
        found = store.episodes()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(len(one.u) for one in found) == steps
    assert peak < 4 * steps * bytes_a_step
