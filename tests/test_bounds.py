"""What a year leaves behind, and what hangs, has bounds: pages, queues, time-outs, short errors, pruning."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest

from protos.hds import v1
from tests.support.plain import session, transition
from tests.support.programs import Programs, asked, ready
from tests.support.published import TASK, publish_policy
from tests.support.streams import eventually
from trainer.client import CallFailed, TrainerClient
from trainer.jobs import manager
from trainer.jobs.worker_process import NICENESS
from trainer.services.paging import MOST_WHOLE
from trainer.services.pruning import superfluous
from trainer.store.database import open_database
from trainer.store.experience import ExperienceStore
from trainer.store.records import Batch, SessionInfo, Transition
from trainer.store.registry import PolicyEntry, Registry

SESSIONS, POLICIES = 700, 1200


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A trainer that has many sessions and policies; its address, and the directory above its state."""
    root = tmp_path_factory.mktemp("full")
    publish_policy(root / "trainer", 1)
    fill(f"sqlite:///{root / 'trainer' / 'hds.sqlite'}")
    programs = Programs(root)
    try:
        yield programs.trainer()[1], root
    finally:
        programs.close()


def fill(url: str) -> None:
    engine = open_database(url)
    store, registry = ExperienceStore(engine), Registry(engine)
    x, u = np.zeros(4, np.float32), np.zeros(1, np.float32)
    batches = []
    for k in range(SESSIONS):
        info = SessionInfo(f"s{k:06}", TASK.name, "test", TASK.state_names, TASK.action_names, 0.04)
        rows = [
            Transition(
                i, i // 2, 1 + i // 2, x, u, u, x, i, False, i % 2 == 1, "v" * 64, 1, "",
            )
            for i in range(4)
        ]  # fmt: skip
        batches.append(Batch(info, rows))
    store.append_all(batches)
    for k in range(POLICIES):
        registry.publish(PolicyEntry(f"{k:064x}", TASK.name, "", 0.0, {"model_success": 1.0}, 1 + k))
    engine.dispose()


def test_lists_come_in_pages_without_gaps_or_doubles(full: tuple[str, Path]) -> None:
    client = TrainerClient(full[0])
    assert [s.session.id for s in client.sessions(v1.Selection())] == [f"s{k:06}" for k in range(SESSIONS)]
    found = client.episodes_of(v1.Selection())
    assert [(e.session, e.episode) for e in found] == [
        (f"s{k:06}", e) for k in range(SESSIONS) for e in (0, 1)
    ]
    policies = client.policies()
    assert [policy.version for policy in policies[:POLICIES]] == [f"{k:064x}" for k in range(POLICIES)]
    assert len(policies) == POLICIES + 1


def test_a_page_has_the_size_that_was_asked_for_and_never_more_than_1000(full: tuple[str, Path]) -> None:
    stub = v1.RegistryServiceStub(ready(full[0]))
    page = stub.ListPolicies(v1.ListPoliciesRequest(page_size=7))
    assert len(page.policies) == 7
    rest = stub.ListPolicies(v1.ListPoliciesRequest(page_size=10**6, page_token=page.next_page_token))
    assert len(rest.policies) == 1000
    assert rest.policies[0].version == f"{7:064x}"
    for token in ("nonsense", ":", "x:y"):
        with pytest.raises(grpc.RpcError, match="page_token is invalid"):
            stub.ListPolicies(v1.ListPoliciesRequest(page_size=1, page_token=token))


def test_who_asks_for_no_pages_gets_all_or_is_told_to(full: tuple[str, Path]) -> None:
    """As clients of earlier versions do."""
    channel = ready(full[0])
    registry, experience = v1.RegistryServiceStub(channel), v1.ExperienceServiceStub(channel)
    assert len(registry.ListPolicies(v1.ListPoliciesRequest()).policies) == POLICIES + 1
    assert len(experience.ListSessions(v1.ListSessionsRequest()).sessions) == SESSIONS
    rows = [transition(k) for k in range(150 * 100)]
    for k, row in enumerate(rows):
        row.episode = k
    stub = v1.ExperienceServiceStub(channel)
    requests = [
        v1.AppendRequest(session=session("many"), transitions=rows[at : at + 1000])
        for at in range(0, len(rows), 1000)
    ]
    assert not any(answer.refusal for answer in stub.Append(iter(requests)))
    with pytest.raises(grpc.RpcError, match=f"more than {MOST_WHOLE} to list"):
        experience.ListEpisodes(v1.ListEpisodesRequest(session="many"))
    assert len(TrainerClient(full[0]).episodes("many", v1.PURPOSE_UNSPECIFIED)) == len(rows)


