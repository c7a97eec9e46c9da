"""Is the task possible? Train on a smooth version of the plant's true friction, and try the plant.

    python -m tests.benchmarks.oracle [--seeds 0 1 2] [--training-seeds 0 1 2]

The plant's constants stand in a law that is smoothed over 0.03 m/s or rad/s, three times steeper than
the trainer's own, and integrated in three steps. A training seed changes the oracle's training only; the
success of one plant varies by some percent with it, so look at several.
"""

import argparse

from real_env.plants.brax_friction import drawn_constants
from tests.benchmarks.loop_in_process import on_plant, oracle, train
from trainer import compilation_cache
from trainer.dynamics.catalogue import load_dynamics
from trainer.dynamics.physics_dynamics import PhysicsDynamics
from trainer.jobs.learner import learner
from trainer.tasks import load_task

WIDTH = 0.03


STEEP = PhysicsDynamics("steep-friction", substeps=3, width=WIDTH)


def main() -> None:
    """Print simulation-only and oracle success per seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--training-seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    compilation_cache.enable()
    task = load_task("cartpole_swingup")
    smooth, steep = learner(task, load_dynamics("")), learner(task, STEEP)
    for seed in options.seeds:
        friction = drawn_constants(seed)
        simulated = train(smooth, None, 0.0, seed, None)
        before = on_plant(smooth, friction, simulated)
        print(f"seed {seed}: simulator only {before.success:.3f} (cost {before.cost:.0f})", flush=True)
        for training_seed in options.training_seeds:
            informed = train(steep, oracle(friction), 1.0, training_seed, simulated)
            after = on_plant(steep, friction, informed)
            print(
                f"seed {seed}, training seed {training_seed}: true friction {after.success:.3f} "
                f"(cost {after.cost:.0f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
