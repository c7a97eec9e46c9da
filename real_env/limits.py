"""Limits on the plant's side, for the actions of policy, excitation and fallback law.

Notation
    x   state           [n]   the plant's units
    u   action          [m]   in [-1, 1]
"""

import math
from dataclasses import dataclass

import numpy as np

from real_env.plant import PlantSpec


@dataclass(frozen=True)
class Limits:
    """Limits; by default only |u| <= 1."""

    action: float = 1.0
    """Largest action, in (0, 1]."""
    slew: float = math.inf
    """Largest change of an action [1/s], above 0."""
    state: tuple[float, ...] = ()
    """Largest magnitude of each state, positions and velocities in the plant's order; inf for none. Beyond
    it, zero is commanded and the episode ends."""
    latch: bool = False
    """A state beyond its limit latches the emergency stop."""

    def check(self, spec: PlantSpec) -> None:
        """Check the limits for a plant.

        Raises:
            ValueError: naming the limit, the value and the bounds.
        """
        if not 0.0 < self.action <= 1.0:
            raise ValueError(f"--limits.action must be above 0 and at most 1; got {self.action:g}")
        if not self.slew > 0.0:
            raise ValueError(f"--limits.slew [1/s] must be above 0; got {self.slew:g}")
        if self.state and len(self.state) != len(spec.state_names):
            raise ValueError(
                f"--limits.state needs a number for each of {', '.join(spec.state_names)}; "
                f"got {len(self.state)}"
            )
        if not all(value > 0.0 for value in self.state):
            raise ValueError(f"--limits.state must be above 0 for each state; got {self.state}")

    def applied(self, u: np.ndarray, u_last: np.ndarray, control_dt: float) -> tuple[np.ndarray, str]:
        """Return the limited u[m] after u_last[m], and which limit changed it (empty: none).

        After an action beyond its limit the two limits may conflict; then magnitude has priority over slew.
        """
        step = self.slew * control_dt
        within = np.clip(u, -self.action, self.action)
        slow = np.clip(within, u_last - step, u_last + step)
        slow = np.clip(slow, -self.action, self.action).astype(np.float32)
        reasons = [
            f"limited to a size of {self.action:g}" if np.any(within != u) else "",
            f"limited to a change of {self.slew:g} per second"
            if np.any(np.abs(slow - within) > 1e-6)
            else "",
        ]
        return slow, ", ".join(filter(None, reasons))

    def beyond(self, x: np.ndarray, spec: PlantSpec) -> str:
        """Return a message about a state of x[n] beyond its limit; empty if there is none.

        NaN is not detected here: `readings.checked` rejects it.
        """
        for name, value, most in zip(spec.state_names, x, self.state, strict=False):
            if abs(value) > most:
                return f"{name} is {value:.4g}, beyond its limit of {most:g}"
        return ""
