"""A simulated pendulum that somebody moves by hand from the third second on, wired in many ways."""

import numpy as np

from real_env.plant import PlantSpec, Reading


class Swing:
    """Wired as the task `pendulum` says."""

    motor, zero, velocity_factor = 1.0, 0.0, 1.0

    def __init__(self, seed: int) -> None:
        del seed
        names = "angle [rad]", "velocity [rad/s]"
        self.spec = PlantSpec("swing", names, ("torque [2 N·m]",), 0.05, {}, real_time=False)
        self.q, self.v, self.k = np.pi, 0.0, 0

    def reset(self) -> Reading:
        return self.read()

    def exchange(self, command: np.ndarray) -> Reading:
        self.k += 1
        hand = 6.0 * np.sin(0.2 * self.k) if 60 < self.k < 200 else 0.0
        for _ in range(50):
            motor = 8.0 * self.motor * float(command[0])
            friction = 2.5 * self.v + 0.3 * np.tanh(self.v / 0.01)
            self.v += 1e-3 * (-15.0 * np.sin(self.q - np.pi) + hand + motor - friction)
            self.q += 1e-3 * self.v
        return self.read()

    def read(self) -> Reading:
        x = np.array([self.q + self.zero, self.velocity_factor * self.v], np.float32)
        return Reading(x, False)

    def close(self) -> None:
        """Nothing to release."""


class Backwards(Swing):
    """The motor's wires are swapped."""

    motor = -1.0


class Hanging(Swing):
    """The encoder's zero is at hanging."""

    zero = -np.pi


class Degrees(Swing):
    """The velocity comes in degrees."""

    velocity_factor = 180.0 / np.pi


class Negated(Swing):
    """The velocity has the wrong sign."""

    velocity_factor = -1.0


class NoVelocity(Swing):
    """The velocity is always zero."""

    velocity_factor = 0.0
