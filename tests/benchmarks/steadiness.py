"""Does success wander? The current policy, not the best, over the last third of a training.

    python -m tests.benchmarks.steadiness [--quick] [--task cartpole_swingup] [--seeds 0 … 9]

Trains in simulation with the default settings, whose step sizes do not fall below a tenth of the first, and
judges the current policy (the running average that a job would publish) and the raw one that the regression
moves, from 1000 start states at every third epoch of the last third.
"""

import argparse

import jax
import numpy as np

from trainer import compilation_cache
from trainer.dynamics.catalogue import load_dynamics
from trainer.jobs.hyper_parameters import SIMULATION_EPOCHS
from trainer.jobs.learner import learner, stacked
from trainer.learning.configuration import configuration
from trainer.learning.hds import make_hds, mixture
from trainer.tasks import load_task

STARTS = 1000
EVERY = 3


def main() -> None:
    """Print the success at each evaluation, per seed, and the worst of all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="cartpole_swingup")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--epochs", type=int, default=SIMULATION_EPOCHS)
    parser.add_argument("--quick", action="store_true", help="two seeds")
    options = parser.parse_args()
    seeds = options.seeds[:2] if options.quick else options.seeds
    compilation_cache.enable()
    parts, epochs = learner(load_task(options.task), load_dynamics("")), options.epochs
    algorithm = make_hds(parts.problem(configuration({"training": {"epochs": epochs}})))
    nothing = parts.dynamics.nominal_parameters(parts.task)
    theta, judged = (mixture(nothing, stacked(nothing), 0.0, n) for n in (algorithm.batch, STARTS))
    worst = {"current": 1.0, "raw": 1.0}
    for seed in seeds:
        key, key_init = jax.random.split(jax.random.key(seed))
        state, told = algorithm.init(key_init), {"current": [], "raw": []}
        steepest, faults, solved = 0.0, 0, 0
        for epoch in range(epochs):
            key, key_step = jax.random.split(key)
            state, info = algorithm.step(state, theta, epoch, key_step)
            steepest = max(steepest, float(info.scalars["gradient_p99"]))
            faults += int(info.non_finite.steps) if info.non_finite else 0
            if epoch < 2 * epochs // 3 or epoch % EVERY:
                continue
            for name, policy in (("current", state.average), ("raw", state.policy)):
                success = float(np.mean(parts.evaluate(policy, judged, jax.random.key(7)).success))
                told[name].append(success)
                worst[name] = min(worst[name], success)
        solved = sum(success >= 0.95 for success in told["current"])
        print(
            f"seed {seed}: current {' '.join(f'{v:.3f}' for v in told['current'])} ({solved} of "
            f"{len(told['current'])} at 0.95 or more); raw at least {min(told['raw']):.3f}; gradient norm "
            f"p99 at most {steepest:.0f}; {faults} steps not finite",
            flush=True,
        )
    print(f"worst of all: current {worst['current']:.3f}, raw {worst['raw']:.3f}")


if __name__ == "__main__":
    main()
