"""What goes wrong in a year: each fault a context, that ends when it is left."""

import contextlib
import random
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos.hds import v1
from protos.security.certs import make_certificates
from protos.security.client_security import ClientSecurity
from tests.plants.beating import last_beat
from tests.support.plain import session, transition
from tests.support.programs import STILL
from tests.support.sites import Site
from tests.support.wire import Line
from trainer.processes import Program

OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)
REVOKED_S = 6.0
ESCAPES = "\x1b[31mred\x1b[0m\nsecond line\r\x07"


@dataclass
class Rig:
    """A run that drives for ever; `beat` is the file in which its plant notes pushes of a policy."""

    name: str
    program: Program
    session: str
    beat: Path
    spool: Path
    disk: Path

    def answered_since(self, moment: float) -> bool:
        """Return whether a policy has pushed since `moment`, on `time.monotonic`."""
        return last_beat(self.beat) > moment


@dataclass
class Year:
    """Everything that runs, and what a fault may touch."""

    site: Site
    versions: list[str]
    trainer: str
    controller: str
    metrics: int
    programs: dict[str, Program]
    disks: dict[str, Path]
    lines: dict[str, Line]
    rigs: list[Rig]
    database: Path | None
    """SQLite's file, if it is that."""
    end_connections: Callable[[], None] = lambda: None
    """Ends every connection to the other kind of database."""
    notes: list[str] = field(default_factory=list)
    """What did not do as it should."""

    def channel(self, server: str, who: str = "admin") -> grpc.Channel:
        """Return a channel to "trainer" or "controller" with a token, or without one for ""."""
        address = self.trainer if server == "trainer" else self.controller
        return self.access(who).channel(address, OWN_CONNECTION)

    def access(self, who: str) -> ClientSecurity:
        """Return the access of `who`, whose authority's file no fault touches."""
        return ClientSecurity(self.ca, token_file=self.site.root / f"{who}.token" if who else None)

    @property
    def ca(self) -> Path:
        """The authority of the certificates in use."""
        return self.site.root / "ca-now.pem"


Fault = Callable[[Year, random.Random], contextlib.AbstractContextManager[None]]
FAULTS: dict[str, Fault] = {}
WEIGHTS: dict[str, float] = {}


def fault(weight: float = 1.0) -> Callable[[Callable[[Year, random.Random], Iterator[None]]], Fault]:
    """Enter a fault into the table, under its function's name."""

    def enter(made: Callable[[Year, random.Random], Iterator[None]]) -> Fault:
        name = made.__name__.replace("_", " ")
        FAULTS[name], WEIGHTS[name] = contextlib.contextmanager(made), weight
        return FAULTS[name]

    return enter


def ignored(call: Callable[[], object]) -> None:
    """Make a call whose end does not matter here; what matters is that all others go on."""
    with contextlib.suppress(grpc.RpcError):
        call()


@contextlib.contextmanager
def moved_away(path: Path) -> Iterator[None]:
    """Let a file be missing."""
    away = path.with_name(path.name + ".away")
    path.rename(away)
    try:
        yield
    finally:
        away.replace(path)


@contextlib.contextmanager
def overwritten(path: Path, data: bytes) -> Iterator[None]:
    """Let a file hold something else."""
    before = path.with_name(path.name + ".before")
    shutil.copy2(path, before)
    path.write_bytes(data)
    try:
        yield
    finally:
        before.replace(path)


def some_file(year: Year, chance: random.Random) -> Path:
    """Return one of the files that say who may talk to whom."""
    certs = year.site.root / "certs"
    files = [certs / name for name in ("ca.pem", "server.pem", "server.key")]
    tokens = [year.site.tokens, year.site.root / "reader.token", year.site.root / "rig-0.token"]
    return chance.choice(files + tokens)


# Files


@fault()
def file_of_security_missing(year: Year, chance: random.Random) -> Iterator[None]:
    with moved_away(some_file(year, chance)):
        yield


@fault()
def file_of_security_garbled(year: Year, chance: random.Random) -> Iterator[None]:
    with overwritten(some_file(year, chance), chance.choice([b"", b"\x00" * 99, chance.randbytes(2000)])):
        yield


@fault(0.3)
def certificates_renewed(year: Year, chance: random.Random) -> Iterator[None]:
    fresh = year.site.root / "fresh"
    make_certificates(fresh, ("localhost", "127.0.0.1"), days=chance.choice([1, 100]))
    for name in ("server.pem", "server.key", "ca.pem"):
        (fresh / name).replace(year.site.root / "certs" / name)
    shutil.copy(year.site.root / "certs" / "ca.pem", year.ca)
    shutil.rmtree(fresh)
    yield


