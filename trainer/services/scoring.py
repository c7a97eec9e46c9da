"""Scores of recorded episodes, computed from their task. There is no reward on the wire.

JAX is imported with the first episode, so that a trainer starts sooner.
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
    """Cost (sum over the episode), success, and whether success can be judged."""

    cost: float
    success: bool
    judged: bool


UNKNOWN = Score(math.nan, False, False)
MOST_KEPT = 100_000
"""Cached scores, some 20 MB."""


SHORTEST = 64
"""Episodes are padded to a power of two, from this length on. Recorded episodes have arbitrary lengths, each
of which would be compiled, and compiled code is never freed."""


@functools.lru_cache(maxsize=16)
def _cost(task: "Task") -> Callable:
    """Return `(x[T + 1, n], u[T, m], steps) -> cost`, compiled for each T."""
    import jax

    from trainer.learning.evaluation import cost_of_first

    return jax.jit(lambda x, u, steps: cost_of_first(task, x, u, steps))


@functools.lru_cache(maxsize=16)
def _success(task: "Task", steps: int) -> Callable:
    """Return `x[steps + 1, n] -> success`, compiled; a few lengths are cached."""
    import jax

    from trainer.learning.evaluation import succeeded

    x = jax.ShapeDtypeStruct((steps + 1, len(task.state_names)), np.float32)
    return jax.jit(lambda x: succeeded(task, x)).lower(x).compile()


def _padded(values: np.ndarray, length: int) -> np.ndarray:
    return np.concatenate([values, np.repeat(values[-1:], length - len(values), axis=0)])


class Scorer:
    """Scores episodes, with a cache of those that have not changed."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], tuple[int, Task, Score]] = {}

    def task(self, name: str) -> "Task | None":
        """Return the task called `name`; None if its file is missing or invalid."""
        from trainer.tasks import load_task

        with contextlib.suppress(ValueError):
            return load_task(name)
        return None

    def __call__(self, episode: RecordedEpisode) -> Score:
        """Return the score; the cost is NaN if the task's file is missing or describes another plant."""
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
    """Score `episode`. A terminated one is no success; one shorter than the task's is not judged.

    An episode that has not ended is judged by its first steps, as many as an episode of the task has.
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
