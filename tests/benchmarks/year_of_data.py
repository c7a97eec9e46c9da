"""What streams at 100 Hz see while each call runs, on a trainer that has what a year leaves behind.

    python -m tests.benchmarks.year_of_data                 8760 policies, 100 000 sessions
    python -m tests.benchmarks.year_of_data --quick         a twentieth of that, fewer seconds

A process of its own makes the call over and over, through all pages of what is a list. It runs at nice 5,
since whoever calls sits elsewhere: what it computes is not to be taken from the servers. Beside it one stream
asks the controller for actions, and one records as a rig does, each 100 times a second. Told are the 99th
percentiles of an answer and of an acknowledgement, beside those while nobody calls, how often the call ended
and how long the longest took.
"""

import argparse
import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np

from protos.hds import v1
from protos.security.client_security import ClientSecurity
from real_env.spool import Spool
from real_env.uploader import ExperienceUploader
from tests.benchmarks.floods import HERTZ, driven
from tests.support.plain import session, transition
from tests.support.programs import Programs, free_port, ready
from tests.support.published import TASK, publish_policy
from trainer import compilation_cache
from trainer.client import CallFailed, TrainerClient
from trainer.store.database import open_database
from trainer.store.experience import ExperienceStore
from trainer.store.records import Batch, SessionInfo, Transition
from trainer.store.registry import PolicyEntry, Registry

POLICIES, SESSIONS, AT_ONCE = 8_760, 100_000, 500
SECONDS = 10.0


