"""Fallback laws: they act when no valid answer arrived in time."""

from collections.abc import Callable

import numpy as np

Fallback = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""`(x[n], u_last[m]) -> u[m]`, each component in [-1, 1]."""


def zero(x: np.ndarray, u_last: np.ndarray) -> np.ndarray:
    """Return zero."""
    del x
    return np.zeros_like(u_last)


def hold(x: np.ndarray, u_last: np.ndarray) -> np.ndarray:
    """Repeat the last applied action."""
    del x
    return u_last


def damping(x: np.ndarray, u_last: np.ndarray) -> np.ndarray:
    """Push against the velocity of the first joints, 0.1 per unit, within the limits."""
    joints = u_last.shape[0]
    velocity = x[x.shape[0] // 2 :][:joints]
    return np.clip(-0.1 * velocity, -1.0, 1.0).astype(np.float32)


FALLBACKS: dict[str, Fallback] = {"zero": zero, "damping": damping, "hold": hold}
