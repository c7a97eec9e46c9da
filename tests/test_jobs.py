"""Trainings and refits as jobs of a trainer."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from protos.hds import v1
from tests.support.plain import session, transition
from tests.support.programs import Programs, free_port, kill, ready
from tests.support.published import TASK
from trainer.checkpoint.reader import read_item
from trainer.client import CallFailed, TrainerClient
from trainer.jobs.manager import JobManager
from trainer.jobs.request import JobRequest, Published
from trainer.store.database import open_database
from trainer.store.jobs import JobStore


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
            job = await jobs.start(v1.Job(options=v1.TrainingOptions(task="pendulum", epochs=1)))
            await asyncio.wait_for(begun.wait(), 300.0)
            asked = (await jobs.cancel(job.id)).state
            go_on.set()
            ended = [told.state async for told in jobs.watch(job.id)][-1]
            return asked, ended
        finally:
            working.cancel()
            jobs.close()

    assert asyncio.run(cancelled_meanwhile()) == (v1.JOB_STATE_RUNNING, v1.JOB_STATE_SUCCEEDED)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainerClient]:
    """A trainer that nobody has asked for anything yet but what it refuses."""
    programs = Programs(tmp_path_factory.mktemp("empty"))
    try:
        yield TrainerClient(programs.trainer()[1])
    finally:
        programs.close()


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
    ids=["task", "label", "no data", "dynamics model", "fraction", "job", "version"],
)
def test_a_wrong_request_is_refused_at_once_with_what_would_be_valid(
    empty: TrainerClient, start: Callable, message: str
) -> None:
    with pytest.raises(CallFailed, match=message):
        start(empty)


def test_evaluation_data_is_no_data_to_refit_from(programs: Programs) -> None:
    _, address = programs.trainer()
    stub = v1.ExperienceServiceStub(ready(address))
    rows = [transition(sequence, v1.PURPOSE_EVALUATE) for sequence in range(20)]
    list(stub.Append(iter([v1.AppendRequest(session=session(), transitions=rows)])))
    with pytest.raises(CallFailed, match="there is no such data to refit from"):
        TrainerClient(address).start_refit(v1.StartRefitRequest(options=v1.TrainingOptions(task=TASK.name)))


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


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TrainerClient, Path]]:
    """A trainer whose worker keeps what it compiled from test to test, and where its policies are."""
    programs = Programs(tmp_path_factory.mktemp("working"))
    try:
        yield TrainerClient(programs.trainer()[1]), programs.root / "trainer" / "checkpoints"
    finally:
        programs.close()


def test_a_refit_uses_what_is_selected_and_can_be_repeated_to_the_last_bit(
    working: tuple[TrainerClient, Path],
) -> None:
    client, checkpoints = working

    def record(name: str, first: int, count: int) -> None:
        rows = [transition(first + i) for i in range(count)]
        client.append([v1.AppendRequest(session=session(name), transitions=rows)])

    def refitted(**wanted: Any) -> v1.Job:
        options = v1.TrainingOptions(task=TASK.name, epochs=1, label="trial", gate_off=True)
        job = client.start_refit(v1.StartRefitRequest(options=options, dynamics_model="friction", **wanted))
        return client.follow(job.id, lambda job: None)

    def dynamics(job: v1.Job) -> list[bytes]:
        item = read_item(checkpoints / job.policy_version, "dynamics")
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
        ({"data_of": "0000"}, "no policy begins with '0000'"),
        ({"data_of": "0", "data": v1.Selection(tags=["hot"])}, "give either data_of, a version, or"),
        ({"data": v1.Selection(since_unix_ns=2, until_unix_ns=1)}, "'since' is not before 'until'"),
    ):
        with pytest.raises(CallFailed, match=message):
            refitted(**wanted)


def test_a_refit_with_a_neural_residual_publishes_a_policy_under_its_label(
    working: tuple[TrainerClient, Path],
) -> None:
    client, _ = working
    rows = [transition(sequence) for sequence in range(50)]
    client.append([v1.AppendRequest(session=session("residual"), transitions=rows)])
    options = v1.TrainingOptions(task=TASK.name, epochs=1, label="residual", gate_off=True)
    request = v1.StartRefitRequest(
        options=options,
        dynamics_model="friction-residual",
        learned_fraction=0.5,
        data=v1.Selection(sessions=["residual"]),
    )
    shares: list[float] = []
    job = client.follow(client.start_refit(request).id, lambda job: shares.append(job.progress))
    assert shares == sorted(shares)
    assert job.metrics["real_seconds"] == pytest.approx(2.0)
    (policy,) = [policy for policy in client.policies() if list(policy.labels) == ["residual"]]
    assert policy.version == job.policy_version
    assert policy.real_seconds == pytest.approx(2.0)
