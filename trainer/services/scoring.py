"""Score recorded episodes by their task; there is no reward on the wire."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from trainer.learning.evaluation import score
from trainer.store.records import RecordedEpisode
from trainer.tasks import load_task
from trainer.tasks.task import Task


class Score(NamedTuple):
    """Cost (sum over the episode) and success."""

    cost: float
    success: bool


@functools.lru_cache(maxsize=16)
def _scorer(task: Task) -> Callable:
    return jax.jit(lambda x, u: score(task, x, u))


def score_episode(episode: RecordedEpisode) -> Score:
    """Score `episode`; one that ended before the task's clock did, or by fallback, is no success.

    Where the task's file is gone, or describes another plant now, the cost is NaN.
    """
    try:
        task = load_task(episode.task)
    except ValueError:
        return Score(math.nan, False)
    if (episode.x.shape[1], episode.u.shape[1]) != (len(task.state_names), len(task.action_names)):
        return Score(math.nan, False)
    x, u = np.array(episode.x), np.array(episode.u)
    found = _scorer(task)(x, u)
    whole = u.shape[0] >= task.episode_steps and not episode.terminated
    return Score(float(found.cost), bool(found.success) and whole)
