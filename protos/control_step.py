"""Comparison of control steps."""

TOLERANCE = 1e-6
"""Relative tolerance. Rounding to single precision changes a step by up to 6e-8."""


def same_step(one: float, other: float) -> bool:
    """Return whether two control steps [s] are equal up to rounding."""
    return abs(one - other) <= TOLERANCE * max(abs(one), abs(other))
