"""The loop without services: train, drive the plant, refit; for studies over many seeds.

The plant is real_env's own, stepped for many episodes at once; the trainer's recipe is the one that
the worker process runs.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from real_env.excitation import Excitation
from real_env.plants.brax_friction import START, START_SPREAD, FrictionConstants, control_step
from trainer.dynamics.dynamics_model import Fit
from trainer.dynamics.windows import Segment
from trainer.jobs.hyper_parameters import configuration_of
from trainer.jobs.learner import Learner, stacked
from trainer.jobs.recipe import Report, Training
from trainer.learning.evaluation import evaluate_episode
from trainer.learning.hds import make_hds
from trainer.learning.training import Best
from trainer.models.friction import Friction
from trainer.models.physics import nominal

EPISODES = 128
STRIBECK_VELOCITY = 0.1


class Plant(NamedTuple):
    """Success and mean cost of a policy on the plant."""

    success: float
    cost: float


def train(
    parts: Learner,
    fit: Fit | None,
    fraction: float,
    seed: int,
    warm: Best | None,
    report: Report = lambda progress: None,
) -> Best:
    """Train as a job does: a first time, or again from the networks of `warm`, for longer."""
    config = configuration_of(parts.task, "", 0, refit=warm is not None)
    algorithm = make_hds(parts.problem(config))
    start = None if warm is None else algorithm.networks(warm.state)
    return Training(parts, algorithm, config.training).run(
        fit, fraction, jax.random.key(seed), start, report, {}
    )


def drive(
    parts: Learner, friction: FrictionConstants, parameters: Any, starts: np.ndarray, excitation: np.ndarray
) -> tuple[jax.Array, jax.Array]:
    """Return x[B, T + 1, n] and u[B, T, m] of closed-loop episodes from `starts[B, n]`."""

    @jax.jit
    def episodes(parameters: Any, starts: jax.Array, excitation: jax.Array) -> tuple[jax.Array, jax.Array]:
        def tick(x: jax.Array, extra: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            u = jnp.clip(parts.policy.apply(parameters, x) + extra, -1.0, 1.0)
            x_next = jax.vmap(control_step, (None, 0, 0))(friction, x, u)
            return x_next, (x_next, u)

        _, (x, u) = jax.lax.scan(tick, starts, excitation)
        return jnp.concatenate([starts[:, None], jnp.swapaxes(x, 0, 1)], axis=1), jnp.swapaxes(u, 0, 1)

    return episodes(parameters, jnp.asarray(starts, jnp.float32), jnp.asarray(excitation))


def on_plant(parts: Learner, friction: FrictionConstants, best: Best) -> Plant:
    """Judge a policy over 128 episodes whose start states are the same for every policy."""
    spread = np.random.default_rng(1).uniform(-START_SPREAD, START_SPREAD, (EPISODES, len(START)))
    silent = np.zeros((parts.task.episode_steps, EPISODES, len(parts.task.action_names)), np.float32)
    x, u = drive(parts, friction, best.policy, START + spread, silent)
    found = jax.vmap(lambda x, u: evaluate_episode(parts.task, x, u))(x, u)
    return Plant(float(jnp.mean(found.success)), float(jnp.mean(found.cost)))


def record(parts: Learner, friction: FrictionConstants, best: Best, seconds: float, seed: int) -> Segment:
    """Record one stretch of excited motion, as real_env's collect phase does."""
    steps = round(seconds / parts.task.control_dt)
    size = len(parts.task.action_names)
    excite = Excitation(0.3, parts.task.control_dt, size, seed)
    start = START + np.random.default_rng(seed).uniform(-START_SPREAD, START_SPREAD, (1, len(START)))
    x, u = drive(parts, friction, best.policy, start, np.stack([excite(k)[None] for k in range(steps)]))
    return Segment(np.asarray(x[0]), np.asarray(u[0]))


def oracle(friction: FrictionConstants) -> Fit:
    """Return the plant's true friction in the smooth law of the trainer."""
    excess = friction.break_away - friction.dry
    velocity = jnp.full_like(excess, STRIBECK_VELOCITY)
    law = Friction(friction.viscous, friction.dry, excess, velocity)
    joints, actions = friction.dry.shape[0], 1
    return Fit(stacked(nominal(joints, actions, joints)._replace(friction=law)), {}, {})
