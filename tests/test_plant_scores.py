"""Scores of policies on the plant: kept up to date, and read again only where something has changed."""

import dataclasses
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.event import listen
from sqlalchemy.exc import OperationalError

from tests.support.transitions import SESSION, Reads, rows
from trainer.services.plant_scores import PlantScores
from trainer.services.scoring import Scorer
from trainer.store.database import StoreUnavailable, open_database
from trainer.store.experience import ExperienceStore
from trainer.store.records import EVALUATE, Batch, Selection, SessionInfo, Transition
from trainer.tasks import load_task

STEPS = load_task("cartpole_swingup").episode_steps


@pytest.fixture
def engine(database: str | sa.URL) -> sa.Engine:
    return open_database(database)


@pytest.fixture
def store(engine: sa.Engine) -> ExperienceStore:
    return ExperienceStore(engine)


def named(name: str, task: str = SESSION.task) -> SessionInfo:
    return dataclasses.replace(SESSION, id=name, task=task)


def evaluation(policy: str, episodes: int = 1) -> list[Transition]:
    return rows(0, episodes * STEPS, STEPS, policy_version=policy, purpose=EVALUATE)


def counted(scores: PlantScores) -> dict[str, int]:
    return {version: len(record.outcomes) for version, record in scores.everything().items()}


def test_only_sessions_that_have_changed_are_read_again(store: ExperienceStore, engine: sa.Engine) -> None:
    store.append_all([Batch(named("s1"), evaluation("a")), Batch(named("s2"), evaluation("b", 2))])
    scores, reads = PlantScores(store, Scorer()), Reads(engine)
    first = scores.everything()
    assert counted(scores) == {"a": 1, "b": 2}
    assert reads.count == 1
    store.append(named("s3"), evaluation("a"))
    second = scores.everything()
    assert counted(scores) == {"a": 2, "b": 2}
    assert reads.count == 2
    assert second["b"] is first["b"]


def test_the_record_is_that_of_a_store_read_anew(store: ExperienceStore) -> None:
    scores = PlantScores(store, Scorer())
    assert counted(scores) == {}
    store.append_all([Batch(named(f"s{k}"), evaluation("ab"[k % 2], k)) for k in range(1, 5)])
    scores.everything()
    store.append(named("s5"), evaluation("a"))
    store.append(
        named("s2"), [row._replace(sequence=row.sequence) for row in evaluation("c", 3)[2 * STEPS :]]
    )
    store.forget(["s1"])
    assert scores.everything() == PlantScores(store, Scorer()).everything()


def test_a_policy_whose_sessions_were_forgotten_has_no_record(store: ExperienceStore) -> None:
    store.append_all([Batch(named("s1"), evaluation("a")), Batch(named("s2"), evaluation("b"))])
    scores = PlantScores(store, Scorer())
    assert counted(scores) == {"a": 1, "b": 1}
    store.forget(["s1"])
    assert counted(scores) == {"b": 1}


def test_episodes_are_scored_anew_when_the_file_of_their_task_has_changed(
    store: ExperienceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "import dataclasses\nfrom trainer.tasks import load_task\n"
    text += "TASK = dataclasses.replace(load_task('cartpole_swingup'), episode_steps={})\n"
    Path("swing.py").write_text(text.format(STEPS))
    store.append(named("s1", "swing.py:TASK"), evaluation("a"))
    scores = PlantScores(store, Scorer())
    assert counted(scores) == {"a": 1}
    Path("swing.py").write_text(text.format(10 * STEPS))
    assert counted(scores) == {"a": 0}
    Path("swing.py").write_text(text.format(STEPS))
    assert counted(scores) == {"a": 1}


def test_what_changed_while_the_database_failed_is_read_later(
    store: ExperienceStore, engine: sa.Engine
) -> None:
    store.append(named("s1"), evaluation("a"))
    scores = PlantScores(store, Scorer())
    scores.everything()
    store.append(named("s2"), evaluation("b"))
    away = True

    def fail(*_: object) -> None:
        if away:
            raise OperationalError("", {}, Exception("the database is away"))

    listen(engine, "before_cursor_execute", fail)
    with pytest.raises(StoreUnavailable):
        scores.everything()
    away = False
    assert counted(scores) == {"a": 1, "b": 1}


def test_a_selection_is_scored_by_what_it_holds(store: ExperienceStore) -> None:
    store.append_all([Batch(named("s1"), evaluation("a")), Batch(named("s2"), evaluation("a", 2))])
    found = PlantScores(store, Scorer()).of(Selection(sessions=("s2",)))
    assert {version: len(record.outcomes) for version, record in found.items()} == {"a": 2}
