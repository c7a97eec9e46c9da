"""Recorded motion cut into windows of equal length, the unit that dynamics are fitted to and judged by."""

from typing import NamedTuple

import numpy as np


class Motion(NamedTuple):
    """An uninterrupted stretch of recorded states `x[T + 1, n]` and applied actions `u[T, m]`."""

    x: np.ndarray
    u: np.ndarray


class Windows(NamedTuple):
    """W windows: `x[W, L + 1, n]`, `u[W, L, m]`, and a weight [W], 0 where a window only pads."""

    x: np.ndarray
    u: np.ndarray
    weight: np.ndarray


def cut(motions: list[Motion], length: int, count: int) -> Windows:
    """Cut `count` windows of `length` steps, evenly spread over `motions`; pad if there are fewer.

    Raises:
        ValueError: if no motion is long enough for a single window.
    """
    starts = [(i, t) for i, motion in enumerate(motions) for t in range(motion.u.shape[0] - length + 1)]
    if not starts:
        longest = max((motion.u.shape[0] for motion in motions), default=0)
        raise ValueError(f"the data has no stretch of {length} steps; the longest has {longest}")
    chosen = np.unique(np.linspace(0, len(starts) - 1, count).round().astype(int))
    rows = [starts[i] for i in chosen]
    rows += [rows[0]] * (count - len(rows))
    x = np.stack([motions[i].x[t : t + length + 1] for i, t in rows])
    u = np.stack([motions[i].u[t : t + length] for i, t in rows])
    weight = (np.arange(count) < len(chosen)).astype(np.float32)
    return Windows(x.astype(np.float32), u.astype(np.float32), weight)
