"""Score recorded episodes by their task; there is no reward on the wire.

JAX is imported by the first episode, not before: a trainer listens sooner that way.
"""

import contextlib
import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trainer.store.records import RecordedEpisode

if TYPE_CHECKING:
    from trainer.tasks.task import Task


class Score(NamedTuple):
    """Cost (sum over the episode), success, and whether that can be told."""

    cost: float
    success: bool
    judged: bool


UNKNOWN = Score(math.nan, False, False)
MOST_KEPT = 100_000
"""Scores in memory, some 20 MB."""


SHORTEST = 64
"""Episodes are scored as if they were as long as the next power of two from here on: recorded ones have any
length, each would be compiled for itself, and what is compiled is never given back."""


@functools.lru_cache(maxsize=16)
def _cost(task: "Task") -> Callable:
    """Return `(x[T + 1, n], u[T, m], steps) -> cost`, compiled for each T."""
    import jax

    from trainer.learning.evaluation import cost_of_first

    return jax.jit(lambda x, u, steps: cost_of_first(task, x, u, steps))


@functools.lru_cache(maxsize=16)
def _success(task: "Task", steps: int) -> Callable:
    """Return `x[steps + 1, n] -> success`, compiled, and forgotten after so many others."""
    import jax

    from trainer.learning.evaluation import succeeded

    x = jax.ShapeDtypeStruct((steps + 1, len(task.state_names)), np.float32)
    return jax.jit(lambda x: succeeded(task, x)).lower(x).compile()


def _padded(values: np.ndarray, length: int) -> np.ndarray:
    return np.concatenate([values, np.repeat(values[-1:], length - len(values), axis=0)])


class Scorer:
    """Scores episodes, each once for as long as neither it nor its task changes."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], tuple[int, Task, Score]] = {}

    def task(self, name: str) -> "Task | None":
        """Return the task called `name` as it is now; None if its file is gone, or is no task any more."""
        from trainer.tasks import load_task

        with contextlib.suppress(ValueError):
            return load_task(name)
        return None

    def __call__(self, episode: RecordedEpisode) -> Score:
        """Return the score; where the task's file is gone, or describes another plant, the cost is NaN."""
        task = self.task(episode.task)
        if task is None:
            return UNKNOWN
        key, steps = (episode.session, episode.episode), episode.u.shape[0]
        known = self._kept.get(key)
        if known is not None and known[0] == steps and known[1] is task:
            return known[2]
        scored = score_episode(episode, task)
        if len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = steps, task, scored
        return scored


def score_episode(episode: RecordedEpisode, task: "Task") -> Score:
    """Score `episode`: one that terminated is no success; a shorter one than the task's is not judged.

    One that has not ended may grow with every look: it is judged by its first steps, as many as a task has.
    """
    if (episode.x.shape[1], episode.u.shape[1]) != (len(task.state_names), len(task.action_names)):
        return UNKNOWN
    x, u = np.array(episode.x, np.float32), np.array(episode.u, np.float32)
    steps, length = len(u), max(SHORTEST, 1 << (len(u) - 1).bit_length())
    cost = float(_cost(task)(_padded(x, length + 1), _padded(u, length), steps))
    whole = steps >= task.episode_steps
    ended = episode.terminated or episode.truncated
    judged = steps if ended else task.episode_steps
    success = whole and not episode.terminated and bool(_success(task, judged)(x[: judged + 1]))
    return Score(cost, success, whole or episode.terminated)
