"""Records of experience. Data are stored as recorded, and scored when read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from protos.security.caller import NOBODY, Caller

COLLECT = 1
EVALUATE = 2
FALLBACK = 2
STREAM = "stream"
"""The source of a session that a plant streamed; of others, the file."""


class Transition(NamedTuple):
    """One control step of the real plant; `x[n]`, `u[m]`, `x_next[n]` float32, time in ns.

    `purpose`, `action_source` and `end` are the numbers of the wire's enums.
    """

    sequence: int
    episode: int
    purpose: int
    x: np.ndarray
    u_requested: np.ndarray
    u_applied: np.ndarray
    x_next: np.ndarray
    t_ns: int
    terminated: bool
    truncated: bool
    policy_version: str
    action_source: int
    reason: str
    end: int = 0


@dataclass(frozen=True)
class SessionInfo:
    """Who the transitions of a session belong to."""

    id: str
    task: str
    plant: str
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    control_dt_s: float
    source: str = STREAM
    """Where it came from: the stream of a plant, or an imported file."""


@dataclass(frozen=True)
class Selection:
    """Which episodes are meant; an empty tuple, an empty string or 0 means any.

    Attributes:
        task: the task of the session.
        purpose: collect or evaluate.
        sessions: ids.
        tags: the session has one of them.
        policies: versions, or their first digits, of which one acted in the episode.
        since_ns, until_ns: when the session's first batch came [ns since 1970-01-01 UTC], half open.
        watermarks: by session, the sequence number from which on nothing is taken, and no other session.
        plants: names of plants, of which one was driven in the session.
    """

    task: str = ""
    purpose: int = 0
    sessions: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    since_ns: int = 0
    until_ns: int = 0
    watermarks: dict[str, int] = field(default_factory=dict)
    plants: tuple[str, ...] = ()


class RecordedEpisode(NamedTuple):
    """One episode: states `x[T + 1, n]`, applied actions `u[T, m]`, and what was noted with them."""

    session: str
    task: str
    episode: int
    purpose: int
    first_sequence: int
    x: np.ndarray
    u: np.ndarray
    control_dt_s: float
    terminated: bool
    truncated: bool
    policy_versions: tuple[str, ...]
    fallback_steps: int
    end: int = 0


class SessionSummary(NamedTuple):
    """What is stored of a session; lengths in steps, of what may be learned from and of what only judges."""

    session: SessionInfo
    begun_ns: int
    next_sequence: int
    tags: tuple[str, ...]
    episodes: int
    collect_steps: int
    evaluate_steps: int


class EvaluatedSession(NamedTuple):
    """A session with evaluation episodes, and the steps of these."""

    session: str
    task: str
    plant: str
    steps: int


class Epoch(NamedTuple):
    """Figures of one epoch of a job, numbered from 1; NaN where one is not finite."""

    number: int
    at_ns: int
    scalars: dict[str, float]


class SequenceGap(ValueError):
    """A batch starts beyond the watermark; transitions before it are missing."""


class SessionConflict(ValueError):
    """A batch contradicts what is stored of its session."""


class Batch(NamedTuple):
    """Transitions of one session, in order."""

    session: SessionInfo
    transitions: Sequence[Transition]
    caller: Caller = NOBODY
    """The caller who sent it."""


EVERYTHING = Selection()
