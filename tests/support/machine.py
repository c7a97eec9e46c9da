"""A plant of the wall clock that can hang."""

import threading
import time

import numpy as np

from real_env.plant import PlantSpec, Reading

DT = 0.04


class Machine:
    """A rig of the wall clock; `hang_at` is the command that never returns, until `go_on` is set."""

    def __init__(self, hang_at: int = -1, dt: float = DT, hold: str = "no") -> None:
        self.spec = PlantSpec("machine", ("q", "v"), ("push",), dt, {})
        self.hang_at, self.hold, self.dt = hang_at, hold, dt
        self.go_on = threading.Event()
        self.commands: list[float] = []
        self.called: list[float] = []
        self.closed: list[float] = []
        self.next_s = 0.0

    def reset(self) -> Reading:
        self.next_s = time.monotonic()
        return self.reading()

    def reading(self) -> Reading:
        return Reading(np.array([len(self.commands), 0.0], np.float32), False)

    def exchange(self, command: np.ndarray) -> Reading:
        self.called.append(time.monotonic())
        self.commands.append(float(command[0]))
        if len(self.commands) - 1 == self.hang_at:
            self.go_on.wait(20.0)
        if self.hold == "to its own tick":
            self.next_s += self.dt
            time.sleep(max(0.0, self.next_s - time.monotonic()))
        if self.hold == "for a control step":
            time.sleep(self.dt)
        return self.reading()

    def close(self) -> None:
        self.closed.append(time.monotonic())
