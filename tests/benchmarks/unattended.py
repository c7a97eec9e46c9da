"""Faults drawn at random, one after the other, on real processes, while rigs are driven.

    python -m tests.benchmarks.unattended                              2000 faults in 60 minutes
    python -m tests.benchmarks.unattended --faults 30 --minutes 1      a try
    python -m tests.benchmarks.unattended --database postgresql

A trainer, a controller and two rigs with tokens over TLS. Each fault lasts 0.1 to 1 s. Told are processes
that ended, how long after each fault's end every rig was driven by a policy again and its transitions were
stored, and each program's memory, descriptors and threads over time. In the end every transition must be
stored once.
"""

import argparse
import collections
import contextlib
import os
import random
import shutil
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil

from protos.hds import v1
from tests.benchmarks.unattended_faults import FAULTS, WEIGHTS, Rig, Year
from tests.support.bad_disk import built_library
from tests.support.programs import START_S, Programs, free_port
from tests.support.published import publish_policy
from tests.support.sites import Site
from tests.support.stored import stored
from tests.support.wire import Line
from trainer import compilation_cache
from trainer.processes import Program

PLANT = f"{Path(__file__).parents[1] / 'plants' / 'beating.py'}:Beating"
RIGS, BAR_S, PATIENCE_S, STOOD_STILL_S = 2, 5.0, 60.0, 3.0


