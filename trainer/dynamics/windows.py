"""Recorded motion cut into windows of equal length, the unit that dynamics are fitted to and judged by."""

from typing import NamedTuple

import jax
import numpy as np

FEWEST_ROWS = 32
"""Windows are padded to at least as many, so that little is compiled anew while data grows."""


class Motion(NamedTuple):
    """An uninterrupted stretch of recorded states `x[T + 1, n]` and applied actions `u[T, m]`.

    `before[m]` is the action applied before the first state; None at the start of an episode.
    """

    x: np.ndarray
    u: np.ndarray
    before: np.ndarray | None = None

    def part(self, first: int, last: int) -> "Motion":
        """Return the steps from `first` up to but not including `last`."""
        before = self.u[first - 1] if first else self.before
        return Motion(self.x[first : last + 1], self.u[first:last], before)


class Windows(NamedTuple):
    """W windows: `x[W, L + 1, n]`, `u[W, L, m]`, and a weight [W], 0 where a window only pads.

    All in the precision that JAX works in.
    """

    x: np.ndarray
    u: np.ndarray
    weight: np.ndarray


def finite(motions: list[Motion]) -> list[Motion]:
    """Return the stretches between steps with a number that is not finite: a sensor that dropped out, say.

    After an action that is not finite a step more is left out: that action is part of what it began with.
    """
    stretches = []
    for motion in motions:
        states, actions = (np.all(np.isfinite(part), axis=1) for part in (motion.x, motion.u))
        begun = motion.before is None or bool(np.all(np.isfinite(motion.before)))
        known = np.concatenate([np.array([begun]), actions[:-1]])
        usable = states[:-1] & states[1:] & actions & known
        edges = np.flatnonzero(np.diff(np.concatenate([[False], usable, [False]]).astype(int)))
        stretches += [motion.part(int(first), int(last)) for first, last in edges.reshape(-1, 2)]
    return stretches


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
    return _at(motions, [starts[i] for i in chosen], length, count)


def side_by_side(motions: list[Motion], length: int, most: int) -> Windows:
    """Cut windows of `length` steps that share no step, at most `most`, evenly spread; pad to a power of two.

    Raises:
        ValueError: if no motion is long enough for a single window.
    """
    rows = []
    for i, motion in enumerate(motions):
        count = len(motion.u) // length
        rows += [(i, int(t)) for t in np.linspace(0, len(motion.u) - length, count).round()]
    if not rows:
        longest = max((motion.u.shape[0] for motion in motions), default=0)
        raise ValueError(f"the data has no stretch of {length} steps; the longest has {longest}")
    if len(rows) > most:
        rows = [rows[k] for k in np.linspace(0, len(rows) - 1, most).round().astype(int)]
    size = max(FEWEST_ROWS, 2 ** int(np.ceil(np.log2(len(rows)))))
    return _at(motions, rows, length, size)


def _at(motions: list[Motion], rows: list[tuple[int, int]], length: int, count: int) -> Windows:
    """Return windows that begin at `(motion, step)` of each row, padded to `count`."""
    weight = np.arange(count) < len(rows)
    rows = rows + [rows[0]] * (count - len(rows))
    x = np.stack([motions[i].x[t : t + length + 1] for i, t in rows])
    u = np.stack([motions[i].u[t : t + length] for i, t in rows])
    return Windows(*(part.astype(jax.dtypes.canonicalize_dtype(float)) for part in (x, u, weight)))


def remembering(motions: list[Motion], memory: int) -> list[Motion]:
    """Append to each state the action applied before it, `memory` (0 or 1) of them; 0 before the first."""
    if memory == 0:
        return motions

    def with_last(motion: Motion) -> Motion:
        before = np.zeros_like(motion.u[:1]) if motion.before is None else motion.before[None]
        last = np.concatenate([before, motion.u])
        return Motion(np.concatenate([motion.x, last], axis=1), motion.u)

    return [with_last(motion) for motion in motions]


def typical_change(windows: Windows) -> np.ndarray:
    """Return a tenth of each state's typical change over a window [n], the unit of errors."""
    change = (windows.x[:, -1] - windows.x[:, 0])[windows.weight > 0]
    return np.maximum(0.1 * np.sqrt(np.mean(change**2, axis=0)), 1e-3)
