"""A rig that does what its seed says: hangs, raises, reads nonsense. It notes every call in $HDS_TEST_LOG."""

import os
import time

import numpy as np

from real_env.plant import PlantSpec, Reading

NAMES = ("cart [m]", "pole [rad]", "cart velocity [m/s]", "pole velocity [rad/s]")
MODES = (
    "sound",
    "reset hangs",
    "exchange hangs",
    "close hangs",
    "exchange raises",
    "reads nonsense",
    "init raises",
)
SOUND_STEPS = 20
"""How many commands are carried out before it goes wrong."""


class Unruly:
    """Returns at once, and has `read`."""

    def __init__(self, seed: int) -> None:
        self.mode, self.commands = MODES[seed], 0
        self.spec = PlantSpec("unruly", NAMES, ("push [100 N]",), 0.04, {})
        self.log = open(os.environ["HDS_TEST_LOG"], "a", buffering=1)  # noqa: SIM115
        if self.mode == "init raises":
            raise RuntimeError("the motor driver does not answer")

    def note(self, what: str) -> None:
        print(time.monotonic_ns(), what, file=self.log)

    def hang(self) -> None:
        self.note("hangs")
        while True:
            time.sleep(1.0)

    def reset(self) -> Reading:
        if self.mode == "reset hangs":
            self.hang()
        return self.read()

    def exchange(self, command: np.ndarray) -> Reading:
        self.note(f"command {float(command[0])}")
        self.commands += 1
        wrong = self.commands >= SOUND_STEPS
        if wrong and self.mode == "exchange hangs":
            self.hang()
        if wrong and self.mode == "exchange raises":
            raise OSError("the device is gone")
        return self.read()

    def read(self) -> Reading:
        x = np.array([0.0, 3.0, 0.1, 0.0], np.float32)
        if self.mode == "reads nonsense" and self.commands >= SOUND_STEPS:
            x[2] = -np.inf
        return Reading(x, False)

    def close(self) -> None:
        self.note("close")
        if self.mode == "close hangs":
            self.hang()
        self.note("closed")
