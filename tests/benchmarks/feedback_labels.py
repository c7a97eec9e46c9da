"""Do labels with feedback gains beat open-loop labels when the plant is noisy?

    python -m tests.benchmarks.feedback_labels [--quick] [--seeds 0 1 2 3 4] [--epochs 40]

Trains on `cartpole_swingup` twice per seed, everything the same but the labels: along the improved
trajectories (open loop), or also around them by the gains of the Gauss-Newton step (feedback). Training
is short, so that policies are judged while they still learn. The plant is the same model with noise on the
observed state (0.01 m, 0.02 rad, 0.1 m/s, 0.2 rad/s) and on the action (0.2), 512 episodes.
"""

import argparse
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from trainer import compilation_cache
from trainer.dynamics.ladder import rung
from trainer.jobs.learner import Learner, learner, stacked
from trainer.learning.evaluation import score
from trainer.learning.hds import HDSConfig, mixture, schedule
from trainer.learning.labels import Teach, along_trajectory, around_trajectory
from trainer.learning.trajectory import rollout
from trainer.tasks import load_task

EPISODES = 512
SENSOR_NOISE = jnp.array([0.01, 0.02, 0.1, 0.2])
ACTION_NOISE = 0.2
SPREAD = 0.03
"""Deviation of the states that are taught beside a trajectory, in units of the task's feature scales."""


def on_noisy_plant(parts: Learner, policy: object) -> tuple[float, float]:
    """Return success and mean cost over 512 episodes of the policy with sensor and action noise."""
    task, model = parts.task, parts.rung.model(parts.task)
    nothing = parts.rung.nothing(task)

    def episode(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        key_start, key_sensor, key_action = jax.random.split(key, 3)
        sensor = SENSOR_NOISE * jax.random.normal(key_sensor, (task.episode_steps, 4))
        action = ACTION_NOISE * jax.random.normal(key_action, (task.episode_steps, 1))
        law = lambda t, x: parts.policy.apply(policy, x + sensor[t]) + action[t]  # noqa: E731
        trajectory = rollout(model, nothing, law, task.reset(key_start), task.episode_steps)
        return score(task, trajectory.x, trajectory.u)

    success, cost = jax.jit(jax.vmap(episode))(jax.random.split(jax.random.key(5), EPISODES))
    return float(np.mean(success)), float(np.mean(cost))


def main() -> None:
    """Print success and cost per seed and kind of labels, and the mean over seeds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--quick", action="store_true", help="two seeds")
    options = parser.parse_args()
    seeds = options.seeds[:2] if options.quick else options.seeds
    compilation_cache.enable()
    parts, config = learner(load_task("cartpole_swingup"), rung("")), HDSConfig(epochs=options.epochs)
    nothing = parts.rung.nothing(parts.task)
    theta = mixture(nothing, stacked(nothing), 0.0, parts.pods.config.batch)
    spread = tuple(SPREAD * scale for scale in parts.task.features.scale)
    kinds: dict[str, Teach] = {"open loop": along_trajectory, "feedback": around_trajectory(spread)}
    for kind, teach in kinds.items():
        pods, found = dataclasses.replace(parts.pods, teach=teach), []
        step = jax.jit(pods.step)
        for seed in seeds:
            key, key_init = jax.random.split(jax.random.key(seed))
            state = pods.init(key_init)
            for epoch in range(config.epochs):
                key, key_step = jax.random.split(key)
                state, _ = step(state, theta, schedule(config, epoch), key_step)
            found.append(on_noisy_plant(parts, state.average))
            print(f"{kind}, seed {seed}: success {found[-1][0]:.3f}, cost {found[-1][1]:.1f}", flush=True)
        success, cost = np.mean(found, axis=0)
        print(f"{kind}: success {success:.3f}, cost {cost:.1f} in the mean of {len(found)} seeds")


if __name__ == "__main__":
    main()
