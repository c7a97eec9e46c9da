import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.store.experience import COLLECT, EVALUATE, ExperienceStore, SequenceGap, SessionInfo, Transition
from trainer.store.schema import open_database, sqlite_url

SESSION = SessionInfo("s1", "cartpole_swingup", "brax-friction", ("a", "b"), ("u",), 0.04)


def transition(sequence: int, episode: int = 0, purpose: int = COLLECT) -> Transition:
    x = np.array([sequence, 0.1 * sequence], np.float32)
    u = np.array([0.25], np.float32)
    return Transition(
        sequence, episode, purpose, x, u, u, x + 1, sequence * 40_000_000, False, False, "v1", 1, ""
    )


def opened(path: Path) -> ExperienceStore:
    return ExperienceStore(open_database(sqlite_url(path / "hds.sqlite")))


def test_what_was_appended_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    store = opened(tmp_path)
    sent = [transition(i) for i in range(5)]
    assert store.append(SESSION, sent) == 5
    for one, other in zip(sent, store.transitions("s1", 0), strict=True):
        for name in Transition._fields:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_a_gap_is_refused_and_nothing_of_the_batch_is_stored(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.append(SESSION, [transition(0)])
    with pytest.raises(SequenceGap, match="sequence 3 of session s1 leaves a gap; the next one is 2"):
        store.append(SESSION, [transition(1), transition(3)])
    assert store.watermark("s1") == 1


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6)), max_size=12))
def test_however_batches_overlap_each_transition_is_stored_once(
    tmp_path_factory: pytest.TempPathFactory, batches: list[tuple[int, int]]
) -> None:
    store = opened(tmp_path_factory.mktemp("store"))
    watermark = 0
    for first, count in batches:
        rows = [transition(i) for i in range(first, first + count)]
        if first <= watermark:
            watermark = max(watermark, first + count)
            assert store.append(SESSION, rows) == watermark
        else:
            with pytest.raises(SequenceGap):
                store.append(SESSION, rows)
    assert [row.sequence for row in store.transitions("s1", 0)] == list(range(watermark))


def test_episodes_are_grouped_and_filtered_by_purpose(tmp_path: Path) -> None:
    store = opened(tmp_path)
    rows = [transition(i, i // 3, COLLECT if i < 6 else EVALUATE) for i in range(9)]
    store.append(SESSION, rows)
    assert [e.episode for e in store.episodes(purpose=COLLECT)] == [0, 1]
    (judged,) = store.episodes(purpose=EVALUATE)
    assert judged.x.shape == (4, 2)
    assert judged.u.shape == (3, 1)
    assert judged.first_sequence == 6
    assert not store.episodes(task="another")


def append_for_ever(path: Path, pipe: Connection) -> None:
    store = opened(path)
    for sequence in range(1_000_000):
        pipe.send(store.append(SESSION, [transition(sequence)]))


def test_every_acknowledged_transition_survives_the_death_of_the_process(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=append_for_ever, args=(tmp_path, theirs))
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
    store = opened(tmp_path)
    assert store.watermark("s1") >= acknowledged
    assert [row.sequence for row in store.transitions("s1", 0)] == list(range(store.watermark("s1")))


def test_a_database_that_cannot_be_written_is_named() -> None:
    with pytest.raises(OSError, match=r"database sqlite:////dev/null/hds.sqlite cannot be opened"):
        open_database("sqlite:////dev/null/hds.sqlite")
