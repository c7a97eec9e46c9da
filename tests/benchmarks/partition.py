"""Ten minutes without the trainer, with disks that fill up on either side: what is lost, and who notices.

    python -m tests.benchmarks.partition                      both databases at once, 14 minutes
    python -m tests.benchmarks.partition --minutes 0.5        a try

For each database a trainer and a rig at 100 Hz, both driven by one controller. The lines from the rigs to
their trainers pass nothing on for `--minutes`; in the middle third of that the rigs' disks are full, and
after it the trainer's is for a tenth of it. Told are the 99th percentile of the time from a tick to its
command before, meanwhile and afterwards, how many ticks no policy commanded, how long it took until
everything was stored, and whether it was stored once and in order.
"""

import argparse
import contextlib
import itertools
import os
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from protos.security.client_security import ClientSecurity
from real_env.spool import Spool
from real_env.uploader import ExperienceUploader
from tests.benchmarks.unattended import disk_of
from tests.plants.noting import DT_S, notes_of
from tests.support.bad_disk import built_library
from tests.support.postgres import PostgreSQL
from tests.support.programs import START_S, Programs
from tests.support.published import publish_policy
from tests.support.stored import stored
from tests.support.wire import Line
from trainer import compilation_cache
from trainer.client import TrainerClient
from trainer.processes import Program

PLANT = f"{Path(__file__).parents[1] / 'plants' / 'noting.py'}:Noting"
RIGS, PATIENCE_S, WARM_S = 1, 900.0, 5.0
TASK = "fast.py:TASK"
FAST = f"""from dataclasses import replace

from trainer.tasks.cartpole_swingup import TASK as AT_25_HZ

TASK = replace(AT_25_HZ, control_dt={DT_S})
"""


@dataclass
class Place:
    """One trainer with its database, a controller, and what drives."""

    name: str
    database: str
    trainer: str
    line: Line
    disk: Path
    rigs: list[Program]
    sessions: list[str]
    notes: list[Path]
    disks: list[Path]
    spools: list[Path]

    def p99(self, since_ns: int, until_ns: int) -> tuple[float, int, int]:
        """Return the 99th percentile from tick to command [ms], ticks, and those that no policy commanded."""
        late, ticks, missed = [], 0, 0
        for path in self.notes:
            notes = notes_of(path)
            at = notes["at_ns"].astype(np.float64)
            phase = at - np.arange(len(at)) * DT_S * 1e9
            within = (notes["at_ns"] >= since_ns) & (notes["at_ns"] < until_ns)
            late.append((phase[within] - phase.min()) * 1e-6)
            ticks += int(within.sum())
            missed += int((notes["pushed"][within] == 0).sum())
        return float(np.percentile(np.concatenate(late), 99)), ticks, missed


def started(name: str, database: str, programs: Programs, library: Path) -> Place:
    """Start a trainer, and the line to it."""
    root = programs.root
    with disk_of("trainer", root, library) as disk:
        _, trainer = programs.trainer("0", *(["--database", database] if database else []))
    database = database or f"sqlite:///{root / 'trainer' / 'hds.sqlite'}"
    return Place(name, database, trainer, Line(trainer), disk, [], [], [], [], [])


def drive(place: Place, programs: Programs, controller: str, library: Path) -> None:
    """Start the rigs of a place."""
    root, name = programs.root, place.name
    for number in range(RIGS):
        rig = f"{name}-{number}"
        place.spools.append(root / f"{rig}.sqlite")
        place.notes.append(root / f"{rig}.notes")
        os.environ["HDS_NOTES"] = str(place.notes[-1])
        with disk_of(rig, root, library) as rigs_disk:
            program = programs.start(
                "real_env", "run", "--plant", PLANT, "--task", TASK, "--rig", rig, "--collect", "100000",
                "--real-time", "--episode-seconds", "80000", "--excitation", "0", "--fallback", "zero",
                "--max-misses", "1000000000", "--events", "--spool", str(place.spools[-1]),
                "--controller", controller, "--trainer", place.line.address,
            )  # fmt: skip
        place.disks.append(rigs_disk)
        place.rigs.append(program)
        place.sessions.append(
            next(event for event in program.events(START_S) if event["event"] == "ready")["session"]
        )


