"""Segments of recorded motion, and windows of equal length, the unit of fitting and validation."""

from typing import NamedTuple

import jax
import numpy as np

FEWEST_ROWS = 32
"""Least number of windows, padding included: functions are compiled for each number."""


class Segment(NamedTuple):
    """Recorded states `x[T + 1, n]` and applied actions `u[T, m]` without a gap.

    `before[m]` is the action applied before the first state; None at the start of an episode.
    """

    x: np.ndarray
    u: np.ndarray
    before: np.ndarray | None = None

    def part(self, first: int, last: int) -> "Segment":
        """Return the steps from `first` up to but not including `last`."""
        before = self.u[first - 1] if first else self.before
        return Segment(self.x[first : last + 1], self.u[first:last], before)


class Windows(NamedTuple):
    """W windows: `x[W, L + 1, n]`, `u[W, L, m]`, and a weight [W], which is 0 for padding.

    All in JAX's default precision.
    """

    x: np.ndarray
    u: np.ndarray
    weight: np.ndarray


def split_at_nonfinite(segments: list[Segment]) -> list[Segment]:
    """Split segments at steps with a number that is not finite, such as those of a failed sensor.

    The step after an action that is not finite is left out, too, since its state may hold that action.
    """
    finite = []
    for segment in segments:
        states, actions = (np.all(np.isfinite(part), axis=1) for part in (segment.x, segment.u))
        begun = segment.before is None or bool(np.all(np.isfinite(segment.before)))
        known = np.concatenate([np.array([begun]), actions[:-1]])
        usable = states[:-1] & states[1:] & actions & known
        edges = np.flatnonzero(np.diff(np.concatenate([[False], usable, [False]]).astype(int)))
        finite += [segment.part(int(first), int(last)) for first, last in edges.reshape(-1, 2)]
    return finite


def make_windows(segments: list[Segment], length: int, count: int) -> Windows:
    """Return `count` windows of `length` steps, evenly spaced over `segments`; padded if there are fewer.

    Raises:
        ValueError: no segment is long enough for a window.
    """
    starts = [(i, t) for i, segment in enumerate(segments) for t in range(segment.u.shape[0] - length + 1)]
    if not starts:
        longest = max((segment.u.shape[0] for segment in segments), default=0)
        raise ValueError(f"the data has no stretch of {length} steps; the longest has {longest}")
    chosen = np.unique(np.linspace(0, len(starts) - 1, count).round().astype(int))
    return _at(segments, [starts[i] for i in chosen], length, count)


def make_disjoint_windows(segments: list[Segment], length: int, most: int) -> Windows:
    """Return at most `most` windows of `length` steps without overlap, padded to a power of two.

    Raises:
        ValueError: no segment is long enough for a window.
    """
    rows = []
    for i, segment in enumerate(segments):
        count = len(segment.u) // length
        rows += [(i, int(t)) for t in np.linspace(0, len(segment.u) - length, count).round()]
    if not rows:
        longest = max((segment.u.shape[0] for segment in segments), default=0)
        raise ValueError(f"the data has no stretch of {length} steps; the longest has {longest}")
    if len(rows) > most:
        rows = [rows[k] for k in np.linspace(0, len(rows) - 1, most).round().astype(int)]
    size = max(FEWEST_ROWS, 2 ** int(np.ceil(np.log2(len(rows)))))
    return _at(segments, rows, length, size)


def _at(segments: list[Segment], rows: list[tuple[int, int]], length: int, count: int) -> Windows:
    """Return windows that begin at the `(segment, step)` of each row, padded to `count`."""
    weight = np.arange(count) < len(rows)
    rows = rows + [rows[0]] * (count - len(rows))
    x = np.stack([segments[i].x[t : t + length + 1] for i, t in rows])
    u = np.stack([segments[i].u[t : t + length] for i, t in rows])
    return Windows(*(part.astype(jax.dtypes.canonicalize_dtype(float)) for part in (x, u, weight)))


def append_action_history(segments: list[Segment], actions: int) -> list[Segment]:
    """Append to each state the last `actions` (0 or 1) applied actions; zeros before the first one."""
    if actions == 0:
        return segments

    def with_last(segment: Segment) -> Segment:
        before = np.zeros_like(segment.u[:1]) if segment.before is None else segment.before[None]
        last = np.concatenate([before, segment.u])
        return Segment(np.concatenate([segment.x, last], axis=1), segment.u)

    return [with_last(segment) for segment in segments]


def typical_change(windows: Windows) -> np.ndarray:
    """Return a tenth of the root mean square change of each state over a window [n], the unit of errors."""
    change = (windows.x[:, -1] - windows.x[:, 0])[windows.weight > 0]
    return np.maximum(0.1 * np.sqrt(np.mean(change**2, axis=0)), 1e-3)