@fault(0.15)
def token_of_a_rig_revoked(year: Year, chance: random.Random) -> Iterator[None]:
    rig = chance.choice(year.rigs)
    entries = year.site.tokens.read_text().split("\n\n")
    left = "\n\n".join(entry for entry in entries if f'"{rig.name}"' not in entry)
    with overwritten(year.site.tokens, left.encode()):
        until = time.monotonic() + REVOKED_S
        while rig.answered_since(time.monotonic() - 0.3):
            if time.monotonic() > until:
                year.notes.append(f"a revoked token was served for more than {REVOKED_S} s")
                break
            time.sleep(0.05)
        yield


@fault()
def last_good_broken(year: Year, chance: random.Random) -> Iterator[None]:
    noted = year.site.root / "controller" / "last-good"
    noted.write_bytes(chance.randbytes(chance.randrange(200)))
    yield


@fault()
def database_away(year: Year, chance: random.Random) -> Iterator[None]:
    if year.database is None:
        year.end_connections()
        yield
        return
    with moved_away(year.database):
        if chance.random() < 0.5:
            year.database.write_bytes(b"")
        yield
        year.database.unlink(missing_ok=True)


@fault()
def database_locked(year: Year, chance: random.Random) -> Iterator[None]:
    if year.database is None:
        year.end_connections()
        yield
        return
    with held(year.database):
        yield


@fault()
def spool_locked(year: Year, chance: random.Random) -> Iterator[None]:
    with held(chance.choice(year.rigs).spool):
        yield


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Let another program have a database of SQLite's."""
    other = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


# Disks


@contextlib.contextmanager
def mood(disk: Path, words: str) -> Iterator[None]:
    """Let a disk be full, or slow."""
    disk.write_text(words)
    try:
        yield
    finally:
        disk.write_text("")


@fault(2.0)
def disk_full(year: Year, chance: random.Random) -> Iterator[None]:
    with mood(chance.choice(list(year.disks.values())), "full"):
        yield


@fault()
def disk_slow(year: Year, chance: random.Random) -> Iterator[None]:
    with mood(chance.choice(list(year.disks.values())), f"slow {chance.randrange(50, 500)}"):
        yield


@fault()
def disk_full_while_a_policy_comes(year: Year, chance: random.Random) -> Iterator[None]:
    with mood(year.disks["controller"], "full"):
        move_label(year, chance)
        yield


@fault()
def disk_full_beside_a_shadow(year: Year, chance: random.Random) -> Iterator[None]:
    with mood(year.disks["controller"], "full"), year.channel("controller") as channel:
        admin = v1.PolicyAdminServiceStub(channel)
        ignored(lambda: admin.SetShadow(v1.SetShadowRequest(version=chance.choice(year.versions)), timeout=5))
        yield
        ignored(lambda: admin.SetShadow(v1.SetShadowRequest(), timeout=5))


# The wire


@fault(2.0)
def line_held(year: Year, chance: random.Random) -> Iterator[None]:
    line = chance.choice(list(year.lines.values()))
    line.mood = "held"
    yield
    line.mood = "open"


@fault(2.0)
def line_cut(year: Year, chance: random.Random) -> Iterator[None]:
    line = chance.choice(list(year.lines.values()))
    line.mood = "cut"
    line.cut()
    yield
    line.mood = "open"


@fault()
def download_stalled_or_broken(year: Year, chance: random.Random) -> Iterator[None]:
    line = year.lines["controller to trainer"]
    move_label(year, chance)
    time.sleep(chance.uniform(0.0, 0.05))
    line.mood = chance.choice(["held", "cut"])
    if line.mood == "cut":
        line.cut()
    with year.channel("controller") as channel:
        admin = v1.PolicyAdminServiceStub(channel)
        ignored(lambda: admin.RollBack(v1.RollBackRequest(), timeout=5))
    yield
    line.mood = "open"


@fault()
def program_frozen(year: Year, chance: random.Random) -> Iterator[None]:
    program = chance.choice([year.programs["trainer"], year.programs["controller"]])
    program.process.send_signal(signal.SIGSTOP)
    yield
    program.process.send_signal(signal.SIGCONT)