def caught_up(place: Place) -> float:
    """Wait until the trainer has whatever the rigs had recorded when this was called; return how long [s]."""
    began, client = time.monotonic(), TrainerClient(place.trainer)
    wanted = [len(notes_of(path)) - 1 for path in place.notes]
    while any(client.watermark(s) < n for s, n in zip(place.sessions, wanted, strict=True)):
        for program in place.rigs:
            program.check()
        if time.monotonic() > began + PATIENCE_S:
            raise RuntimeError(f"{place.name}: the trainer still lacks transitions")
        time.sleep(0.1)
    return time.monotonic() - began


def carry_out(places: list[Place], minutes: float) -> None:
    """Let it happen at all places at once, and print what came of it."""
    time.sleep(WARM_S)
    marks = [("before", time.monotonic_ns())]

    def begin(name: str) -> None:
        marks.append((name, time.monotonic_ns()))

    time.sleep(6.0 * minutes)
    begin("partition")
    for place in places:
        place.line.mood = "held"
    time.sleep(20.0 * minutes)
    begin("and the rigs' disks full")
    for disk in (disk for place in places for disk in place.disks):
        disk.write_text("full")
    time.sleep(20.0 * minutes)
    for disk in (disk for place in places for disk in place.disks):
        disk.write_text("")
    begin("partition, again with room")
    time.sleep(20.0 * minutes)
    begin("connected, and the trainer's disk full")
    for place in places:
        place.disk.write_text("full")
        place.line.mood = "open"
        place.line.cut()
    time.sleep(6.0 * minutes)
    for place in places:
        place.disk.write_text("")
    begin("catching up")
    took = {place.name: caught_up(place) for place in places}
    begin("afterwards")
    time.sleep(6.0 * minutes)
    begin("")
    for place in places:
        _print_times(place, marks)
        print(f"  everything was stored {took[place.name]:.1f} s after there was room again")
        for program in place.rigs:
            program.process.send_signal(signal.SIGTERM)
        for program in place.rigs:
            program.process.wait(PATIENCE_S)
        _send_the_rest(place)
        _print_stored(place)


def _send_the_rest(place: Place) -> None:
    """Send what was recorded within the last moment, as the next run would."""
    for path in place.spools:
        spool = Spool(path)
        uploader = ExperienceUploader(place.trainer, ClientSecurity(), spool, "none", print)
        uploader.deliver(PATIENCE_S)
        uploader.close()
        spool.close()


def _print_times(place: Place, marks: list[tuple[str, int]]) -> None:
    quiet, _, _ = place.p99(marks[0][1], marks[1][1])
    print(f"{place.name}: from tick to command")
    for (name, since), (_, until) in itertools.pairwise(marks):
        p99, ticks, missed = place.p99(since, until)
        print(f"  {name:40} p99 {p99:6.2f} ms ({p99 / quiet:.2f} times that before), "
              f"{ticks} ticks, {missed} without a policy")  # fmt: skip


def _print_stored(place: Place) -> None:
    found = stored(place.database)
    for session, path in zip(place.sessions, place.notes, strict=True):
        driven, sequences = len(notes_of(path)) - 1, found[session]  # the last command let the plant go
        whole = sequences == list(range(driven))
        print(f"  {driven} steps driven, {len(sequences)} stored; each once and in order: {whole}")


def main() -> None:
    """Start everything, let it happen, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    given = parser.parse_args()
    os.environ.setdefault("NPROC", "1")
    compilation_cache.enable()
    with tempfile.TemporaryDirectory(prefix="hds-partition-") as scratch, contextlib.ExitStack() as at_end:
        root = Path(scratch)
        root.chmod(0o755)
        os.chdir(root)  # a trainer takes files of tasks from beneath where it was started
        at_end.callback(os.chdir, "/")
        (root / "fast.py").write_text(FAST)
        library = built_library(root)
        server = PostgreSQL()
        at_end.callback(server.close)
        places, controller = list[Place](), ""
        for name, database in (("SQLite", ""), ("PostgreSQL", server.new_database())):
            programs = Programs(root / name)
            programs.root.mkdir()
            at_end.callback(programs.close)
            if not places:
                publish_policy(programs.root / "trainer", 1, task=TASK, control_dt=DT_S)
            places.append(started(name, database, programs, library))
            at_end.callback(places[-1].line.close)
            if not controller:
                _, controller = programs.controller(places[0].trainer)
            drive(places[-1], programs, controller, library)
        carry_out(places, given.minutes)


if __name__ == "__main__":
    main()
