"""Actions of a policy that reach a plant after their deadline, by the wall clock, beside a training.

A real trainer trains without a pause on the same machine; a real controller serves; a rig notes on the
system's clock when it was commanded. Each command of a policy is compared with its tick's deadline.

    python -m tests.benchmarks.deadlines --minutes 10
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

from protos.hds import v1
from tests.support.programs import Programs, ready
from tests.support.published import TASK, publish_policy
from trainer.client import TrainerClient

PLANT = f"{Path(__file__).parent.parent / 'plants' / 'timed.py'}:Timed"
DEADLINE_SHARE = 0.8


def main() -> None:
    """Drive, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long to drive")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        os.environ |= {"HDS_TEST_LOG": str(root / "called.txt"), "HDS_STATE_DIR": str(root / "state")}
        programs = Programs(root)
        try:
            late, acted, rows, report = drive(programs, options.minutes)
        finally:
            programs.close()
    print(
        f"{len(rows)} ticks, {acted} actions of a policy, {late} applied after their deadline; "
        f"{report['misses']} answers missed, {report['overruns']} overruns, late were: {report['late']}; "
        f"answers after {report['answers_ms']} ms, ticks late by {report['lateness_ms']} ms"
    )


def drive(programs: Programs, minutes: float) -> tuple[int, int, list[v1.Transition], dict]:
    """Return how many actions were late, how many there were, the transitions, and the run's report."""
    publish_policy(programs.root / "trainer", seed=1)
    _, trainer = programs.trainer()
    _, controller = programs.controller(trainer)
    ready(controller)
    client = TrainerClient(trainer)
    client.start_training(v1.TrainingOptions(task=TASK.name, epochs=1_000_000, gate_off=True))
    servers = ["--trainer", trainer, "--controller", controller, "--max-misses", "1000000"]
    words = ["run", "--plant", PLANT, "--collect", f"{60.0 * minutes:g}", "--events", *servers]
    driving = programs.start("real_env", *words)
    events = driving.events(60.0 * minutes + 120.0)
    start = next(event for event in events if event["event"] == "ready")
    report = next(event for event in events if event["event"] in {"phase", "stopped"})
    assert report["event"] == "phase", report
    driving.process.wait(60.0)
    called = np.loadtxt(programs.root / "called.txt", dtype=np.int64)
    rows = [
        row
        for episode in client.episodes(start["session"], v1.PURPOSE_COLLECT)
        for row in client.transitions(start["session"], episode.episode)
    ]
    assert len(called) >= len(rows), "every transition is a command; zero at the end is none"
    due_ns = [start["start_ns"] + row.t_ns + DEADLINE_SHARE * 1e9 * TASK.control_dt for row in rows]
    of_policy = [row.action_source == v1.ACTION_SOURCE_POLICY for row in rows]
    late = sum(p and c > due for p, c, due in zip(of_policy, called, due_ns, strict=False))
    return late, sum(of_policy), rows, report


if __name__ == "__main__":
    main()
