"""Answers of the controller: what may reach the plant, and who is to blame where none may."""

from typing import NamedTuple, Protocol

import numpy as np

from protos.hds import v1
from real_env.timing import UNKNOWN


class Miss(NamedTuple):
    """No usable answer: why, and who was late."""

    why: str
    late: str = UNKNOWN


class Asker(Protocol):
    """What gives the loop its actions."""

    def ask(self, observation: v1.Observation, until_ns: int) -> v1.Action | Miss:
        """Return the action for `observation`, or why there is none by `until_ns` on the clock."""
        ...


def usable(answer: v1.Action | Miss, sequence: int, size: int) -> np.ndarray | Miss:
    """Return u[m], or why `answer` must not reach the plant."""
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
