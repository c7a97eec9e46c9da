"""Score recorded episodes by their task; there is no reward on the wire."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from trainer.learning.evaluation import score
from trainer.store.records import RecordedEpisode
from trainer.tasks import load_task


class Score(NamedTuple):
    """Cost (sum over the episode) and success."""

    cost: float
    success: bool


@functools.cache
def _scorer(task_name: str) -> Callable:
    task = load_task(task_name)
    return jax.jit(lambda x, u: score(task, x, u))


def score_episode(episode: RecordedEpisode) -> Score:
    """Score `episode`; one that ended before the task's clock did, or by fallback, is no success."""
    task = load_task(episode.task)
    x, u = np.array(episode.x), np.array(episode.u)
    found = _scorer(episode.task)(x, u)
    whole = u.shape[0] >= task.episode_steps and not episode.terminated
    return Score(float(found.cost), bool(found.success) and whole)
