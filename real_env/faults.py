"""Faults on purpose: a plant that is late, noisy, coarse, stuck or blind, as real ones are.

Wrap any plant in `FaultyPlant` to see what the loop and the policy make of it. Faults of sensors change
what is told, never what is; whether the plant has left its safe set is told as it is.
"""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from real_env.plant import Plant, PlantSpec, Reading, reader


@dataclass(frozen=True)
class Faults:
    """What goes wrong; by default nothing does."""

    action_delay: int = 0
    """Commands act this many control steps late."""
    dead_band: float = 0.0
    """Commands of at most this size do nothing, in [0, 1]."""
    sensor_delay: int = 0
    """Readings are this many control steps old."""
    noise: tuple[float, ...] = ()
    """Standard deviation of each state [its unit]; one number stands for all."""
    quantum: tuple[float, ...] = ()
    """Each state is rounded to multiples of this [its unit], 0 is exact; one number stands for all."""
    drop_out: float = 0.0
    """Probability per tick that a reading is lost; the one before is told again."""
    freeze: float = 0.0
    """Probability per tick that one state's sensor freezes, until the next episode."""
    nan: float = 0.0
    """Probability per tick that one state is not a number."""

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
        """Return whether anything goes wrong."""
        return self != Faults()


class FaultyPlant:
    """`plant` with `faults`, drawn from `seed`; the same seed and commands give the same faults.

    Raises:
        ValueError: if a fault is out of bounds, or `noise` or `quantum` has neither one number nor one for
            each state.
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
        self._told = np.zeros(size, np.float32)
        self._frozen = np.zeros(size, bool)
        self._sound_read = reader(plant)
        if self._sound_read is not None:
            self.read = self._faulty_read

    def reset(self) -> Reading:
        """Reset the plant; delays begin with nothing, and frozen sensors work again."""
        first = self._plant.reset()
        rest = np.zeros(len(self.spec.action_names), np.float32)
        self._commands = deque([rest] * self._faults.action_delay)
        self._readings = deque([first.x] * self._faults.sensor_delay)
        self._frozen[:] = False
        self._told = first.x
        return Reading(self._tell(first.x), first.terminated)

    def exchange(self, command: np.ndarray) -> Reading:
        """Hold what is left of `command` for one control step; return what is left of the reading."""
        self._commands.append(
            np.where(np.abs(command) <= self._faults.dead_band, 0.0, command).astype(np.float32)
        )
        after = self._plant.exchange(self._commands.popleft())
        return after if self._sound_read is not None else after._replace(x=self._tell(after.x))

    def _faulty_read(self) -> Reading:
        """Return what is left of the reading of a plant that has `read`."""
        assert self._sound_read is not None
        after = self._sound_read()
        return after._replace(x=self._tell(after.x))

    def close(self) -> None:
        """Close the plant."""
        self._plant.close()

    def _tell(self, x: np.ndarray) -> np.ndarray:
        """Return what is told of x[n]."""
        self._readings.append(x)
        seen = self._readings.popleft() + self._noise * self._random.normal(size=x.shape)
        steps = np.where(self._quantum > 0.0, self._quantum, 1.0)
        seen = np.where(self._quantum > 0.0, steps * np.round(seen / steps), seen)
        if self._happens(self._faults.freeze):
            self._frozen[self._random.integers(len(x))] = True
        lost = self._frozen | self._happens(self._faults.drop_out)
        self._told = np.where(lost, self._told, seen).astype(np.float32)
        if not self._happens(self._faults.nan):
            return self._told
        blind = self._told.copy()
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
