"""Is the task possible? Train on a smooth version of the plant's true friction, and try the plant.

    python -m tests.benchmarks.oracle [--seeds 0 1 2]

The plant's constants stand in a law that is smoothed over 0.03 m/s or rad/s, three times steeper than
the trainer's own, and integrated in three steps: with the trainer's own width the true constants are
not the ones that predict best, because what smoothing takes away near rest is missing.
"""

import argparse
from dataclasses import dataclass

import jax

from real_env.plants.brax_friction import drawn_constants
from tests.benchmarks.loop_in_process import on_plant, oracle, train
from trainer import compilation_cache
from trainer.dynamics.friction_rung import FrictionRung
from trainer.jobs.recipe import learner
from trainer.models.friction import Friction, friction_force
from trainer.tasks import load_task

WIDTH = 0.03


@dataclass(frozen=True)
class SteepFriction(FrictionRung):
    """The friction rung with a steeper smoothing."""

    name: str = "steep-friction"
    substeps: int = 3

    def force(self, theta: Friction, q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
        """Return the friction on the joints [d]."""
        del q, u
        return friction_force(theta, qd, WIDTH)


def main() -> None:
    """Print simulation-only and oracle success per seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    seeds = parser.parse_args().seeds
    compilation_cache.enable()
    task = load_task("cartpole_swingup")
    smooth, steep = learner(task, FrictionRung()), learner(task, SteepFriction())
    for seed in seeds:
        friction = drawn_constants(seed)
        simulated = train(smooth, None, 0.0, seed, None)
        informed = train(steep, oracle(friction), 1.0, seed, simulated)
        before, after = on_plant(smooth, friction, simulated), on_plant(steep, friction, informed)
        print(
            f"seed {seed}: simulator only {before.success:.3f} (cost {before.cost:.0f}), "
            f"true friction {after.success:.3f} (cost {after.cost:.0f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