class Meter:
    """Memory, descriptors and threads of programs, over time."""

    def __init__(self, programs: dict[str, Program]) -> None:
        self._programs = {name: psutil.Process(one.process.pid) for name, one in programs.items()}
        self.seen: dict[str, list[tuple[float, int, int]]] = {name: [] for name in programs}

    def look(self) -> None:
        """Note how things are now."""
        for name, process in self._programs.items():
            with contextlib.suppress(psutil.Error):
                seen = (process.memory_info().rss / 2**20, process.num_fds(), process.num_threads())
                self.seen[name].append(seen)

    def lines(self) -> Iterator[str]:
        """Yield for each program what it had after the first quarter, in the middle, and in the last one."""
        for name, seen in self.seen.items():
            n = len(seen)
            parts = [seen[n // 4 : n // 2], seen[n // 2 : 3 * n // 4], seen[3 * n // 4 :]]
            told = []
            for k, unit in enumerate(("MB", "descriptors", "threads")):
                medians = [statistics.median(row[k] for row in part) for part in parts if part]
                told.append(" → ".join(f"{value:.0f}" for value in medians) + f" {unit}")
            yield f"{name}: " + ", ".join(told)


@contextlib.contextmanager
def disk_of(name: str, root: Path, library: Path) -> Iterator[Path]:
    """Give the programs that are started meanwhile a disk with moods."""
    disk = root / f"{name}.disk"
    disk.write_text("")
    os.environ["LD_PRELOAD"], os.environ["HDS_BAD_DISK"] = str(library), str(disk)
    try:
        yield disk
    finally:
        del os.environ["LD_PRELOAD"], os.environ["HDS_BAD_DISK"]


def started(root: Path, programs: Programs, database: str, library: Path) -> Year:
    """Start everything."""
    site = Site(root)
    versions = [publish_policy(root / "trainer", seed) for seed in (4, 3, 2, 1)]
    for name, rights in (("reader", ["read"]), ("admin", ["read", "log", "act", "admin"])):
        site.client(name, *rights)
    (root / "guess.token").write_text("x" * 43)
    (root / "ca-now.pem").write_bytes((root / "certs" / "ca.pem").read_bytes())
    metrics, disks, secured = free_port(), {}, site.with_tokens()
    with disk_of("trainer", root, library) as disks["trainer"]:
        trainer, trainer_at = programs.trainer("0", *secured, *(["--database", database] if database else []))
    lines = {"controller to trainer": Line(trainer_at)}
    with disk_of("controller", root, library) as disks["controller"]:
        words = [*secured, *_words_of(site, "reader")]
        controller, controller_at = programs.controller(
            lines["controller to trainer"].address, *words, metrics_port=metrics
        )
    lines |= {"rigs to controller": Line(controller_at), "rigs to trainer": Line(trainer_at)}
    rigs = []
    for number in range(RIGS):
        name = f"rig-{number}"
        site.client(name, "act", "log", "read")
        os.environ["HDS_BEAT"] = str(root / f"{name}.beat")
        with disk_of(name, root, library) as disks[name]:
            program = programs.start(
                "real_env", "run", "--plant", PLANT, "--rig", name, "--collect", "1000000", "--real-time",
                "--episode-seconds", "10", "--excitation", "0", "--fallback", "zero", "--max-misses",
                "1000000000", "--events", "--spool", str(root / f"{name}.sqlite"),
                "--controller", lines["rigs to controller"].address,
                "--trainer", lines["rigs to trainer"].address, *_words_of(site, name),
            )  # fmt: skip
        ready = next(event for event in program.events(START_S) if event["event"] == "ready")
        rigs.append(
            Rig(name, program, ready["session"], root / f"{name}.beat", root / f"{name}.sqlite", disks[name])
        )
    running = {"trainer": trainer, "controller": controller} | {rig.name: rig.program for rig in rigs}
    return Year(
        site, versions, trainer_at, controller_at, metrics, running, disks, lines, rigs,
        None if database else root / "trainer" / "hds.sqlite",
    )  # fmt: skip


def _words_of(site: Site, name: str) -> list[str]:
    """Return the words that give a program the authority and its token."""
    return site.client(name).arguments()


class Answers:
    """Whether everybody is served again after a moment."""

    def __init__(self, year: Year) -> None:
        self._year = year
        self._stub: v1.ExperienceServiceStub | None = None

    def stored(self, rig: Rig) -> int:
        """Return how much of a rig's session the trainer has; -1 while it does not say."""
        if self._stub is None:
            self._stub = v1.ExperienceServiceStub(self._year.channel("trainer"))
        try:
            request = v1.GetWatermarkRequest(session=rig.session)
            return self._stub.GetWatermark(request, timeout=2.0).next_sequence
        except grpc.RpcError:
            self._stub = None
            return -1

    def waits(self) -> tuple[float, float]:
        """Return how long it takes from now until policies push every rig, and until all store on [s].

        While this process itself stood still, with the whole machine perhaps, no time counts.
        """
        began, year = time.monotonic(), self._year
        looked = began
        before: dict[str, int] = {}
        pushed = taken = 0.0
        while not (pushed and taken) and time.monotonic() < began + PATIENCE_S:
            time.sleep(0.02)
            now = time.monotonic()
            if now - looked > STOOD_STILL_S:
                self._year.notes.append(f"the machine stood still for {now - looked:.0f} s")
                began += now - looked
            looked = now
            if not pushed and all(rig.answered_since(began) for rig in year.rigs):
                pushed = now - began
            if not taken:
                for rig in year.rigs:
                    if (count := self.stored(rig)) >= 0:
                        before.setdefault(rig.name, count)
                        if count > before[rig.name]:
                            before[rig.name] = -1
                    looked = time.monotonic()
                if len(before) == len(year.rigs) and all(count < 0 for count in before.values()):
                    taken = now - began
        return pushed or float("inf"), taken or float("inf")


def main() -> None:
    """Run, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--only", nargs="*", default=(), help="faults whose names hold one of these words")
    parser.add_argument("--keep", action="store_true", help="leave the logs")
    given = parser.parse_args()
    os.environ.setdefault("NPROC", "1")
    compilation_cache.enable()
    scratch = tempfile.mkdtemp(prefix="hds-unattended-")
    os.chdir(scratch)  # a trainer takes files of tasks from beneath where it was started
    programs = Programs(Path(scratch))
    try:
        library = built_library(Path(scratch))
        with contextlib.ExitStack() as at_end:
            database, ended = _database(given.database, at_end)
            year = started(Path(scratch), programs, database, library)
            year.end_connections = ended
            at_end.callback(lambda: [line.close() for line in year.lines.values()])
            at_end.callback(programs.close)
            carry_out(year, given, database)
    finally:
        programs.close()
        print(f"logs: {scratch}/logs" if given.keep else "", flush=True)
        if not given.keep:
            shutil.rmtree(scratch, ignore_errors=True)


def _database(kind: str, at_end: contextlib.ExitStack):
    if kind == "sqlite":
        return "", lambda: None
    from tests.support.postgres import PostgreSQL

    server = PostgreSQL()
    at_end.callback(server.close)
    return server.new_database(), server.end_connections


def carry_out(year: Year, given: argparse.Namespace, database: str) -> None:
    """Let the faults happen one after the other, and print what they did."""
    chance = random.Random(given.seed)
    names = [n for n in FAULTS if not given.only or any(word in n for word in given.only)]
    weights = [WEIGHTS[name] for name in names]
    answers, meter = Answers(year), Meter(year.programs)
    waits: dict[str, list[tuple[float, float]]] = collections.defaultdict(list)
    if max(answers.waits()) > PATIENCE_S:
        raise RuntimeError("nothing runs, even without faults")
    began, looked = time.monotonic(), 0.0
    for number in range(given.faults):
        time.sleep(max(0.0, began + 60.0 * given.minutes * number / given.faults - time.monotonic()))
        name = chance.choices(names, weights)[0]
        lasts = chance.uniform(0.1, 1.0)
        seed = chance.random()
        try:
            with FAULTS[name](year, random.Random(seed)):
                time.sleep(lasts)
        except (OSError, grpc.RpcError) as error:
            year.notes.append(f"fault {number} ({name}) could not be made: {error!r}"[:300])
        waits[name].append(answers.waits())
        pushed, taken = waits[name][-1]
        if max(pushed, taken) > BAR_S:
            print(
                f"  fault {number}, {name}: driven again after {pushed:.1f} s, stored {taken:.1f} s",
                flush=True,
            )
        for program in year.programs.values():
            program.check()
        if time.monotonic() > looked + 10.0:
            meter.look()
            looked = time.monotonic()
    minutes = (time.monotonic() - began) / 60.0
    print(f"{given.faults} faults in {minutes:.1f} minutes, seed {given.seed}; no process ended")
    _print_waits(waits)
    for line in [*meter.lines(), *(f"NOTE: {note}" for note in year.notes)]:
        print(line)
    _print_end(year, database)


def _print_waits(waits: dict[str, list[tuple[float, float]]]) -> None:
    print(f"{'fault':42} {'count':>5}  driven again [s]   stored again [s]  above {BAR_S:g} s")
    for name, seen in sorted(waits.items()):
        pushed, taken = ([one[k] for one in seen] for k in (0, 1))
        above = sum(max(one) > BAR_S for one in seen)
        print(
            f"{name:42} {len(seen):5}  {statistics.median(pushed):5.2f} … {max(pushed):5.2f}    "
            f"{statistics.median(taken):5.2f} … {max(taken):5.2f}   {above}"
        )
    longest = [max(one[k] for seen in waits.values() for one in seen) for k in (0, 1)]
    print(f"all: driven again after at most {longest[0]:.2f} s, stored again after {longest[1]:.2f} s")


def _print_end(year: Year, database: str) -> None:
    """Check that the label is followed, and that everything was stored once.

    It is moved first: what was rolled back is not served again until the label has pointed elsewhere.
    """
    with year.channel("trainer") as to, year.channel("controller") as at:
        registry, describe = v1.RegistryServiceStub(to), v1.PolicyServiceStub(at).Describe
        now = wanted = describe(v1.DescribeRequest()).policy.version
        for wanted in [version for version in year.versions if version != now][:2]:
            registry.SetLabel(v1.SetLabelRequest(label="stable", version=wanted, force=True))
            until = time.monotonic() + PATIENCE_S
            while describe(v1.DescribeRequest()).policy.version != wanted and time.monotonic() < until:
                time.sleep(0.1)
        followed = describe(v1.DescribeRequest()).policy.version == wanted
    print(f"the label is followed in the end: {followed}")
    for rig in year.rigs:
        rig.program.process.send_signal(signal.SIGTERM)
        rig.program.process.wait(PATIENCE_S)
    found = stored(database or f"sqlite:///{year.database}")
    for rig in year.rigs:
        sequences = found[rig.session]
        print(f"{rig.name}: {len(sequences)} transitions stored, each once and in order: "
              f"{sequences == list(range(len(sequences)))}")  # fmt: skip


if __name__ == "__main__":
    main()