@fault(0.5)
def no_file_can_be_opened(year: Year, chance: random.Random) -> Iterator[None]:
    pid = chance.choice(list(year.programs.values())).process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (psutil.Process(pid).num_fds(), before[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


# Who calls


@fault()
def watches_of_nobody(year: Year, chance: random.Random) -> Iterator[None]:
    """500 watches over 25 connections, without a token."""
    server = chance.choice(["trainer", "controller"])
    channels = [year.channel(server, "") for _ in range(25)]
    calls = [
        health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())  # pyright: ignore
        for channel in channels
        for _ in range(20)
    ]
    yield
    for call in calls:
        call.cancel()
    for channel in channels:
        channel.close()


@fault()
def wrong_tokens(year: Year, chance: random.Random) -> Iterator[None]:
    with year.channel("controller", "guess") as channel:
        describe = v1.PolicyServiceStub(channel).Describe
        futures = [describe.future(v1.DescribeRequest(), timeout=5.0) for _ in range(200)]
        yield
        for future in futures:
            future.cancel()


@fault()
def silent_or_mad_connections(year: Year, chance: random.Random) -> Iterator[None]:
    address = chance.choice([year.trainer, year.controller, f"127.0.0.1:{year.metrics}"])
    host, port = address.rsplit(":", 1)
    words = chance.choice([b"", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", chance.randbytes(500)])
    open_ones = []
    for _ in range(100):
        one = socket.create_connection((host, int(port)), timeout=5.0)
        with contextlib.suppress(OSError):
            one.sendall(words)
        open_ones.append(one)
    yield
    for one in open_ones:
        one.close()


@fault()
def calls_of_every_kind_with_nonsense(year: Year, chance: random.Random) -> Iterator[None]:
    from tests.support.kinds import kinds

    controller = {"PolicyService", "PolicyAdminService"}
    method = chance.choice(list(kinds()))
    asks, answers = kinds()[method]
    message = chance.choice([b"", chance.randbytes(200), b"\x0a" + b"\xff" * 50, bytes(5 << 20)])
    server = "controller" if method.split("/")[1].rpartition(".")[2] in controller else "trainer"
    with year.channel(server) as channel:
        if asks:
            ignored(lambda: list(channel.stream_stream(method)(iter([message]), timeout=2.0)))
        elif answers:
            call = channel.unary_stream(method)(message, timeout=1.0)
            ignored(lambda: list(call))
        else:
            ignored(lambda: channel.unary_unary(method)(message, timeout=5.0))
        yield


@fault()
def lists_of_everything(year: Year, chance: random.Random) -> Iterator[None]:
    with year.channel("trainer") as channel, ThreadPoolExecutor(8) as threads:
        experience, registry = v1.ExperienceServiceStub(channel), v1.RegistryServiceStub(channel)
        training = v1.TrainingServiceStub(channel)
        calls: list[Callable[[], object]] = [
            lambda: experience.ListSessions(v1.ListSessionsRequest(), timeout=5),
            lambda: experience.ListEpisodes(v1.ListEpisodesRequest(), timeout=5),
            lambda: registry.ListPolicies(v1.ListPoliciesRequest(), timeout=5),
            lambda: training.ListJobs(v1.ListJobsRequest(), timeout=5),
        ]
        done = list(threads.map(ignored, calls * 5))
        del done
        yield


@fault(2.0)
def what_no_store_may_take(year: Year, chance: random.Random) -> Iterator[None]:
    name, row = f"bad-{chance.randrange(10)}", transition(0)
    spoiled: list[Callable[[], Any]] = [
        lambda: row.u_requested.__setitem__(0, 2.0),
        lambda: row.u_applied.__setitem__(0, float("inf")),
        lambda: row.x.__setitem__(1, float("nan")),
        lambda: setattr(row, "t_ns", -1),
        lambda: setattr(row, "action_source", 77),
        lambda: setattr(row, "sequence", 10_000),
        lambda: setattr(row, "policy_version", ESCAPES),
        lambda: setattr(row, "policy_version", "x" * (3 << 20)),
    ]
    chance.choice(spoiled)()
    request = v1.AppendRequest(session=session(name), transitions=[row], writer="bad")
    with year.channel("trainer") as channel:
        ignored(lambda: list(v1.ExperienceServiceStub(channel).Append(iter([request, request]), timeout=5)))
        yield


@fault()
def second_writer_of_a_live_session(year: Year, chance: random.Random) -> Iterator[None]:
    rig = chance.choice(year.rigs)
    request = v1.AppendRequest(session=session(rig.session), transitions=[transition(0)], writer="other")
    with year.channel("trainer") as channel:
        try:
            answer = next(iter(v1.ExperienceServiceStub(channel).Append(iter([request]), timeout=5)))
            if not answer.refusal and not answer.gap:
                year.notes.append(f"a second writer was let into {rig.session}")
        except grpc.RpcError:
            pass
        yield


@fault()
def names_with_escapes(year: Year, chance: random.Random) -> Iterator[None]:
    plant = v1.PlantSpec(
        name=ESCAPES * chance.choice([1, 1000]), state_names=[ESCAPES] * 4, control_dt_s=0.04
    )
    hello = v1.ControlRequest(hello=v1.Hello(plant=plant, client=ESCAPES, task=ESCAPES))
    with year.channel("controller") as channel:
        ignored(lambda: next(iter(v1.PolicyServiceStub(channel).Control(iter([hello]), timeout=5))))
        yield


# Operations


def move_label(year: Year, chance: random.Random) -> None:
    """Point `stable` at one of the policies."""
    with year.channel("trainer") as channel:
        request = v1.SetLabelRequest(label="stable", version=chance.choice(year.versions))
        ignored(lambda: v1.RegistryServiceStub(channel).SetLabel(request, timeout=5.0))


@fault()
def label_moved(year: Year, chance: random.Random) -> Iterator[None]:
    move_label(year, chance)
    yield


@fault(0.5)
def rolled_back(year: Year, chance: random.Random) -> Iterator[None]:
    with year.channel("controller") as channel:
        ignored(lambda: v1.PolicyAdminServiceStub(channel).RollBack(v1.RollBackRequest(), timeout=5.0))
        yield


@fault(0.25)
def jobs_beyond_the_queue(year: Year, chance: random.Random) -> Iterator[None]:
    with year.channel("trainer") as channel:
        training, started = v1.TrainingServiceStub(channel), list[str]()
        options = v1.TrainingOptions(task="cartpole_swingup", epochs=1, label="x")

        def start() -> None:
            request = v1.StartTrainingRequest(options=options)
            started.append(training.StartTraining(request, timeout=5.0).job.id)

        for _ in range(30):
            ignored(start)
        yield
        for name in started:
            ignored(lambda name=name: training.CancelJob(v1.CancelJobRequest(id=name), timeout=5.0))


@fault(0.1)
def frozen_worker(year: Year, chance: random.Random) -> Iterator[None]:
    with year.channel("trainer") as channel:
        training = v1.TrainingServiceStub(channel)
        options = v1.TrainingOptions(task="cartpole_swingup", epochs=1, label="x")
        request = v1.StartTrainingRequest(options=options)
        job = ""

        def start() -> None:
            nonlocal job
            job = training.StartTraining(request, timeout=5.0).job.id

        ignored(start)
        time.sleep(0.3)
        for child in psutil.Process(year.programs["trainer"].process.pid).children():
            with contextlib.suppress(psutil.Error):
                if "spawn_main" in " ".join(child.cmdline()):
                    child.suspend()
        yield
        if job:
            ignored(lambda: training.CancelJob(v1.CancelJobRequest(id=job), timeout=5.0))


@fault(0.3)
def task_that_sleeps(year: Year, chance: random.Random) -> Iterator[None]:
    name = f"slow_{chance.randrange(10**6)}.py"
    sleeps = "import time\ntime.sleep(3)\nfrom trainer.tasks.cartpole_swingup import TASK\n"
    (year.site.root / name).write_text(sleeps)
    options = v1.TrainingOptions(task=f"{name}:TASK", epochs=1, label="x")
    with year.channel("trainer") as channel:
        training = v1.TrainingServiceStub(channel)
        future = training.StartTraining.future(v1.StartTrainingRequest(options=options), timeout=5.0)
        yield
        future.cancel()


@fault(0.15)
def second_program_on_the_same_state(year: Year, chance: random.Random) -> Iterator[None]:
    root, rig = year.site.root, year.rigs[0]
    words = chance.choice(
        [
            ["trainer", "serve", "--port", "0", "--state-dir", str(root / "trainer")],
            ["controller", "serve", "--port", "0", "--state-dir", str(root / "controller")],
            ["real_env", "run", "--plant", STILL, "--collect", "1",
             "--spool", str(rig.spool)],
        ]
    )  # fmt: skip
    second = threading.Thread(target=_ends_by_itself, args=(year, words))
    second.start()
    yield
    second.join()


def _ends_by_itself(year: Year, words: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, timeout=60, check=False
    )
    if ended.returncode not in {1, 2} or "process" not in ended.stderr:
        year.notes.append(f"{words[0]} on a state in use: {ended.returncode} {ended.stderr[-300:]}")
