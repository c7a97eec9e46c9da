"""Do labels with feedback gains beat open-loop labels when the plant is noisy?

    python -m tests.benchmarks.feedback_labels [--quick] [--seeds 0 1 …] [--epochs 100]

Trains on `cartpole_swingup` per seed and kind of labels, all else the same: along the improved trajectories
(open loop); also around them, as far as the sensors err, by the gains of the Gauss-Newton step (feedback);
and there without the gains, to see what these are worth. The plant is the same model with noise on the
observed state (0.01 m, 0.02 rad, 0.1 m/s, 0.2 rad/s) and on the action (0.2), or 1.5 times as much; 512
episodes.
"""

import argparse
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trainer import compilation_cache
from trainer.dynamics.catalogue import load_dynamics
from trainer.jobs.hyper_parameters import SIMULATION_EPOCHS
from trainer.jobs.learner import Learner, learner, stacked
from trainer.learning.configuration import Configuration
from trainer.learning.evaluation import evaluate_episode
from trainer.learning.hds import make_hds, mixture, schedule
from trainer.learning.labels import MakeTargets, along_trajectory, around_trajectory
from trainer.learning.trajectory import rollout
from trainer.tasks import load_task

EPISODES = 512
LEVELS = (1.0, 1.5)
SENSOR_NOISE = jnp.array([0.01, 0.02, 0.1, 0.2])
ACTION_NOISE = 0.2
BOOTSTRAPS = 2000


class Found(NamedTuple):
    """Success and mean cost on the plant, per level of noise."""

    success: np.ndarray
    cost: np.ndarray


def noisy_plant(parts: Learner) -> Callable[[Any], Found]:
    """Return what judges a policy over 512 episodes with each level of sensor and action noise."""
    task, model, nothing = (
        parts.task,
        parts.dynamics.model(parts.task),
        parts.dynamics.nominal_parameters(parts.task),
    )

    def episode(policy: Any, level: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        key_start, key_sensor, key_action = jax.random.split(key, 3)
        sensor = level * SENSOR_NOISE * jax.random.normal(key_sensor, (task.episode_steps, 4))
        action = level * ACTION_NOISE * jax.random.normal(key_action, (task.episode_steps, 1))
        law = lambda t, x: parts.policy.apply(policy, x + sensor[t]) + action[t]  # noqa: E731
        trajectory = rollout(model, nothing, law, task.reset(key_start), task.episode_steps)
        return evaluate_episode(task, trajectory.x, trajectory.u)

    episodes = jax.jit(jax.vmap(jax.vmap(episode, (None, None, 0)), (None, 0, None)))
    keys = jax.random.split(jax.random.key(5), EPISODES)

    def judge(policy: Any) -> Found:
        success, cost = episodes(policy, jnp.asarray(LEVELS), keys)
        return Found(np.mean(success, axis=1), np.mean(cost, axis=1))

    return judge


def main() -> None:
    """Print success and cost per seed and kind of labels, their spread, and the difference in success."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(24)))
    parser.add_argument("--epochs", type=int, default=SIMULATION_EPOCHS)
    parser.add_argument("--quick", action="store_true", help="two seeds")
    options = parser.parse_args()
    seeds = options.seeds[:2] if options.quick else options.seeds
    compilation_cache.enable()
    parts, config = learner(load_task("cartpole_swingup"), load_dynamics("")), Configuration()
    algorithm = make_hds(parts.problem(config))
    nothing, judge = parts.dynamics.nominal_parameters(parts.task), noisy_plant(parts)
    theta = mixture(nothing, stacked(nothing), 0.0, algorithm.batch)
    around = around_trajectory(tuple(float(noise) for noise in SENSOR_NOISE))
    kinds: dict[str, MakeTargets] = {
        "open loop": along_trajectory,
        "without gains": lambda trajectory, K, key: around(trajectory, jnp.zeros_like(K), key),
        "feedback": around,
    }
    results: dict[str, Found] = {}
    for kind, make_targets in kinds.items():
        pods, found = dataclasses.replace(algorithm.pods, make_targets=make_targets), []
        init, step = jax.jit(pods.init), jax.jit(pods.step)
        for seed in seeds:
            key, key_init = jax.random.split(jax.random.key(seed))
            state = init(key_init)
            for epoch in range(options.epochs):
                key, key_step = jax.random.split(key)
                state, _ = step(state, theta, schedule(config.hds, epoch, options.epochs), key_step)
            found.append(judge(state.average))
            print(f"{kind}, seed {seed}: success {found[-1].success}, cost {found[-1].cost}", flush=True)
        results[kind] = Found(*(np.stack(part) for part in zip(*found, strict=True)))
    for at, level in enumerate(LEVELS):
        print(f"noise times {level:g}, {len(seeds)} seeds:")
        for kind, found in results.items():
            success, cost = found.success[:, at], found.cost[:, at]
            print(
                f"  {kind}: success {np.mean(success):.3f} (deviation {np.std(success):.3f}, worst "
                f"{np.min(success):.3f}), cost {np.mean(cost):.1f}"
            )
        for kind in ("open loop", "without gains"):
            gained = results["feedback"].success[:, at] - results[kind].success[:, at]
            draws = np.random.default_rng(0).choice(gained, (BOOTSTRAPS, len(gained))).mean(axis=1)
            low, high = np.percentile(draws, [2.5, 97.5])
            print(f"  feedback over {kind}: {np.mean(gained):+.3f}, 95 % interval {low:+.3f} to {high:+.3f}")


if __name__ == "__main__":
    main()
