"""Recorded motion of a pendulum with friction."""

import numpy as np

from real_env.plants.mujoco_model import cart_pole
from trainer.dynamics.windows import Segment


def recorded(seed: int, amplitude: float = 1.0, noise: float = 0.0) -> Segment:
    """Return 5 s of a cart-pole with friction under held random actions, with noise on all sensors."""
    plant, random = cart_pole(seed), np.random.default_rng(seed)
    u = np.repeat(random.uniform(-amplitude, amplitude, 25), 5)[:, None].astype(np.float32)
    x = np.stack([plant.reset().x, *(plant.exchange(row).x for row in u)])
    return Segment((x + noise * random.normal(size=x.shape)).astype(np.float32), u)
