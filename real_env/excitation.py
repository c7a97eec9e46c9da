"""Excitation: random steps added to the policy's actions while data is collected.

A failing policy may leave the plant at rest, where friction cannot be identified. Random steps that are held
for a while move it at many speeds.
"""

import numpy as np

HOLD_S = 0.2


class Excitation:
    """Steps drawn uniformly from [−amplitude, amplitude], each held for 0.2 s."""

    def __init__(self, amplitude: float, control_dt: float, size: int, seed: int) -> None:
        self._amplitude = amplitude
        self._hold = max(1, round(HOLD_S / control_dt))
        self._size = size
        self._random = np.random.default_rng([seed, 2])
        self._step = np.zeros(size, np.float32)

    def __call__(self, tick: int) -> np.ndarray:
        """Return the excitation of u[m] at `tick`, counted from 0 in each episode."""
        if tick % self._hold == 0:
            drawn = self._random.uniform(-self._amplitude, self._amplitude, self._size)
            self._step = drawn.astype(np.float32)
        return self._step


def no_excitation(tick: int) -> float:
    """Return zero."""
    del tick
    return 0.0
