"""The trainer as a process."""

import itertools
import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest

from protos.hds import v1
from protos.security.client_security import ClientSecurity
from real_env.spool import Spool
from real_env.uploader import ExperienceUploader, SessionRejected
from tests.support.plain import session, transition
from tests.support.postgres import PostgreSQL
from tests.support.programs import Programs, free_port, kill, ready
from tests.support.published import TASK
from tests.support.watermarks import stored
from trainer.client import CallFailed, TrainerClient
from trainer.server import NICENESS


@pytest.mark.skipif(not hasattr(os, "getpriority"), reason="the system has no niceness")
def test_a_trainer_gives_way_to_what_controls_on_the_same_computer(programs: Programs) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    program, _ = programs.trainer()
    assert os.getpriority(os.PRIO_PROCESS, program.process.pid) == min(own + NICENESS, 19)


def test_a_kill_while_streaming_loses_and_doubles_nothing(programs: Programs, tmp_path: Path) -> None:
    port = str(free_port())
    program, address = programs.trainer(port)
    spool = Spool(tmp_path / "spool.sqlite")
    spool.open_session(session())
    uploader = ExperienceUploader(address, ClientSecurity(), spool, "s1", lambda message: None)
    halfway = threading.Event()

    def record() -> None:
        for sequence in range(600):
            spool.append("s1", transition(sequence))
            uploader.notify()
            if sequence == 300:
                halfway.set()

    recording = threading.Thread(target=record)
    recording.start()
    halfway.wait()
    kill(program)
    recording.join()
    assert spool.waiting() > 0
    programs.trainer(port)
    assert uploader.flush(timeout=30.0)
    assert spool.waiting() == 0
    assert stored(address) == list(range(600))
    uploader.close()


def test_what_an_earlier_run_left_in_the_spool_is_sent_by_the_next(
    programs: Programs, tmp_path: Path
) -> None:
    first = Spool(tmp_path / "spool.sqlite")
    first.open_session(session("earlier"))
    for sequence in range(70):
        first.append("earlier", transition(sequence))
    first.close()
    _, address = programs.trainer()
    uploader = ExperienceUploader(
        address, ClientSecurity(), Spool(tmp_path / "spool.sqlite"), "later", lambda message: None
    )
    assert uploader.flush(timeout=30.0)
    assert stored(address, "earlier") == list(range(70))
    uploader.close()


def test_a_plant_that_does_not_fit_the_task_is_refused_and_its_data_kept(
    programs: Programs, tmp_path: Path
) -> None:
    _, address = programs.trainer()
    spool = Spool(tmp_path / "spool.sqlite")
    arm = v1.PlantSpec(name="arm", state_names=["a"], action_names=["b"], control_dt_s=0.04)
    spool.open_session(session("s1", arm))
    spool.append("s1", transition(0))
    uploader = ExperienceUploader(address, ClientSecurity(), spool, "s1", lambda message: None)
    uploader.notify()
    with pytest.raises(SessionRejected, match="plant 'arm' does not fit task cartpole_swingup"):
        uploader.flush(timeout=30.0)
    assert spool.waiting() == 1
    uploader.close()


def test_a_refused_batch_does_not_end_the_stream(programs: Programs) -> None:
    _, address = programs.trainer()
    stub = v1.ExperienceServiceStub(ready(address))
    batches = [[transition(0)], [transition(5)], [transition(0), transition(1)]]
    requests = [v1.AppendRequest(session=session(), transitions=batch) for batch in batches]
    answers = list(stub.Append(iter(requests)))
    assert [answer.next_sequence for answer in answers] == [1, 1, 2]
    assert "leaves a gap; the next one is 1" in answers[1].gap
    assert stub.GetWatermark(v1.GetWatermarkRequest(session="s1")).next_sequence == 2


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"reason": "a\0b"}, "the reason must have no zero byte"),
        ({"policy_version": "x" * 3000}, "at most 2000 letters; it has 3000"),
        ({"episode": 2**31}, "episode 2147483648 or the sequence is too large"),
    ],
)
def test_what_some_database_would_not_take_is_refused_before_any(
    programs: Programs, wrong: dict, told: str
) -> None:
    _, address = programs.trainer()
    stub, row = v1.ExperienceServiceStub(ready(address)), transition(0)
    row.MergeFrom(v1.Transition(**wrong))
    requests = [v1.AppendRequest(session=session(), transitions=[one]) for one in (row, transition(0))]
    refused, taken = stub.Append(iter(requests))
    assert told in refused.refusal
    assert (refused.next_sequence, taken.next_sequence) == (0, 1)


