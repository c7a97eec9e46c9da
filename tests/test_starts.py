from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainer.compilation import ONCE, compiled
from trainer.learning.starts import Start, Starts, exploring_starts, reset_starts
from trainer.tasks import load_task

TASK = load_task("cartpole_swingup")
HANGING = jnp.array([0.0, jnp.pi, 0.0, 0.0])


def drawn(starts: Starts, count: int) -> Start:
    return compiled(lambda key: starts(count, key), ONCE)(jax.random.key(0))


def test_reset_starts_are_those_of_an_episode_and_last_as_long() -> None:
    x, left = drawn(reset_starts(TASK), 500)
    assert np.all(np.abs(x - HANGING) <= np.array([0.5, 0.6, 0.5, 0.5]) + 1e-6)
    assert np.all(left == TASK.episode_steps)


def test_the_share_of_exploring_starts_is_exact_and_the_rest_begin_as_episodes_do() -> None:
    x, left = drawn(exploring_starts(TASK, 0.25, 40), 400)
    explores = np.asarray(left == 40)
    assert np.sum(explores) == 100
    assert np.all(left[~explores] == TASK.episode_steps)
    assert np.mean(np.cos(x[explores, 1]) > 0.0) > 0.3, "the pole begins anywhere"
    assert np.all(np.cos(x[~explores, 1]) < 0.0), "the pole begins hanging"


@pytest.mark.parametrize("dealt", [lambda i: i < 64, lambda i: i % 2 == 0], ids=["the first", "every other"])
def test_dynamics_that_are_dealt_out_by_place_explore_as_often_as_others(dealt: Callable) -> None:
    left = drawn(exploring_starts(TASK, 0.5, 40), 128).left
    explores, theirs = np.asarray(left == 40), dealt(np.arange(128))
    assert 0.35 < np.mean(explores[theirs]) < 0.65


@pytest.mark.parametrize(("share", "steps", "named"), [(1.5, 10, "1.5"), (-0.1, 10, "-0.1"), (0.5, 0, "0")])
def test_a_share_or_length_out_of_bounds_is_refused_by_value(share: float, steps: int, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        exploring_starts(TASK, share, steps)