def test_errors_do_not_grow_with_what_is_stored_or_asked(full: tuple[str, Path]) -> None:
    channel, long = ready(full[0]), "x" * 100_000
    registry, experience = v1.RegistryServiceStub(channel), v1.ExperienceServiceStub(channel)
    training = v1.TrainingServiceStub(channel)
    calls: list[Callable[[], object]] = [
        lambda: registry.SetLabel(v1.SetLabelRequest(label="stable", version="f" * 64)),
        lambda: registry.SetLabel(v1.SetLabelRequest(label=long, version=long)),
        lambda: registry.ResolvePolicy(v1.ResolvePolicyRequest(name=long)),
        lambda: registry.ResolvePolicy(v1.ResolvePolicyRequest(name="0")),
        lambda: list(registry.WatchLabel(v1.WatchLabelRequest(label=long))),
        lambda: list(registry.DownloadPolicy(v1.DownloadPolicyRequest(version=long))),
        lambda: experience.TagSession(v1.TagSessionRequest(session=long, tag="x")),
        lambda: experience.TagSession(v1.TagSessionRequest(session="s000000", tag=long)),
        lambda: experience.ForgetSessions(v1.ForgetSessionsRequest(sessions=[long])),
        lambda: list(experience.ReadEpisode(v1.ReadEpisodeRequest(session=long))),
        lambda: training.GetJob(v1.GetJobRequest(id=long)),
        lambda: training.CancelJob(v1.CancelJobRequest(id=long)),
        lambda: list(training.WatchJob(v1.WatchJobRequest(id=long))),
        lambda: training.StartTraining(
            v1.StartTrainingRequest(options=v1.TrainingOptions(task=long, label="x"))
        ),
        lambda: training.StartTraining(
            v1.StartTrainingRequest(options=v1.TrainingOptions(task=TASK.name, label=long))
        ),
        lambda: training.StartRefit(
            v1.StartRefitRequest(options=v1.TrainingOptions(task=TASK.name), dynamics_model=long)
        ),
        lambda: training.StartRefit(
            v1.StartRefitRequest(options=v1.TrainingOptions(task=TASK.name), data_of=long)
        ),
    ]
    for number, call in enumerate(calls):
        with pytest.raises(grpc.RpcError) as refused:
            call()
        details = str(refused.value.details())  # pyright: ignore[reportAttributeAccessIssue]
        assert 0 < len(details) <= 2_100, (number, len(details))
        assert refused.value.code() not in {  # pyright: ignore[reportAttributeAccessIssue]
            grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL,
        }, (number, details)  # fmt: skip


def test_the_oldest_policies_without_labels_are_pruned_and_their_records_stay(
    programs: Programs, tmp_path: Path
) -> None:
    versions = [
        publish_policy(tmp_path / "trainer", seed, label="stable" if seed == 2 else "x") for seed in range(6)
    ]
    _, address = programs.trainer()
    shown = asked("prune", "--keep", "1", "--trainer", address)
    assert "nothing was deleted; --yes deletes 4 checkpoints of" in shown.stderr
    checkpoints = tmp_path / "trainer" / "checkpoints"
    assert len(list(checkpoints.iterdir())) == 6
    assert "deleted 4 checkpoints" in asked("prune", "--keep", "1", "--yes", "--trainer", address).stdout
    records = {policy.version: policy for policy in TrainerClient(address).policies()}
    assert set(records) == set(versions), "what each did stays recorded"
    gone = [version for version in versions if records[version].pruned]
    assert len(gone) == 4
    assert not any(records[version].labels for version in gone)
    assert {path.name for path in checkpoints.iterdir()} == set(versions) - set(gone)
    stub = v1.RegistryServiceStub(ready(address))
    with pytest.raises(grpc.RpcError, match="no policy with a checkpoint has the version"):
        list(stub.DownloadPolicy(v1.DownloadPolicyRequest(version=gone[0])))
    refused = asked("promote", gone[0][:12], "--trainer", address)
    assert "was pruned" in refused.stderr
    assert "checkpoint pruned" in asked("policies", "--trainer", address).stdout