def test_a_session_whose_tasks_file_is_gone_is_listed_without_a_score(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("from trainer.tasks.cartpole_swingup import TASK\n")
    _, address = programs.trainer()
    client = TrainerClient(address)
    for name, task in (("s1", "mine.py:TASK"), ("s2", "cartpole_swingup")):
        client.append([v1.AppendRequest(session=session(name, task=task), transitions=[transition(0)])])
    assert all(np.isfinite(episode.cost) for episode in client.episodes("", v1.PURPOSE_UNSPECIFIED))
    (tmp_path / "mine.py").unlink()
    gone, known = client.episodes("", v1.PURPOSE_UNSPECIFIED)
    assert np.isnan(gone.cost)
    assert np.isfinite(known.cost)


def test_episodes_are_scored_by_the_task(programs: Programs) -> None:
    _, address = programs.trainer()
    stub = v1.ExperienceServiceStub(ready(address))
    rows = []
    for sequence in range(150):
        row = transition(sequence, v1.PURPOSE_EVALUATE)
        del row.x[:], row.x_next[:]
        row.x.extend([1.0, 0.0, 0.0, 0.0])
        row.x_next.extend([1.0, 0.0, 0.0, 0.0])
        rows.append(row)
    list(stub.Append(iter([v1.AppendRequest(session=session(), transitions=rows)])))
    (episode,) = TrainerClient(address).episodes("s1", v1.PURPOSE_EVALUATE)
    assert episode.success
    # ½ ((0.3 · 1 m)² + (0.05 · 0.1)²) per step
    np.testing.assert_allclose(episode.cost, 150 * 0.5 * (0.09 + 0.005**2), rtol=1e-5)
    assert episode.seconds == pytest.approx(6.0)


def test_a_label_watcher_hears_of_a_move(programs: Programs, publish: Callable[..., str]) -> None:
    a, b = publish(seed=1), publish(seed=2)
    _, address = programs.trainer()
    stub = v1.RegistryServiceStub(ready(address))
    moves = stub.WatchLabel(v1.WatchLabelRequest(label="stable"))
    assert next(moves).version == b
    stub.SetLabel(v1.SetLabelRequest(label="stable", version=a, expected_version=b))
    assert next(moves).version == a
    with pytest.raises(grpc.RpcError, match="points to"):
        stub.SetLabel(v1.SetLabelRequest(label="stable", version=b, expected_version=b))


def test_a_label_watcher_hears_of_every_move_also_there_and_back(
    programs: Programs, publish: Callable[..., str]
) -> None:
    """A controller that missed one stayed in the quarantine of the policy that it had rolled back from."""
    a, b = publish(seed=1), publish(seed=2)
    _, address = programs.trainer()
    stub = v1.RegistryServiceStub(ready(address))
    moves = stub.WatchLabel(v1.WatchLabelRequest(label="stable"))
    assert next(moves).version == b
    with ThreadPoolExecutor(8) as pool:
        requests = [v1.SetLabelRequest(label="stable", version=version) for version in [a, b] * 40]
        list(pool.map(stub.SetLabel, requests))
    trail = [json.loads(e.detail) for e in TrainerClient(address).audit() if e.action == "label"]
    moved = [entry["version"] for entry in trail[: len(requests)]]  # newest first
    seen = [version for version, _ in itertools.groupby([b, *reversed(moved)])][1:]
    assert len(seen) > 2
    assert [next(moves).version for _ in seen] == seen


def test_a_trainer_whose_database_restarts_loses_nothing_and_goes_on_by_itself(
    programs: Programs, postgres: PostgreSQL, tmp_path: Path
) -> None:
    program, address = programs.trainer("0", "--database", postgres.new_database())
    client, said = TrainerClient(address), []
    spool = Spool(tmp_path / "spool.sqlite")
    spool.open_session(session("s1"))
    uploader = ExperienceUploader(address, ClientSecurity(), spool, "s1", said.append)
    for sequence in range(100):
        spool.append("s1", transition(sequence))
    uploader.notify()
    assert uploader.flush(timeout=30.0)
    postgres.stop()
    try:
        for sequence in range(100, 200):
            spool.append("s1", transition(sequence))
        uploader.notify()
        assert not uploader.flush(timeout=2.0)
        for ask in (client.policies, lambda: client.start_training(v1.TrainingOptions(task=TASK.name))):
            with pytest.raises(CallFailed, match="the database is not available"):
                ask()
        assert spool.waiting() == 100
        assert any("the database is not available" in words for words in said)
    finally:
        postgres.start()
    assert uploader.flush(timeout=60.0)
    uploader.close()
    assert stored(address, "s1") == list(range(200))
    assert client.policies() == []
    assert program.process.poll() is None
