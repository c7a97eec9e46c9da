"""A cart-pole that hangs still at 100 Hz, and notes in $HDS_NOTES when it was commanded, and by whom."""

import mmap
import os
import time
from pathlib import Path

import numpy as np

from real_env.plant import PlantSpec, Reading

NAMES = ("cart [m]", "pole [rad]", "cart velocity [m/s]", "pole velocity [rad/s]")
DT_S, MOST = 0.01, 1_000_000
NOTE = np.dtype([("at_ns", np.int64), ("pushed", np.int64)])


class Noting:
    """With a fallback of zero, whatever pushes is a policy."""

    def __init__(self, seed: int) -> None:
        del seed
        self.spec = PlantSpec("noting", NAMES, ("push [100 N]",), DT_S, {}, real_time=False)
        path = Path(os.environ["HDS_NOTES"])
        with path.open("wb") as file:
            file.truncate(MOST * NOTE.itemsize)
        with path.open("r+b") as file:
            self._notes = np.frombuffer(mmap.mmap(file.fileno(), 0), NOTE)
        self._count = 0

    def reset(self) -> Reading:
        return Reading(np.array([0.1, 2.0, 0.3, -1.0], np.float32), False)

    def exchange(self, command: np.ndarray) -> Reading:
        self._notes[self._count] = (time.monotonic_ns(), command.any())
        self._count += 1
        return self.reset()

    def close(self) -> None:
        """Nothing to release."""


def notes_of(path: Path) -> np.ndarray:
    """Return the notes so far, as an array of `NOTE`."""
    notes = np.fromfile(path, NOTE)
    return notes[notes["at_ns"] > 0]
