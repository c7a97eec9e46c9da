"""A rig that hangs still and notes when it was commanded; it writes that down when it is closed."""

import os
import time
from pathlib import Path

import numpy as np

from real_env.plant import PlantSpec, Reading

NAMES = ("cart [m]", "pole [rad]", "cart velocity [m/s]", "pole velocity [rad/s]")


class Timed:
    """Returns at once, and has `read`."""

    def __init__(self, seed: int) -> None:
        self.spec = PlantSpec("timed", NAMES, ("push [100 N]",), 0.04, {})
        self.random = np.random.default_rng(seed)
        self.called: list[int] = []

    def reset(self) -> Reading:
        return self.read()

    def exchange(self, command: np.ndarray) -> Reading:
        del command
        self.called.append(time.monotonic_ns())
        return self.read()

    def read(self) -> Reading:
        x = np.array([0.0, 3.0, 0.0, 0.0]) + 0.1 * self.random.normal(size=4)
        return Reading(x.astype(np.float32), False)

    def close(self) -> None:
        Path(os.environ["HDS_TEST_LOG"]).write_text("\n".join(map(str, self.called)))
