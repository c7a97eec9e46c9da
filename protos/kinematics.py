"""Checks that a velocity is the derivative of its position: signs and units of columns.

Notation
    t, q, v  times [s], position and velocity of one joint            [T + 1]
    dq       change of the position over LAG_S                        [K]
    vm       the same change, integrated from the velocity            [K]
    b        slope of dq over vm, 1 if they agree; between `low` and `high`, because noise of the velocity
             lowers one estimate and noise of the position raises the other
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

LAG_S = 0.4
"""Time over which positions and velocities are compared [s]. A longer one reduces the effect of noise."""
Segment = tuple[np.ndarray, np.ndarray, np.ndarray]
"""(t, q, v) without a gap."""
LEAST_STEPS = 20
SLOPE = (0.7, 1.4)
"""Accepted range of b, wider than the effect of sampling."""
MOVED = 4.0
"""A joint has moved if its position changed by this multiple of its noise."""
UNITS = {180.0 / np.pi: "deg", 1e3: "thousandths", 30.0 / np.pi: "rpm", 2.0 * np.pi: "turns"}
"""Ratios of common units."""
STILL, ZERO, UNLIKE, OPPOSITE, SCALED, AGREE = "still", "zero", "unlike", "opposite", "scaled", "agree"


class Agreement(NamedTuple):
    """How a velocity agrees with its position.

    Attributes:
        verdict: `still` (the joint did not move), `zero`, `unlike`, `opposite`, `scaled` or `agree`.
        factor: the velocity over how fast the position changes; 1 if they agree, negative if opposite.
        words: a message that follows the velocity's name; empty if they agree.
    """

    verdict: str
    factor: float
    words: str


def agreement(segments: Iterable[Segment], position: str) -> Agreement:
    """Compare q and v of segments without gaps; `position` is the position's name, for the message."""
    known = [
        (np.asarray(t), np.asarray(q, float), np.asarray(v, float)) for t, q, v in segments if len(t) > 1
    ]
    dq, vm = _changes(known)
    if len(dq) < LEAST_STEPS:
        return Agreement(STILL, 1.0, "")
    moved, measured, covariance = (float(np.sum(part)) for part in (dq**2, vm**2, dq * vm))
    if np.sqrt(moved / len(dq)) <= MOVED * max(noise([q[:, None] for _, q, _ in known])[0], 1e-6):
        return Agreement(STILL, 1.0, "")
    if measured < 1e-6 * moved:
        return Agreement(ZERO, 0.0, f"is zero while {position} moves")
    alike = covariance / np.sqrt(moved * measured)
    if abs(alike) < 0.25:
        words = f"does not follow how {position} changes: their correlation is {alike:.2f}"
        return Agreement(UNLIKE, 0.0, words)
    return _compared(covariance / measured, moved / covariance, position)


def _compared(low: float, high: float, position: str) -> Agreement:
    factor = 1.0 / low
    if low < 0.0:
        off = "" if _may_be_one(-low, -high) else f", and is off by the factor {-factor:.3g}"
        return Agreement(OPPOSITE, factor, f"has the opposite sign of how {position} changes{off}")
    if not _may_be_one(low, high):
        words = f"is {factor:.3g} times how fast {position} changes{unit_of(factor)}"
        return Agreement(SCALED, factor, words)
    return Agreement(AGREE, factor, "")


def noise(segments: Iterable[np.ndarray]) -> np.ndarray:
    """Return an upper estimate of the standard deviation of noise [n] of x[T + 1, n], by third differences.

    Noise of deviation σ has third differences of deviation σ √20; the median is robust to collisions.
    """
    segments = list(segments)
    jumps = [np.diff(x, n=3, axis=0) for x in segments if len(x) > 3]
    if not jumps:
        return np.zeros(segments[0].shape[1])
    return np.median(np.abs(np.concatenate(jumps)), axis=0) / (0.6745 * np.sqrt(20.0))


def unit_of(factor: float) -> str:
    """Return a remark on the unit that explains a factor; empty if none does."""
    for known, name in UNITS.items():
        if abs(abs(np.log(factor)) - np.log(known)) < 0.2:
            return f", as if one of them were in {name}"
    return ""


def _changes(segments: Iterable[Segment]) -> tuple[np.ndarray, np.ndarray]:
    dq, vm = [np.zeros(0)], [np.zeros(0)]
    for t, q, v in segments:
        gaps = np.diff(t)
        lag = min(max(1, round(LAG_S / float(np.median(gaps)))), len(q) - 1)
        covered = np.concatenate([[0.0], np.cumsum(0.5 * gaps * (v[:-1] + v[1:]))])
        dq.append(q[lag:] - q[:-lag])
        vm.append(covered[lag:] - covered[:-lag])
    return np.concatenate(dq), np.concatenate(vm)


def _may_be_one(low: float, high: float) -> bool:
    return low <= SLOPE[1] and high >= SLOPE[0]
