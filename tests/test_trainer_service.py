"""The trainer as a process."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import jax
import numpy as np
import pytest

from protos.hds import v1
from protos.transport.access import Access
from real_env.spool import Spool
from real_env.uplink import RefusedByTrainer, Uplink
from tests.plain import session, transition
from tests.postgres import PostgreSQL
from tests.programs import Programs, free_port, kill, ready
from tests.published import TASK
from trainer.checkpoint.reader import read_item
from trainer.client import CallFailed, TrainerClient
from trainer.jobs.manager import JobManager
from trainer.jobs.request import JobRequest, Published
from trainer.store.database import open_database
from trainer.store.jobs import JobStore


def stored(address: str, name: str = "s1") -> list[int]:
    client = TrainerClient(address)
    episodes = client.episodes(name, v1.PURPOSE_UNSPECIFIED)
    return [row.sequence for e in episodes for row in client.transitions(name, e.episode)]


def test_a_kill_while_streaming_loses_and_doubles_nothing(programs: Programs, tmp_path: Path) -> None:
    port = str(free_port())
    program, address = programs.trainer(port)
    spool = Spool(tmp_path / "spool.sqlite")
    spool.open_session(session())
    uplink = Uplink(address, Access(), spool, "s1", lambda message: None)
    halfway = threading.Event()

    def record() -> None:
        for sequence in range(600):
            spool.append("s1", transition(sequence))
            uplink.notify()
            if sequence == 300:
                halfway.set()

    recording = threading.Thread(target=record)
    recording.start()
    halfway.wait()
    kill(program)
    recording.join()
    assert spool.waiting() > 0
    programs.trainer(port)
    assert uplink.flush(timeout=30.0)
    assert spool.waiting() == 0
    assert stored(address) == list(range(600))
    uplink.close()


def test_what_an_earlier_run_left_in_the_spool_is_sent_by_the_next(
    programs: Programs, tmp_path: Path
) -> None:
    first = Spool(tmp_path / "spool.sqlite")
    first.open_session(session("earlier"))
    for sequence in range(70):
        first.append("earlier", transition(sequence))
    first.close()
    _, address = programs.trainer()
    uplink = Uplink(address, Access(), Spool(tmp_path / "spool.sqlite"), "later", lambda message: None)
    assert uplink.flush(timeout=30.0)
    assert stored(address, "earlier") == list(range(70))
    uplink.close()


def test_a_plant_that_does_not_fit_the_task_is_refused_and_its_data_kept(
    programs: Programs, tmp_path: Path
) -> None:
    _, address = programs.trainer()
    spool = Spool(tmp_path / "spool.sqlite")
    arm = v1.PlantSpec(name="arm", state_names=["a"], action_names=["b"], control_dt_s=0.04)
    spool.open_session(session("s1", arm))
    spool.append("s1", transition(0))
    uplink = Uplink(address, Access(), spool, "s1", lambda message: None)
    uplink.notify()
    with pytest.raises(RefusedByTrainer, match="plant 'arm' does not fit task cartpole_swingup"):
        uplink.flush(timeout=30.0)
    assert spool.waiting() == 1
    uplink.close()


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


def test_a_job_that_publishes_can_not_be_cancelled_any_more(tmp_path: Path) -> None:
    """Else it would be told as cancelled, and its policy served all the same."""

    async def cancelled_meanwhile() -> tuple[v1.JobState, v1.JobState]:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def publish(job: v1.Job, published: Published) -> None:
            begun.set()
            await go_on.wait()

        def request_of(job: v1.Job) -> JobRequest:
            options = job.options
            return JobRequest(False, options.task, 0, options.epochs, "", None, "", "", tmp_path)

        jobs = JobManager(
            JobStore(open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}")), request_of, publish
        )
        working = asyncio.create_task(jobs.run())
        try:
            job = await jobs.start(v1.Job(options=v1.TrainingOptions(task="cartpole_swingup", epochs=1)))
            await asyncio.wait_for(begun.wait(), 120.0)
            asked = (await jobs.cancel(job.id)).state
            go_on.set()
            ended = [told.state async for told in jobs.watch(job.id)][-1]
            return asked, ended
        finally:
            working.cancel()
            jobs.close()

    assert asyncio.run(cancelled_meanwhile()) == (v1.JOB_STATE_RUNNING, v1.JOB_STATE_SUCCEEDED)


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


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (
            lambda c: c.start_training(v1.TrainingOptions(task="juggle")),
            "unknown task 'juggle'; choose one of: cartpole_swingup",
        ),
        (
            lambda c: c.start_training(v1.TrainingOptions(task=TASK.name, label="No Label")),
            "'No Label' is no label",
        ),
        (
            lambda c: c.start_refit(v1.StartRefitRequest(options=v1.TrainingOptions(task=TASK.name))),
            "there is no such data to refit from for task 'cartpole_swingup'; record some with",
        ),
        (
            lambda c: c.start_refit(
                v1.StartRefitRequest(options=v1.TrainingOptions(task=TASK.name), dynamics_model="magic")
            ),
            "unknown dynamics model 'magic'; choose one of",
        ),
        (
            lambda c: c.start_refit(
                v1.StartRefitRequest(options=v1.TrainingOptions(task=TASK.name), learned_fraction=1.5)
            ),
            r"learned_fraction must be in \[0, 1\]; got 1.5",
        ),
        (
            lambda c: c.call(c.training.GetJob, v1.GetJobRequest(id="9")),
            "there is no job '9'; known: none yet",
        ),
        (
            lambda c: c.call(c.registry.SetLabel, v1.SetLabelRequest(label="stable", version="x")),
            "no policy has the version 'x'; published: none yet",
        ),
    ],
    ids=["task", "label", "no data", "rung", "fraction", "job", "version"],
)
def test_a_wrong_request_is_refused_at_once_with_what_would_be_valid(
    programs: Programs, start: Callable, message: str
) -> None:
    _, address = programs.trainer()
    ready(address)
    with pytest.raises(CallFailed, match=message):
        start(TrainerClient(address))


def test_evaluation_data_is_no_data_to_refit_from(programs: Programs) -> None:
    _, address = programs.trainer()
    stub = v1.ExperienceServiceStub(ready(address))
    rows = [transition(sequence, v1.PURPOSE_EVALUATE) for sequence in range(20)]
    list(stub.Append(iter([v1.AppendRequest(session=session(), transitions=rows)])))
    with pytest.raises(CallFailed, match="there is no such data to refit from"):
        TrainerClient(address).start_refit(v1.StartRefitRequest(options=v1.TrainingOptions(task=TASK.name)))


def test_a_refit_with_a_neural_residual_publishes_a_policy_under_its_label(programs: Programs) -> None:
    _, address = programs.trainer()
    ready(address)
    client = TrainerClient(address)
    rows = [transition(sequence) for sequence in range(50)]
    list(client.experience.Append(iter([v1.AppendRequest(session=session(), transitions=rows)])))
    options = v1.TrainingOptions(task=TASK.name, epochs=1, label="trial")
    request = v1.StartRefitRequest(options=options, dynamics_model="friction-residual", learned_fraction=0.5)
    shares: list[float] = []
    job = client.follow(client.start_refit(request).id, lambda job: shares.append(job.progress))
    assert shares == sorted(shares)
    assert job.metrics["real_seconds"] == pytest.approx(2.0)
    (policy,) = client.policies()
    assert (policy.version, list(policy.labels)) == (job.policy_version, ["trial"])
    assert policy.real_seconds == pytest.approx(2.0)


def test_a_running_job_is_cancelled_and_the_next_one_runs(programs: Programs) -> None:
    _, address = programs.trainer()
    ready(address)
    client = TrainerClient(address)
    job = client.start_training(v1.TrainingOptions(task=TASK.name, epochs=100_000))
    for response in client.training.WatchJob(v1.WatchJobRequest(id=job.id)):
        if response.job.state == v1.JOB_STATE_RUNNING:
            break
    client.call(client.training.CancelJob, v1.CancelJobRequest(id=job.id))
    with pytest.raises(CallFailed, match="job 1 cancelled"):
        client.follow(job.id, lambda job: None)
    # it is too short for a fit, so it fails, and says so
    list(client.experience.Append(iter([v1.AppendRequest(session=session(), transitions=[transition(0)])])))
    job = client.start_refit(v1.StartRefitRequest(options=v1.TrainingOptions(task=TASK.name)))
    with pytest.raises(
        CallFailed, match="job 2 failed: the data has no stretch of 10 steps; the longest has 1"
    ):
        client.follow(job.id, lambda job: None)


def test_a_job_that_the_trainer_died_under_is_told_as_failed(programs: Programs) -> None:
    port = str(free_port())
    program, address = programs.trainer(port)
    ready(address)
    client = TrainerClient(address)
    client.start_training(v1.TrainingOptions(task=TASK.name, epochs=100_000))
    kill(program)
    client.close()
    programs.trainer(port)
    ready(address)
    client = TrainerClient(address)
    response = client.call(client.training.GetJob, v1.GetJobRequest(id="1"))
    assert isinstance(response, v1.GetJobResponse)
    assert response.job.state == v1.JOB_STATE_FAILED
    assert response.job.error == "the trainer was stopped before it ended"


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


def test_a_refit_uses_what_is_selected_and_can_be_repeated_to_the_last_bit(programs: Programs) -> None:
    _, address = programs.trainer()
    client = TrainerClient(address)

    def record(name: str, first: int, count: int) -> None:
        rows = [transition(first + i) for i in range(count)]
        client.append([v1.AppendRequest(session=session(name), transitions=rows)])

    def refitted(**wanted: Any) -> v1.Job:
        options = v1.TrainingOptions(task=TASK.name, epochs=1, label="trial")
        job = client.start_refit(v1.StartRefitRequest(options=options, **wanted))
        return client.follow(job.id, lambda job: None)

    def dynamics(job: v1.Job) -> list[bytes]:
        item = read_item(programs.root / "trainer" / "checkpoints" / job.policy_version, "dynamics")
        return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(item)]

    record("a", 0, 60)
    record("b", 0, 50)
    first = refitted(data=v1.Selection(sessions=["a"]))
    assert first.metrics["real_seconds"] == pytest.approx(60 * 0.04)
    record("a", 60, 40)
    again = refitted(data_of=first.policy_version[:12])
    assert again.metrics["real_seconds"] == pytest.approx(60 * 0.04)
    assert dynamics(again) == dynamics(first)
    more = refitted()
    assert more.metrics["real_seconds"] == pytest.approx(150 * 0.04)
    for wanted, message in (
        ({"data": v1.Selection(tags=["hot"])}, "there is no such data to refit from"),
        ({"data_of": "0000"}, "no policies begin with '0000'"),
        ({"data_of": "0", "data": v1.Selection(tags=["hot"])}, "give either data_of, a version, or"),
        ({"data": v1.Selection(since_unix_ns=2, until_unix_ns=1)}, "'since' is not before 'until'"),
    ):
        with pytest.raises(CallFailed, match=message):
            refitted(**wanted)


def test_a_trainer_whose_database_restarts_loses_nothing_and_goes_on_by_itself(
    programs: Programs, postgres: PostgreSQL, tmp_path: Path
) -> None:
    program, address = programs.trainer("0", "--database", postgres.new_database())
    client, said = TrainerClient(address), []
    spool = Spool(tmp_path / "spool.sqlite")
    spool.open_session(session("s1"))
    uplink = Uplink(address, Access(), spool, "s1", said.append)
    for sequence in range(100):
        spool.append("s1", transition(sequence))
    uplink.notify()
    assert uplink.flush(timeout=30.0)
    postgres.stop()
    try:
        for sequence in range(100, 200):
            spool.append("s1", transition(sequence))
        uplink.notify()
        assert not uplink.flush(timeout=2.0)
        for ask in (client.policies, lambda: client.start_training(v1.TrainingOptions(task=TASK.name))):
            with pytest.raises(CallFailed, match="the database is not available"):
                ask()
        assert spool.waiting() == 100
        assert any("the database is not available" in words for words in said)
    finally:
        postgres.start()
    assert uplink.flush(timeout=60.0)
    uplink.close()
    assert stored(address, "s1") == list(range(200))
    assert client.policies() == []
    assert program.process.poll() is None
