"""Fault injection: delays, noise, quantisation, dropout, frozen and invalid sensors, dead band.

`FaultyPlant` wraps any plant. Sensor faults change the reported states, not the true ones. Termination is
reported without faults.
"""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from real_env.plant import Plant, PlantSpec, Reading, reader


@dataclass(frozen=True)
class Faults:
    """Injected faults; none by default."""

    action_delay: int = 0
    """Delay of commands [control steps]."""
    dead_band: float = 0.0
    """Commands up to this magnitude have no effect, in [0, 1]."""
    sensor_delay: int = 0
    """Delay of readings [control steps]."""
    noise: tuple[float, ...] = ()
    """Standard deviation of the noise of each state [its unit]; one number applies to all."""
    quantum: tuple[float, ...] = ()
    """Resolution of each state [its unit], 0 is exact; one number applies to all."""
    drop_out: float = 0.0
    """Probability per tick that a reading is lost and the previous one is reported again."""
    freeze: float = 0.0
    """Probability per tick that the sensor of one state freezes until the next episode."""
    nan: float = 0.0
    """Probability per tick that one state is NaN."""

    def check(self) -> None:
        """Check the bounds.

        Raises:
            ValueError: naming the fault, the value and the bounds.
        """
        bounds = {"action_delay": math.inf, "sensor_delay": math.inf}
        shares = ("dead_band", "drop_out", "freeze", "nan")
        for name, most in bounds.items() | {(name, 1.0) for name in shares}:
            value = getattr(self, name)
            if not 0.0 <= value <= most:
                top = f" and at most {most:g}" if math.isfinite(most) else ""
                raise ValueError(f"the fault {name} must be at least 0{top}; got {value:g}")
        for name in ("noise", "quantum"):
            values = getattr(self, name)
            if not all(0.0 <= value < math.inf for value in values):
                raise ValueError(
                    f"the fault {name} must be finite and at least 0 for each state; got {values}"
                )

    def any(self) -> bool:
        """Return whether any fault is injected."""
        return self != Faults()


class FaultyPlant:
    """A plant with injected faults. The same seed and commands give the same faults.

    Raises:
        ValueError: a fault is out of bounds, or `noise` or `quantum` has neither one number nor one per
        state.
    """

    def __init__(self, plant: Plant, faults: Faults, seed: int) -> None:
        faults.check()
        size = len(plant.spec.state_names)
        self.spec: PlantSpec = plant.spec
        self._plant, self._faults = plant, faults
        self._noise, self._quantum = (
            _per_state(name, getattr(faults, name), size) for name in ("noise", "quantum")
        )
        self._random = np.random.default_rng([seed, 3])
        self._commands: deque[np.ndarray] = deque()
        self._readings: deque[np.ndarray] = deque()
        self._reported = np.zeros(size, np.float32)
        self._frozen = np.zeros(size, bool)
        self._sound_read = reader(plant)
        if self._sound_read is not None:
            self.read = self._faulty_read

    def reset(self) -> Reading:
        """Reset the plant, the delays and frozen sensors."""
        first = self._plant.reset()
        rest = np.zeros(len(self.spec.action_names), np.float32)
        self._commands = deque([rest] * self._faults.action_delay)
        self._readings = deque([first.x] * self._faults.sensor_delay)
        self._frozen[:] = False
        self._reported = first.x
        return Reading(self._report(first.x), first.terminated)

    def exchange(self, command: np.ndarray) -> Reading:
        """Apply the faulty command for one control step, and return the faulty reading."""
        self._commands.append(
            np.where(np.abs(command) <= self._faults.dead_band, 0.0, command).astype(np.float32)
        )
        after = self._plant.exchange(self._commands.popleft())
        return after if self._sound_read is not None else after._replace(x=self._report(after.x))

    def _faulty_read(self) -> Reading:
        """Return the faulty reading of a plant that has `read`."""
        assert self._sound_read is not None
        after = self._sound_read()
        return after._replace(x=self._report(after.x))

    def close(self) -> None:
        """Close the plant."""
        self._plant.close()

    def _report(self, x: np.ndarray) -> np.ndarray:
        """Return the reported state for x[n]."""
        self._readings.append(x)
        seen = self._readings.popleft() + self._noise * self._random.normal(size=x.shape)
        steps = np.where(self._quantum > 0.0, self._quantum, 1.0)
        seen = np.where(self._quantum > 0.0, steps * np.round(seen / steps), seen)
        if self._happens(self._faults.freeze):
            self._frozen[self._random.integers(len(x))] = True
        lost = self._frozen | self._happens(self._faults.drop_out)
        self._reported = np.where(lost, self._reported, seen).astype(np.float32)
        if not self._happens(self._faults.nan):
            return self._reported
        blind = self._reported.copy()
        blind[self._random.integers(len(x))] = np.nan
        return blind

    def _happens(self, probability: float) -> bool:
        return bool(self._random.uniform() < probability)


def _per_state(name: str, values: tuple[float, ...], size: int) -> np.ndarray:
    if len(values) not in {0, 1, size}:
        raise ValueError(
            f"the fault {name} takes one number, or {size}, one for each state; got {len(values)}"
        )
    return np.broadcast_to(np.asarray(values or 0.0, float), size)
