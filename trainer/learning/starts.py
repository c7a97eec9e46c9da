"""Start states of the trajectories: those of the task's episodes, and exploring starts.

From the episodes' start states alone, states near the goal are reached late, and some never with dry
friction. Then the value there is unknown, and the search stays in a local minimum. Exploring starts (Sutton &
Barto 2018, section 5.3) let a share of the trajectories begin anywhere.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trainer.tasks.task import Task


class Start(NamedTuple):
    """Start states `x[N, n]`, and the control steps `left[N]` until the clock truncates their episodes."""

    x: jax.Array
    left: jax.Array


Starts = Callable[[int, jax.Array], Start]
"""`(N, key) -> Start`; the index in the batch decides which starts explore, so their share is exact."""


def reset_starts(task: Task) -> Starts:
    """Return the starts of the task's episodes."""

    def draw(batch: int, key: jax.Array) -> Start:
        x = jax.vmap(task.reset)(jax.random.split(key, batch))
        return Start(x, jnp.full(batch, task.episode_steps))

    return draw


def exploring_starts(task: Task, share: float, steps: int) -> Starts:
    """Return starts of which `share` explores (`task.explore`, each for `steps`); the rest are the task's.

    Raises:
        ValueError: if `share` is not in [0, 1], or `steps` is below 1.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"the share of exploring starts must be in [0, 1]; got {share:g}")
    if steps < 1:
        raise ValueError(f"an exploring start must last at least 1 control step; got {steps}")

    def draw(batch: int, key: jax.Array) -> Start:
        keys_reset, keys_explore = jax.random.split(key, (2, batch))
        usual, anywhere = jax.vmap(task.reset)(keys_reset), jax.vmap(task.explore)(keys_explore)
        explores = _scattered(round(share * batch), batch)
        x = jnp.where(explores[:, None], anywhere, usual)
        return Start(x, jnp.where(explores, steps, task.episode_steps))

    return draw


def _scattered(count: int, batch: int) -> np.ndarray:
    """Return the `count` of `batch` indices that explore.

    They are a fixed random permutation, so that exploring starts are equally frequent in every dynamics
    model, which are assigned by index, too.
    """
    return np.isin(np.arange(batch), np.random.default_rng(0).permutation(batch)[:count])
