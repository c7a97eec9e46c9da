"""Learned dynamics find what made the data: friction, and a force that no law of ours contains."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainer.dynamics.friction_rung import FrictionRung, constrain, typical_change
from trainer.dynamics.ladder import rung
from trainer.dynamics.residual_rung import FrictionResidualRung
from trainer.dynamics.rung import WINDOW_STEPS, Fit, split
from trainer.dynamics.windows import Motion, cut
from trainer.learning.trajectory import rollout
from trainer.models.friction import Friction, friction_force
from trainer.tasks import load_task

TASK = load_task("cartpole_swingup")
TRUE = Friction(*(jnp.array(v) for v in ([9.0, 0.35], [17.0, 0.45], [8.0, 0.2], [0.1, 0.1])))


def friction_only(theta: object, q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
    return friction_force(TRUE, qd)


def with_wind(theta: object, q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
    return friction_force(TRUE, qd) + jnp.stack([15.0 * jnp.sin(q[1]), jnp.zeros(())])


@functools.cache
def recorded(force: object, episodes: int, steps: int = 125) -> list[Motion]:
    model = TASK.model(force, 4)  # pyright: ignore[reportArgumentType]
    drive = jax.jit(lambda x, u: rollout(model, None, lambda t, x: u[t], x, steps))
    motions = []
    for episode in range(episodes):
        key_x, key_u = jax.random.split(jax.random.key(episode))
        u = jnp.repeat(jax.random.uniform(key_u, (steps // 5 + 1, 1), minval=-1.0), 5, axis=0)[:steps]
        trajectory = drive(TASK.reset(key_x), u)
        motions.append(Motion(np.asarray(trajectory.x), np.asarray(trajectory.u)))
    return motions


def silent(share: float) -> None:
    """Report to nobody."""


@functools.cache
def friction_fit(force: object) -> Fit:
    return FrictionRung().fit(TASK, recorded(force, 2), jax.random.key(0), silent)


def test_friction_is_recovered_from_ten_seconds_of_motion() -> None:
    fit = friction_fit(friction_only)
    found = jax.tree.map(lambda leaf: np.asarray(leaf[0]), fit.members)
    np.testing.assert_allclose(found.viscous, TRUE.viscous, rtol=0.15)
    np.testing.assert_allclose(found.dry, TRUE.dry, rtol=0.15)
    assert fit.error < 0.1 * fit.reference_error


def test_whatever_the_parameters_friction_is_physical() -> None:
    unit = jnp.array([[20.0, 1.0], [2.0, 3.0]])
    for p in 30.0 * np.random.default_rng(0).normal(size=(50, 8)):
        friction = constrain(jnp.asarray(p, jnp.float32), unit)
        assert all(np.all(np.isfinite(leaf)) and np.all(np.asarray(leaf) >= 0) for leaf in friction)
        speeds = jnp.linspace(-5.0, 5.0, 21)
        power = jax.vmap(lambda v, f=friction: friction_force(f, jnp.stack([v, v])))(speeds) * speeds[:, None]
        assert np.all(np.asarray(power) <= 0.0), "friction takes energy away at every speed"


def test_the_residual_explains_a_force_that_friction_does_not() -> None:
    base = friction_fit(with_wind)
    better = FrictionResidualRung().fit(TASK, recorded(with_wind, 2), jax.random.key(0), silent)
    assert better.error < 0.5 * base.error


def test_the_estimates_are_named_after_the_joints() -> None:
    names = friction_fit(friction_only).estimates
    assert names.keys() >= {"viscous friction of cart", "dry friction of pole"}


def test_nothing_learned_is_the_simulator() -> None:
    x, u = jnp.array([0.1, 2.0, 0.5, -1.0]), jnp.array([0.3])
    free = TASK.model(lambda theta, q, qd, u: jnp.zeros(2), 1)(None, x, u)
    for chosen in (FrictionRung(), FrictionResidualRung()):
        model = TASK.model(chosen.force, 1)
        np.testing.assert_allclose(model(chosen.nothing(TASK), x, u), free, rtol=1e-6, atol=1e-6)


def test_windows_cover_the_data_and_padding_weighs_nothing() -> None:
    motions = [Motion(np.arange(21.0)[:, None], np.zeros((20, 1)))]
    windows = cut(motions, 5, 32)
    starts = {int(x[0, 0]) for x, weight in zip(windows.x, windows.weight, strict=True) if weight}
    assert starts == set(range(16))
    assert windows.weight.sum() == 16


def test_held_out_data_is_no_part_of_the_fitted_data() -> None:
    for count in (1, 5):
        motions = [Motion(np.full((101, 1), i) + np.linspace(0, 0.5, 101)[:, None], np.zeros((100, 1)))
                   for i in range(count)]  # fmt: skip
        parts = split(motions)
        fitted = {float(v) for motion in parts.fitted for v in motion.x[:-1, 0]}
        held_out = {float(v) for motion in parts.held_out for v in motion.x[:-1, 0]}
        assert held_out
        assert not fitted & held_out


def test_data_that_is_too_short_is_refused_with_its_length() -> None:
    with pytest.raises(ValueError, match="no stretch of 10 steps; the longest has 4"):
        FrictionRung().fit(TASK, recorded(friction_only, 1, 4), jax.random.key(0), silent)


def test_an_unknown_rung_is_answered_with_the_choices() -> None:
    with pytest.raises(
        ValueError, match="unknown dynamics model 'magic'; choose one of: friction, friction-"
    ):
        rung("magic")


def test_typical_change_ignores_padding() -> None:
    motions = recorded(friction_only, 1, 30)
    np.testing.assert_allclose(
        typical_change(cut(motions, WINDOW_STEPS, 21)),
        typical_change(cut(motions, WINDOW_STEPS, 64)),
        rtol=1e-6,
    )