def entry(version: str, parent: str = "", labels: tuple[str, ...] = (), task: str = "t") -> PolicyEntry:
    return PolicyEntry(version, task, parent, 0.0, {}, labels=labels)


def test_pruning_keeps_the_newest_the_labelled_the_used_and_their_parents() -> None:
    entries = [
        entry("a"), entry("b", "a"), entry("c", "b", ("stable",)), entry("d", "c"), entry("e", "d"),
        entry("f", "e"), entry("g", "f"), entry("z", "", (), "other"),
    ]  # fmt: skip
    assert superfluous(entries, 1, {"d"}) == ["a", "e"]
    assert superfluous(entries, 0, ()) == ["a", "d", "e", "f", "g", "z"]
    assert superfluous(entries, 100, ()) == []


def test_the_queue_of_jobs_has_an_end(programs: Programs) -> None:
    _, address = programs.trainer()
    client = TrainerClient(address)
    options = v1.TrainingOptions(task=TASK.name, epochs=1, label="x")
    started = [client.start_training(options) for _ in range(manager.MOST_QUEUED)]
    more = lambda: [client.start_training(options) for _ in range(3)]  # noqa: E731 - some may have begun
    with pytest.raises(CallFailed, match="100 jobs wait, which is the most"):
        more()
    client.call(client.training.CancelJob, v1.CancelJobRequest(id=started[-1].id))
    client.start_training(options)


def workers_of(trainer: int) -> list[psutil.Process]:
    """The trainer's workers that execute their program: just forked, one still shows the trainer's."""
    children = psutil.Process(trainer).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_a_frozen_worker_is_ended_and_the_next_job_runs(programs: Programs) -> None:
    program, address = programs.trainer("0", "--worker-patience", "6")
    client = TrainerClient(address)
    options = v1.TrainingOptions(task=TASK.name, epochs=1, label="x", gate_off=True)
    job = client.start_training(options)
    eventually(lambda: client.job(job.id).state == v1.JOB_STATE_RUNNING)
    eventually(lambda: len(workers_of(program.process.pid)) == 1)
    (worker,) = workers_of(program.process.pid)
    eventually(lambda: worker.nice() == NICENESS)
    os.kill(worker.pid, signal.SIGSTOP)
    eventually(lambda: client.job(job.id).state == v1.JOB_STATE_FAILED)
    assert client.job(job.id).error == "the worker process said nothing for 6 s, and was ended"
    again = client.start_training(options)
    eventually(lambda: client.job(again.id).state == v1.JOB_STATE_RUNNING)


def test_a_task_that_sleeps_while_it_is_loaded_keeps_nobody_waiting(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    slow = tmp_path / "slow.py"
    slow.write_text("import time\ntime.sleep(4)\nfrom trainer.tasks.cartpole_swingup import TASK\n")
    _, address = programs.trainer()
    stub = v1.ExperienceServiceStub(ready(address))
    first = v1.AppendRequest(session=session("quick"), transitions=[transition(0)])
    assert next(iter(stub.Append(iter([first])))).next_sequence == 1, "JAX is there"
    waiting = stub.Append(
        iter([v1.AppendRequest(session=session("s", task="slow.py:TASK"), transitions=[transition(0)])])
    )
    worst, answered = 0.0, threading.Event()
    waiting.add_callback(answered.set)
    requested = time.monotonic()
    while not answered.is_set() and time.monotonic() - requested < 3.5:
        began = time.monotonic()
        stub.GetWatermark(v1.GetWatermarkRequest(session="quick"), timeout=10.0)
        worst = max(worst, time.monotonic() - began)
    assert not answered.is_set()
    assert worst < 1.0
    assert next(iter(waiting)).next_sequence == 1
