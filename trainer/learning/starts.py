"""Where the trajectories that teach begin: as the task's episodes do, or also far from there.

From a hanging pole alone, states near the goal are seen late, and with dry friction some never: the
value cannot know what they are worth, and the search sits in a local minimum. A share of the trajectories
that begins anywhere shows the value the way back from the goal (an old idea: exploring starts, Sutton &
Barto 2018, section 5.3).
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
"""`(N, key) -> Start`; the place in the batch decides the kind, so that its shares stay what they are."""


def reset_starts(task: Task) -> Starts:
    """Begin every trajectory as an episode of `task` does."""

    def draw(batch: int, key: jax.Array) -> Start:
        x = jax.vmap(task.reset)(jax.random.split(key, batch))
        return Start(x, jnp.full(batch, task.episode_steps))

    return draw


def exploring_starts(task: Task, share: float, steps: int) -> Starts:
    """Begin `share` of the batch anywhere (`task.explore`), each for `steps`; the rest as episodes do.

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
    """Return which `count` of `batch` places explore, always the same.

    They lie anywhere, because dynamics are dealt out by place too: whatever a trajectory runs in, it explores
    as often.
    """
    return np.isin(np.arange(batch), np.random.default_rng(0).permutation(batch)[:count])