def fill(url: str, policies: int, sessions: int) -> None:
    """Store as many sessions, of two episodes each, and policies without checkpoints."""
    engine = open_database(url)
    store, registry = ExperienceStore(engine), Registry(engine)
    x, u = np.zeros(4, np.float32), np.zeros(1, np.float32)
    rows = [
        Transition(i, i // 2, 1 + i // 2, x, u, u, x, i, False, i % 2 == 1, "v" * 64, 1, "") for i in range(4)
    ]
    for first in range(0, sessions, AT_ONCE):
        named = [
            SessionInfo(f"s{k:06}", TASK.name, "test", TASK.state_names, TASK.action_names, 0.04)
            for k in range(first, min(first + AT_ONCE, sessions))
        ]
        store.append_all([Batch(info, rows) for info in named])
    for k in range(policies):
        registry.publish(PolicyEntry(f"{k:064x}", TASK.name, "", 0.0, {"model_success": 1.0}, 1 + k))
    engine.dispose()


class TimedSpool(Spool):
    """Notes how long each transition waited for its acknowledgement [s]."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.kept_at: list[float] = []
        self.took: list[float] = []

    def append(self, session: str, transition: v1.Transition) -> None:
        """Keep one transition."""
        self.kept_at.append(time.perf_counter())
        super().append(session, transition)

    def acknowledge(self, session: str, next_sequence: int) -> None:
        """Drop what is acknowledged."""
        now = time.perf_counter()
        self.took += [now - at for at in self.kept_at[len(self.took) : next_sequence]]
        super().acknowledge(session, next_sequence)


def acknowledged(address: str, name: str, seconds: float) -> list[float]:
    """Record 100 transitions a second, as a rig does; return how long each took to be acknowledged [s]."""
    spool = TimedSpool(Path.cwd() / f"{name}.sqlite")
    spool.open_session(session(name))
    uploader = ExperienceUploader(address, ClientSecurity(), spool, name, print)
    start = time.perf_counter()
    for k in range(round(seconds * HERTZ)):
        time.sleep(max(0.0, start + k / HERTZ - time.perf_counter()))
        spool.append(name, transition(k))
        uploader.notify()
    uploader.flush(60.0)
    uploader.close()
    spool.close()
    return spool.took


class Seen(NamedTuple):
    """The 99th percentiles of an answer and of an acknowledgement [ms]."""

    answer: float
    acknowledgement: float


NAMES = (f"live-{k:04}" for k in itertools.count())


def streams(trainer: str, controller: str, seconds: float) -> Seen:
    """Return what both streams see."""
    stored: list[float] = []
    name = next(NAMES)
    storing = threading.Thread(target=lambda: stored.extend(acknowledged(trainer, name, seconds)))
    storing.start()
    answered = driven(controller, ClientSecurity(), seconds)
    storing.join()
    return Seen(*(1e3 * float(np.percentile(times, 99)) for times in (answered, stored)))


def calls(root: Path, trainer: str, metrics: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield each call, under its name."""
    client, channel = TrainerClient(trainer), ready(trainer)
    registry, experience = v1.RegistryServiceStub(channel), v1.ExperienceServiceStub(channel)
    training, everything = v1.TrainingServiceStub(channel), v1.Selection()
    versions = [policy.version for policy in client.policies() if policy.labels]
    options = v1.TrainingOptions(task=TASK.name, epochs=1, label="x")
    tags, sleepers = itertools.count(), itertools.count()
    yield "ListSessions, all pages", lambda: client.sessions(everything)
    yield "ListEpisodes, all pages", lambda: client.episodes_of(everything)
    yield "ListSessions, not in pages", lambda: experience.ListSessions(v1.ListSessionsRequest())
    yield "ListEpisodes, not in pages", lambda: experience.ListEpisodes(v1.ListEpisodesRequest())
    yield "ListPolicies, all pages", client.policies
    yield "ListJobs, all pages", client.jobs
    yield "ScorePolicies", lambda: experience.ScorePolicies(v1.ScorePoliciesRequest(), timeout=60)
    yield "ReadEpisode", lambda: list(experience.ReadEpisode(v1.ReadEpisodeRequest(session="s000007")))
    yield "GetWatermark", lambda: experience.GetWatermark(v1.GetWatermarkRequest(session="s000007"))
    yield (
        "TagSession",
        lambda: experience.TagSession(v1.TagSessionRequest(session="s000007", tag=f"t{next(tags) % 50}")),
    )
    yield (
        "ForgetSessions, 100",
        lambda: experience.ForgetSessions(
            v1.ForgetSessionsRequest(sessions=[f"s{1000 + next(tags):06}" for _ in range(100)])
        ),
    )
    yield (
        "SetLabel of an unknown version",
        lambda: registry.SetLabel(v1.SetLabelRequest(label="stable", version="e" * 64)),
    )
    yield "ResolvePolicy", lambda: registry.ResolvePolicy(v1.ResolvePolicyRequest(name="0"))
    yield (
        "DownloadPolicy",
        lambda: list(registry.DownloadPolicy(v1.DownloadPolicyRequest(version=versions[0]))),
    )
    yield "PrunePolicies, only told", lambda: registry.PrunePolicies(v1.PrunePoliciesRequest(keep=10))
    left = itertools.count(len(client.policies()) - 100, -1)
    yield (
        "PrunePolicies, one more at a time",
        lambda: registry.PrunePolicies(
            v1.PrunePoliciesRequest(keep=max(0, next(left)), delete=True), timeout=60
        ),
    )
    yield "jobs beyond the queue", lambda: fill_queue(training, options)
    yield "a task's file that sleeps", lambda: sleeping_task(root, training, next(sleepers))
    yield "silent clients of the metrics", lambda: silent(metrics)


def fill_queue(training: v1.TrainingServiceStub, options: v1.TrainingOptions) -> None:
    """Start more jobs than may wait, and cancel them."""
    started = []
    with contextlib.suppress(grpc.RpcError):
        while True:
            started.append(training.StartTraining(v1.StartTrainingRequest(options=options)).job.id)
    for name in started:
        training.CancelJob(v1.CancelJobRequest(id=name))


def sleeping_task(root: Path, training: v1.TrainingServiceStub, number: int) -> None:
    """Ask for a job of a task whose file sleeps for 8 s, and is no task."""
    (root / f"slow_{number}.py").write_text("import time\ntime.sleep(8)\nTASK = None\n")
    options = v1.TrainingOptions(task=f"slow_{number}.py:TASK", epochs=1, label="x")
    training.StartTraining(v1.StartTrainingRequest(options=options))


def silent(port: int) -> None:
    """Connect 50 times to the metrics, say nothing for a second, and leave."""
    open_ones = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
    time.sleep(1.0)
    for one in open_ones:
        one.close()


def repeat(name: str, trainer: str, metrics: int) -> None:
    """Make the call of that name until standard input ends; print how long each took [s]."""
    os.nice(5)
    (call,) = (call for known, call in calls(Path.cwd(), trainer, metrics) if known == name)
    ended, took = threading.Event(), []
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    print("ready", flush=True)
    while not ended.is_set():
        began = time.perf_counter()
        with contextlib.suppress(grpc.RpcError, CallFailed):
            call()
        took.append(time.perf_counter() - began)
    print(json.dumps(took))


def measured(site: tuple[str, str], metrics: int, seconds: float, name: str) -> tuple[Seen, list[float]]:
    """Return what streams see while a process makes the call of that name, and how long each took."""
    command = [sys.executable, "-m", "tests.benchmarks.year_of_data", "--repeat", name]
    command += ["--trainer", site[0], "--metrics", str(metrics)]
    calling = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert calling.stdout is not None
    calling.stdout.readline()
    seen = streams(*site, seconds)
    out, _ = calling.communicate("")
    return seen, json.loads(out)


def main() -> None:
    """Fill a trainer, call, and print a line for each call."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--calls", nargs="*", default=(), help="these only, by a part of their names")
    for name in ("--repeat", "--trainer", "--metrics"):
        parser.add_argument(name, default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.repeat:
        repeat(given.repeat, given.trainer, int(given.metrics))
        return
    share, seconds = (20, 4.0) if given.quick else (1, SECONDS)
    os.environ.setdefault("NPROC", "1")
    compilation_cache.enable()
    with tempfile.TemporaryDirectory(prefix="hds-year-") as scratch:
        os.chdir(scratch)  # a trainer takes files of tasks from beneath where it was started
        root, metrics = Path(scratch), free_port()
        publish_policy(root / "trainer", 1)
        fill(f"sqlite:///{root / 'trainer' / 'hds.sqlite'}", POLICIES // share, SESSIONS // share)
        programs = Programs(root)
        try:
            _, trainer = programs.trainer()
            _, controller = programs.controller(trainer, metrics_port=metrics)
            _run(root, (trainer, controller), metrics, seconds, given.calls)
        finally:
            programs.close()
            os.chdir("/")


def _run(root: Path, site: tuple[str, str], metrics: int, seconds: float, chosen: list[str]) -> None:
    while True:
        with contextlib.suppress(RuntimeError):
            streams(*site, 2.0)
            break
    quiet, ratios = streams(*site, seconds), []
    for name in [known for known, _ in calls(root, site[0], metrics)]:
        if chosen and not any(part in name for part in chosen):
            continue
        seen, took = measured(site, metrics, seconds, name)
        after = streams(*site, seconds)
        base: Any = [0.5 * (a + b) for a, b in zip(quiet, after, strict=True)]
        ratios.append([a / b for a, b in zip(seen, base, strict=True)])
        print(
            f"{name:34} answers p99 {seen.answer:6.2f} ms, {ratios[-1][0]:5.2f} times the quiet "
            f"{base[0]:.2f}; acknowledgements {seen.acknowledgement:6.2f} ms, {ratios[-1][1]:5.2f} times the "
            f"quiet {base[1]:.2f}; {len(took)} calls, the longest {max(took):.2f} s",
            flush=True,
        )
        quiet = after
    for k, what in enumerate(("answers", "acknowledgements")):
        column = sorted(ratio[k] for ratio in ratios)
        above = sum(value > 2.0 for value in column)
        told = f"median {np.median(column):.2f}, largest {column[-1]:.2f}; above 2: {above} of {len(column)}"
        print(f"{what}: {told}")


if __name__ == "__main__":
    main()
