"""A cart-pole that hangs still, whatever it is told."""

import numpy as np

from real_env.plant import PlantSpec, Reading

NAMES = ("cart [m]", "pole [rad]", "cart velocity [m/s]", "pole velocity [rad/s]")


class Still:
    """Costs nothing."""

    def __init__(self, seed: int) -> None:
        del seed
        self.spec = PlantSpec("still", NAMES, ("push [100 N]",), 0.04, {}, real_time=False)

    def reset(self) -> Reading:
        return Reading(np.array([0.0, 3.1, 0.0, 0.0], np.float32), False)

    def exchange(self, command: np.ndarray) -> Reading:
        del command
        return self.reset()

    def close(self) -> None:
        """Nothing to release."""
