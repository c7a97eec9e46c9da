"""PODS on Brax's own environments, each through `brax_task`: what a policy costs before and after learning.

    python -m tests.benchmarks.brax_environments [--quick] [--environments reacher] [--seeds 0 1 2]

`reacher` and `inverted_double_pendulum` have no contact, `hopper` stands on the floor by Brax's contact
solver. Start states are those of the environments; costs are sums of squares written here.
"""

import argparse
import time

import brax.envs
import jax
import jax.numpy as jnp
import numpy as np

from trainer import compilation_cache
from trainer.dynamics.physics_dynamics import PhysicsDynamics
from trainer.jobs.learner import learner, stacked
from trainer.learning.configuration import configuration, merged
from trainer.learning.hds import make_hds, mixture
from trainer.learning.training import train
from trainer.models.quiet_import import without_maintenance_notice
from trainer.tasks.brax_task import brax_task
from trainer.tasks.task import Task

EPISODES = 128
UPPER_ARM, FOREARM = 0.1, 0.11
STANDING = 1.25


def reacher() -> Task:
    """Bring the tip of a two-link arm to a target and hold it there. q = (two joints, target's place)."""

    def residual(x: jax.Array, u: jax.Array) -> jax.Array:
        shoulder, elbow = x[0], x[0] + x[1]
        along = UPPER_ARM * jnp.cos(shoulder) + FOREARM * jnp.cos(elbow)
        across = UPPER_ARM * jnp.sin(shoulder) + FOREARM * jnp.sin(elbow)
        return jnp.concatenate([10.0 * jnp.stack([along - x[2], across - x[3]]), 0.02 * x[4:6], 0.1 * u])

    return brax_task(brax.envs.get_environment("reacher", backend="generalized"), residual, episode_steps=100)


def inverted_double_pendulum() -> Task:
    """Balance two poles on a cart for 4 s; they are lost when the tip falls below 1 m of 1.2 m."""

    def residual(x: jax.Array, u: jax.Array) -> jax.Array:
        cart, lower, upper = x[0], x[1], x[1] + x[2]
        return jnp.concatenate([jnp.stack([0.3 * cart, 3.0 * lower, 3.0 * upper]), 0.1 * x[3:], 0.05 * u])

    env = brax.envs.get_environment("inverted_double_pendulum", backend="generalized")
    lost = lambda x: 0.6 * (jnp.cos(x[1]) + jnp.cos(x[1] + x[2])) <= 1.0  # noqa: E731
    return brax_task(env, residual, episode_steps=200, terminated=lost, failure=5.0)


def hopper() -> Task:
    """Go forward at 1 m/s for 1.2 s without falling. q = (forward, height, pitch, thigh, leg, foot)."""

    def residual(x: jax.Array, u: jax.Array) -> jax.Array:
        height, pitch, speed = x[1], x[2], x[6]
        slow = 0.5 * (speed - 1.0)
        return jnp.concatenate([jnp.stack([slow, 2.0 * pitch, 2.0 * jnp.minimum(height, 0.0)]), 0.1 * u])

    def fallen(x: jax.Array) -> jax.Array:
        return (jnp.abs(x[2]) > 0.2) | (STANDING + x[1] < 0.7)

    env = brax.envs.get_environment("hopper", backend="generalized")
    return brax_task(env, residual, episode_steps=150, terminated=fallen, failure=25.0)


ENVIRONMENTS = {"reacher": reacher, "inverted_double_pendulum": inverted_double_pendulum, "hopper": hopper}
CONFIGURATIONS = {"hopper": {"pods": {"batch": 32, "horizon": 64, "discount": 0.99}}}
"""Where it is not the default: a control step of the hopper is 8 ms, and 16 of them are no hop."""


def main() -> None:
    """Print cost and success before and after, per environment and seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--environments", nargs="+", default=list(ENVIRONMENTS), choices=list(ENVIRONMENTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--quick", action="store_true", help="one seed, half the epochs")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.epochs = options.seeds[:1], options.epochs // 2
    compilation_cache.enable()
    for name in options.environments:
        simulator = PhysicsDynamics("simulator", ())
        with without_maintenance_notice():
            parts = learner(ENVIRONMENTS[name](), simulator)
        budget = {"training": {"epochs": options.epochs}}
        config = configuration(merged(CONFIGURATIONS.get(name, {}), budget))
        algorithm, nominal = make_hds(parts.problem(config)), simulator.nominal_parameters(parts.task)
        theta, judged = (mixture(nominal, stacked(nominal), 0.0, n) for n in (algorithm.batch, EPISODES))
        for seed in options.seeds:
            began, key = time.perf_counter(), jax.random.key(seed)
            untrained = algorithm.init(jax.random.split(key, 3)[0]).policy
            before = parts.evaluate(untrained, judged, jax.random.key(9))
            epochs = list(train(algorithm, parts.evaluate, theta, judged, config.training, key))
            not_finite = [epoch.info.non_finite for epoch in epochs]
            faults, last = sum(int(one.steps) for one in not_finite if one is not None), epochs[-1]
            assert last.best is not None
            after = parts.evaluate(last.best.policy, judged, jax.random.key(9))
            steps = options.epochs * algorithm.steps
            print(
                f"{name}, seed {seed}: cost {np.mean(before.cost):.1f} -> {np.mean(after.cost):.1f}, success "
                f"{np.mean(before.success):.2f} -> {np.mean(after.success):.2f}; {steps} roll-out steps, "
                f"{faults} not finite, {time.perf_counter() - began:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
