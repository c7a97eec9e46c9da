"""Dry friction in closed form does what a law of velocity does in steps too fine to be of use."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from trainer.learning.trajectory import replay
from trainer.models.brax_model import BraxModel
from trainer.models.friction import Friction, friction_force, mean_dry_level, viscous_force
from trainer.tasks import load_task

TASK = load_task("cartpole_swingup")
FRICTION = Friction(*(jnp.array(v) for v in ([9.0, 0.35], [17.0, 0.45], [8.0, 0.2], [0.1, 0.1])))


@functools.cache
def exact(substeps: int, creep: float = 0.0) -> BraxModel:
    model = TASK.model(lambda theta, q, qd, u: viscous_force(FRICTION, qd), substeps)
    assert isinstance(model, BraxModel)
    level = functools.partial(mean_dry_level, FRICTION)
    return dataclasses.replace(model, dry=lambda theta: (level, jnp.full(2, creep)))


def test_two_steps_of_true_dry_friction_are_as_good_as_256_of_a_steep_law() -> None:
    fine = TASK.model(lambda theta, q, qd, u: friction_force(FRICTION, qd, 0.0005), 256)
    smooth = TASK.model(lambda theta, q, qd, u: friction_force(FRICTION, qd), 1)
    u = jnp.repeat(jax.random.uniform(jax.random.key(0), (12, 1), minval=-1.0), 5, axis=0)
    start = jnp.array([0.0, 2.5, 0.3, 0.0])
    drive = lambda model: np.asarray(jax.jit(functools.partial(replay, model, None))(start, u))  # noqa: E731
    truth, few, before = (drive(model) for model in (fine, exact(2), smooth))
    error, error_before = (np.sqrt(np.mean((x - truth) ** 2, axis=0)) for x in (few, before))
    assert np.all(error < 0.15 * error_before)


def test_with_creep_it_does_what_a_law_smoothed_over_as_much_does_however_a_joint_is_turned_round() -> None:
    smooth = TASK.model(lambda theta, q, qd, u: friction_force(FRICTION, qd, 0.005), 64)
    chance = np.random.default_rng(0)
    x = chance.uniform(-1.0, 1.0, (500, 4)) * np.array([0.5, 3.1, 0.6, 6.0])
    u = chance.uniform(-0.6, 0.6, (500, 1))
    truth, creeping, resting = (
        np.asarray(jax.jit(jax.vmap(functools.partial(model, None)))(x, u))
        for model in (smooth, exact(8, creep=0.005), exact(8))
    )
    turned = np.sign(x[:, 2]) != np.sign(truth[:, 2])
    error, error_without = (np.mean(np.abs(found - truth)[turned, 2]) for found in (creeping, resting))
    assert error < 0.2 * error_without


def test_a_joint_that_is_pushed_too_little_rests_and_does_not_creep() -> None:
    step = jax.jit(exact(2))
    x = rest = jnp.array([0.0, np.pi, 0.0, 0.0])
    for _ in range(50):
        x = step(None, x, jnp.array([0.24]))
    np.testing.assert_allclose(x, rest, atol=1e-5)
    assert step(None, x, jnp.array([0.26]))[2] > 0.0, "25 N break it away"


def test_dry_friction_never_adds_energy_however_the_joints_are_coupled() -> None:
    model = exact(2)
    states = np.random.default_rng(0).uniform(-1.0, 1.0, (200, 4)) * np.array([1.0, 3.2, 2.0, 6.0])
    after = jax.jit(jax.vmap(lambda x: model(None, x, jnp.zeros(1))))(jnp.asarray(states, jnp.float32))
    energy = jax.vmap(model.energy)
    gained = np.asarray(energy(after) - energy(jnp.asarray(states, jnp.float32)))
    assert np.all(gained < 1e-3)


def test_its_derivative_is_that_of_finite_differences_while_sliding_and_none_at_rest() -> None:
    step = jax.jit(exact(2))
    x, u = jnp.array([0.0, 2.0, 1.0, 2.0]), jnp.array([0.3])
    J, h = np.asarray(jax.jacfwd(lambda x: step(None, x, u))(x)), 1e-2
    columns = [(step(None, x + h * e, u) - step(None, x - h * e, u)) / (2 * h) for e in np.eye(4)]
    np.testing.assert_allclose(J, np.stack(columns, axis=1), atol=2e-3)
    rest = jnp.array([0.0, np.pi, 0.0, 0.0])
    stuck = np.asarray(jax.jacfwd(lambda u: step(None, rest, u))(jnp.array([0.1])))
    np.testing.assert_allclose(stuck, 0.0, atol=1e-6)
