"""What `auto` costs: from a refit's request to its policy, beside naming the dynamics that it chose, warm.

Both jobs run in this process, one after the other, in turn; the first of each, which compiles, is not
counted.

    python -m tests.benchmarks.auto_cost --pairs 3
"""

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from tests.benchmarks.believed import SetUp, job, record
from tests.benchmarks.own_plants import SOUND
from trainer import compilation_cache
from trainer.checkpoint.reader import read_policy
from trainer.store.database import sqlite_url


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3, help="how many of each are counted")
    options = parser.parse_args()
    compilation_cache.enable()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        checkpoints = root / "checkpoints"
        first = job(checkpoints, "", SetUp("first", 0, True), refit=False, parent="").version
        policy = read_policy(checkpoints / first, first)
        for plant in SOUND:
            database = sqlite_url(root / f"{SOUND.index(plant)}.sqlite")
            auto = SetUp(plant.name, 0, True, plant)
            record(database, auto, policy.parameters, policy.metadata.policy)
            chosen = _seconds(checkpoints, database, auto, first)[1]
            named = dataclasses.replace(auto, dynamics_model=chosen)
            _seconds(checkpoints, database, named, first)
            seconds = [
                [_seconds(checkpoints, database, setup, first)[0] for setup in (auto, named)]
                for _ in range(options.pairs)
            ]
            ratios = [a / b for a, b in seconds]
            medians = np.median(seconds, axis=0)
            print(
                f"{plant.name:22} auto chose {chosen}: {medians[0]:.1f} s, named {medians[1]:.1f} s, ratio "
                f"{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                flush=True,
            )


def _seconds(checkpoints: Path, database: str | sa.URL, setup: SetUp, parent: str) -> tuple[float, str]:
    """Return how long a refit took [s], and which dynamics it used."""
    began = time.monotonic()
    published = job(checkpoints, database, setup, refit=True, parent=parent)
    took = time.monotonic() - began
    metadata = read_policy(checkpoints / published.version, published.version).metadata
    return took, metadata.configuration["dynamics_model"]


if __name__ == "__main__":
    main()
