"""How many trajectories should come from the learned dynamics? Success on the plant against the share.

    python -m tests.benchmarks.learned_fraction [--seeds 0 1 2] [--fractions 0.5 0.75 0.9 1.0]

Everything but the share is the same: data, fit, seed, budget. Two rounds of 5 s of data each.
"""

import argparse

import jax

from real_env.plants.brax_friction import drawn_constants
from tests.benchmarks.loop_in_process import on_plant, record, train
from trainer import compilation_cache
from trainer.dynamics.ladder import held_out_error, rung
from trainer.jobs.learner import learner
from trainer.tasks import load_task

SECONDS = 5.0


def main() -> None:
    """Print success and cost on the plant per seed, share and round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.5, 0.75, 0.9, 1.0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rung", default="friction")
    options = parser.parse_args()
    compilation_cache.enable()
    parts = learner(load_task("cartpole_swingup"), rung(options.rung))
    for seed in options.seeds:
        friction = drawn_constants(seed)
        simulated = train(parts, None, 0.0, seed, None)
        first = record(parts, friction, simulated, SECONDS, seed * 100)
        print(f"seed {seed}: simulator only {on_plant(parts, friction, simulated)}", flush=True)
        for fraction in options.fractions:
            motions, best = [first], simulated
            for number in range(1, options.rounds + 1):
                fit = parts.rung.fit(parts.task, motions, jax.random.key(seed), lambda share: None)
                best = train(parts, fit, fraction, seed, best)
                found = on_plant(parts, friction, best)
                print(
                    f"seed {seed} fraction {fraction:.2f} round {number}: success {found.success:.2f} cost "
                    f"{found.cost:.0f}; in its model {best.success:.2f}; fit error {held_out_error(fit):.3f}",
                    flush=True,
                )
                motions = [*motions, record(parts, friction, best, SECONDS, seed * 100 + number)]


if __name__ == "__main__":
    main()
