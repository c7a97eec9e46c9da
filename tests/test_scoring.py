"""Recorded episodes of any length are scored like whole ones, and compiled for a few lengths only."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from trainer.learning.evaluation import evaluate_episode
from trainer.services.scoring import Scorer, _cost, _success, score_episode
from trainer.store.records import EVALUATE, RecordedEpisode
from trainer.tasks import load_task

SWING_UP = load_task("cartpole_swingup")
FALLS = dataclasses.replace(SWING_UP, terminated=lambda x: x[0] > 1.5, failure=3.0)


def episode(steps: int, worst: float = 0.0, ended: bool = True) -> RecordedEpisode:
    """Return an episode that ends beyond the limit of `FALLS` where `worst` is."""
    chance = np.random.default_rng(steps)
    x = chance.normal(scale=0.3, size=(steps + 1, 4)).astype(np.float32)
    x[steps // 2, 0] = worst
    u = chance.uniform(-1.0, 1.0, (steps, 1)).astype(np.float32)
    return RecordedEpisode("s", SWING_UP.name, 0, EVALUATE, 0, x, u, 0.04, False, ended, ("v",), 0)


@pytest.mark.parametrize("task", [SWING_UP, FALLS], ids=["never ends", "ends"])
@pytest.mark.parametrize("steps", [1, 2, 63, 64, 65, 150, 200])
@pytest.mark.parametrize("worst", [0.0, 2.0, np.nan])
def test_an_episode_costs_what_it_would_if_nothing_were_added_to_it(task, steps: int, worst: float) -> None:
    one = episode(steps, worst=worst)
    expected, found = evaluate_episode(task, jnp.array(one.x), jnp.array(one.u)), score_episode(one, task)
    np.testing.assert_allclose(found.cost, expected.cost, rtol=1e-5)
    assert found.success == (bool(expected.success) and steps >= task.episode_steps)
    assert found.judged == (steps >= task.episode_steps)


def test_an_episode_that_grows_while_it_is_looked_at_compiles_next_to_nothing() -> None:
    """As where somebody lists episodes every second while a rig drives for a year."""
    _cost.cache_clear()
    _success.cache_clear()
    scorer = Scorer()
    for steps in range(1, 300):
        scorer(episode(steps, ended=False))
    compiled = _cost(SWING_UP)._cache_size()  # pyright: ignore[reportFunctionMemberAccess]
    assert compiled == 4, "64, 128, 256 and 512 steps"
    assert _success.cache_info().misses == 1
