"""Score recorded episodes by their task; there is no reward on the wire.

JAX is imported by the first episode, not before: a trainer listens sooner that way.
"""

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


@functools.lru_cache(maxsize=16)
def _scorer(task: "Task") -> Callable:
    import jax

    from trainer.learning.evaluation import score

    return jax.jit(lambda x, u: score(task, x, u))


class Scorer:
    """Scores episodes, each once for as long as neither it nor its task changes."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], tuple[int, Task, Score]] = {}

    def __call__(self, episode: RecordedEpisode) -> Score:
        """Return the score; where the task's file is gone, or describes another plant, the cost is NaN."""
        from trainer.tasks import load_task

        try:
            task = load_task(episode.task)
        except ValueError:
            return UNKNOWN
        key, steps = (episode.session, episode.episode), episode.u.shape[0]
        known = self._kept.get(key)
        if known is not None and known[:2] == (steps, task):
            return known[2]
        scored = score_episode(episode, task)
        if len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = steps, task, scored
        return scored


def score_episode(episode: RecordedEpisode, task: "Task") -> Score:
    """Score `episode`: one that terminated is no success; a shorter one than the task's is not judged."""
    if (episode.x.shape[1], episode.u.shape[1]) != (len(task.state_names), len(task.action_names)):
        return UNKNOWN
    x, u = np.array(episode.x), np.array(episode.u)
    found = _scorer(task)(x, u)
    whole = u.shape[0] >= task.episode_steps
    success = bool(found.success) and whole and not episode.terminated
    return Score(float(found.cost), success, whole or episode.terminated)
