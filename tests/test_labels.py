"""What trajectories teach, and what never reaches the regression."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainer.learning.labels import along_trajectory, around_trajectory, empty_labels, store_batch
from trainer.learning.non_finite import find_non_finite
from trainer.learning.trajectory import Trajectory

H, KEY = 5, jax.random.key(0)
TRAJECTORY = Trajectory(jax.random.normal(KEY, (H + 1, 2)), jnp.linspace(-0.5, 0.5, H)[:, None])
GAINS = 0.1 * jax.random.normal(jax.random.key(1), (H, 1, 2))


def test_along_a_trajectory_its_own_actions_are_taught_at_its_own_states() -> None:
    lesson = along_trajectory(TRAJECTORY, GAINS, KEY)
    np.testing.assert_array_equal(lesson.x, TRAJECTORY.x[:-1])
    np.testing.assert_array_equal(lesson.u, TRAJECTORY.u)


def test_around_a_trajectory_the_feedback_law_is_taught_and_kept_within_limits() -> None:
    make_targets = around_trajectory((0.3, 0.0))
    lesson = make_targets(TRAJECTORY, GAINS, KEY)
    np.testing.assert_array_equal(lesson.x[:H], TRAJECTORY.x[:-1])
    away = lesson.x[H:] - TRAJECTORY.x[:-1]
    assert np.all(away[:, 0] != 0.0)
    assert np.all(away[:, 1] == 0.0), "no spread in the second state"
    expected = TRAJECTORY.u[:, 0] + GAINS[:, 0, 0] * away[:, 0]
    np.testing.assert_allclose(lesson.u[H:, 0], expected, atol=1e-6)
    assert np.all(np.abs(make_targets(TRAJECTORY, 100.0 * GAINS, KEY).u) <= 1.0)


def test_a_negative_spread_is_refused_by_value() -> None:
    with pytest.raises(ValueError, match=r"-0\.1"):
        around_trajectory((0.1, -0.1))


def test_the_ring_replaces_its_oldest_batch_and_ignores_what_is_dead_or_not_finite() -> None:
    ring = empty_labels(2, 3, 2, 1)
    alive = jnp.array([True, False, True])
    for epoch in range(3):
        x = jnp.full((3, 2), float(epoch)).at[2, 0].set(jnp.nan if epoch == 2 else 0.0)
        ring = store_batch(ring, jnp.asarray(epoch), x, jnp.ones((3, 1)), alive)
    np.testing.assert_array_equal(ring.weight, [[1.0, 0.0, 0.0], [1.0, 0.0, 1.0]])
    assert np.all(ring.x[0, :2] == 2.0)
    assert np.all(np.isfinite(ring.x))


def test_a_fault_names_the_first_quantity_then_the_first_step_and_counts_all() -> None:
    states, actions = jnp.zeros((4, 6, 2)), jnp.zeros((4, 6, 1))
    assert int(find_non_finite(states, actions).steps) == 0
    states = states.at[3, 2, 1].set(jnp.nan).at[1, 4, 0].set(jnp.inf)
    actions = actions.at[0, 0, 0].set(jnp.nan)
    fault = find_non_finite(states, actions)
    assert (int(fault.steps), int(fault.quantity), int(fault.sample), int(fault.step)) == (3, 0, 3, 2)
    assert str(fault).startswith("the state of sample 3 at step 2 is not finite")
