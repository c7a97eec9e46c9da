"""Percentiles of times, in memory that does not grow."""

import numpy as np

_EDGES_MS = np.logspace(-3.0, 4.0, 281)
"""40 bins in each decade from 1 µs to 10 s: a percentile is right within 6 %."""


class Spread:
    """How often which time was seen [ms]."""

    def __init__(self) -> None:
        self._counts = np.zeros(len(_EDGES_MS) + 1, np.int64)
        self._worst = 0.0

    def add(self, milliseconds: float) -> None:
        """Count one time."""
        self._counts[np.searchsorted(_EDGES_MS, milliseconds)] += 1
        self._worst = max(self._worst, milliseconds)

    def include(self, other: "Spread") -> None:
        """Count all that `other` counted."""
        self._counts += other._counts
        self._worst = max(self._worst, other._worst)

    def percentiles(self) -> dict[str, float]:
        """Return p50, p99 and the worst [ms]; zeros before anything was counted."""
        seen = np.cumsum(self._counts)
        tops = np.append(_EDGES_MS, np.inf)
        at = {
            name: float(tops[np.searchsorted(seen, share * seen[-1])])
            for name, share in (("p50", 0.5), ("p99", 0.99))
        }
        return {name: min(value, self._worst) for name, value in at.items()} | {"worst": self._worst}
