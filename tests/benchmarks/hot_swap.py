"""Does a change of policy cost a tick? Real time, while the trainer trains on the same machine.

    python -m tests.benchmarks.hot_swap [--episodes 5]

real_env drives the plant at wall-clock pace, the trainer trains at full load, and the label moves
between two policies every two seconds. Prints answers that missed their deadline, ticks that
overran, the slowest answer, and how often the version changed between two ticks.
"""

import argparse
import itertools
import tempfile
import threading
from pathlib import Path

from protos.hds import v1
from tests.support.programs import Programs, ready
from tests.support.published import publish_policy
from trainer import compilation_cache
from trainer.client import TrainerClient

PERIOD_S = 2.0


def keep_moving(trainer: str, versions: list[str], stop: threading.Event) -> None:
    """Point the label to one version after the other until `stop`."""
    client = TrainerClient(trainer)
    for version in itertools.cycle(versions):
        if stop.wait(PERIOD_S):
            return
        client.call(client.registry.SetLabel, v1.SetLabelRequest(label="stable", version=version))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=5)
    episodes = parser.parse_args().episodes
    compilation_cache.enable()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        versions = [publish_policy(root / "trainer", seed=seed) for seed in (1, 2)]
        programs = Programs(root)
        try:
            measure(programs, versions, episodes)
        finally:
            programs.close()


def measure(programs: Programs, versions: list[str], episodes: int) -> None:
    """Drive, train and swap at the same time, then print what happened to the ticks."""
    _, trainer = programs.trainer()
    _, controller = programs.controller(trainer)
    ready(trainer)
    ready(controller)
    servers = ["--trainer", trainer, "--controller", controller]
    spool = ["--spool", str(programs.root / "spool.sqlite")]
    plant = programs.start("real_env", "run", "--phases", "-", "--real-time", "--events", *servers, *spool)
    events = plant.events(120.0)
    next(event for event in events if event["event"] == "ready")
    client = TrainerClient(trainer)
    job = client.start_training(v1.TrainingOptions(task="cartpole_swingup", epochs=100_000))
    for response in client.training.WatchJob(v1.WatchJobRequest(id=job.id)):
        if response.job.phase == "training in simulation":
            break
    stop = threading.Event()
    mover = threading.Thread(target=keep_moving, args=(trainer, versions, stop))
    mover.start()
    plant.tell(f"evaluate {episodes} episodes")
    report = next(event for event in events if event["event"] == "phase")
    stop.set()
    mover.join()
    rows = [
        row
        for episode in client.episodes(report["session"], v1.PURPOSE_EVALUATE)
        for row in client.transitions(report["session"], episode.episode)
    ]
    changes = sum(a.policy_version != b.policy_version for a, b in itertools.pairwise(rows))
    print(
        f"{report['steps']} ticks of 40 ms while training: {report['misses']} answers missed "
        f"their deadline of 32 ms, {report['overruns']} ticks overran, slowest answer "
        f"{report['answers_ms']['worst']:.1f} ms, {changes} changes of policy between two ticks"
    )


if __name__ == "__main__":
    main()
