"""When two control steps are the same."""

TOLERANCE = 1e-6
"""Relative: a step in single precision is off by up to 6e-8, one that means something else by much more."""


def same_step(one: float, other: float) -> bool:
    """Return whether two control steps [s] are the same, but for rounding."""
    return abs(one - other) <= TOLERANCE * max(abs(one), abs(other))
