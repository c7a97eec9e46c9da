"""Is the cart's friction identified, and do the intervals hold the truth?

    python -m tests.benchmarks.identification [--quick] [--seconds 10] [--seeds 0 … 9]

Trains in simulation, records data on each redrawn plant with that policy, and fits the default dynamics
model.
"""

import argparse

import jax
import numpy as np

from tests.benchmarks.gap import record
from tests.benchmarks.loop_in_process import train
from tests.benchmarks.study_plants import study_plant
from trainer import compilation_cache
from trainer.dynamics.catalogue import load_dynamics
from trainer.jobs.learner import learner
from trainer.tasks import load_task

NAMES = ("viscous friction of cart", "dry friction of cart")


def main() -> None:
    """Print estimate, interval and truth per plant, then the worst error and the coverage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--dynamics-model", default="friction")
    parser.add_argument("--quick", action="store_true", help="two plants")
    options = parser.parse_args()
    compilation_cache.enable()
    task, chosen = load_task("cartpole_swingup"), load_dynamics(options.dynamics_model)
    parts = learner(task, load_dynamics(""))
    off: dict[str, list[float]] = {name: [] for name in NAMES}
    held = dict.fromkeys(NAMES, 0)
    for seed in options.seeds[:2] if options.quick else options.seeds:
        plant = study_plant("default", seed)
        simulated = train(parts, None, 0.0, seed, None)
        motions = record(plant, parts, simulated, options.seconds, 1000 * seed + 7)
        fit = chosen.fit(task, motions, jax.random.key(seed), lambda share: None)
        truths = (float(plant.truth.friction.viscous[0]), float(plant.truth.friction.dry[0]))
        for name, truth in zip(NAMES, truths, strict=True):
            found = fit.estimates[name]
            inside = found.low <= truth <= found.high
            off[name].append(found.value / truth - 1.0)
            held[name] += inside
            print(
                f"plant {seed}: {name} {found.value:.2f} [{found.low:.2f}, {found.high:.2f}], truth "
                f"{truth:.2f} ({off[name][-1]:+.0%}, {'inside' if inside else 'outside'})",
                flush=True,
            )
    for name in NAMES:
        print(f"{name}: at most {np.max(np.abs(off[name])):.0%} off, held {held[name]} of {len(off[name])}")


if __name__ == "__main__":
    main()
