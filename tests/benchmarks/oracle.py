"""Is the task possible? Train on a smooth version of the plant's true friction, and try the plant.

python -m tests.benchmarks.oracle [--seeds 0 1 2]
"""

import argparse

from real_env.plants.brax_friction import drawn_constants
from tests.benchmarks.loop_in_process import on_plant, oracle, train
from trainer import compilation_cache


def main() -> None:
    """Print simulation-only and oracle success per seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    seeds = parser.parse_args().seeds
    compilation_cache.enable()
    from trainer.jobs.recipe import learner

    parts = learner("cartpole_swingup", "friction")
    for seed in seeds:
        friction = drawn_constants(seed)
        simulated = train(parts, None, 0.0, seed, None)
        informed = train(parts, oracle(friction), 1.0, seed, simulated)
        before, after = on_plant(parts, friction, simulated), on_plant(parts, friction, informed)
        print(
            f"seed {seed}: simulator only {before.success:.3f} (cost {before.cost:.0f}), "
            f"true friction {after.success:.3f} (cost {after.cost:.0f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
