"""Checks of the controller's answers before they reach the plant."""

from typing import NamedTuple, Protocol

import numpy as np

from protos.hds import v1
from real_env.timing import UNKNOWN


class Miss(NamedTuple):
    """There is no valid answer: why, and what was late."""

    why: str
    late: str = UNKNOWN


class ActionSource(Protocol):
    """Source of the actions of the control loop."""

    def act(self, observation: v1.Observation, until_ns: int) -> v1.Action | Miss:
        """Return the action for `observation`, or a `Miss` if there is none by `until_ns` on the clock."""
        ...


def checked_action(answer: v1.Action | Miss, sequence: int, size: int) -> np.ndarray | Miss:
    """Return u[m], or a `Miss` if `answer` must not reach the plant."""
    if isinstance(answer, Miss):
        return answer
    if answer.sequence != sequence:
        return Miss(f"the answer is for tick {answer.sequence}, not {sequence}")
    u = np.asarray(answer.u, np.float32)
    if u.shape != (size,):
        return Miss(f"the answer has {u.size} actions, not {size}")
    if not np.all(np.isfinite(u)):
        return Miss(f"the answer is not finite: {u.tolist()}")
    if np.any(np.abs(u) > 1.0):
        return Miss(f"the answer is beyond [-1, 1]: {u.tolist()}")
    return u
