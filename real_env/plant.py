"""The interface of plants: hold a command for one control step and return a reading.

Notation
    x   state (q, qd), as the plant reports it    [n]   SI units
    u   command, each component in [-1, 1]        [m]   scaled to the actuator by the plant
    dt  control step                                    [s]
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from protos.hds import v1


class Reading(NamedTuple):
    """State of the plant at the end of a control step.

    Attributes:
        x: state [n], float32, a new array each time.
        terminated: whether the plant has left its safe set.
        u_applied: the action that the plant applied [m], if it differs from the command; else None.
        ended: whether the plant cannot continue although it is in its safe set; the episode is truncated.
        cause: why the plant ended the episode, if `terminated` and `ended` do not say enough:
            `END_CAUSE_PLANT_LIMIT` or `END_CAUSE_PLANT_WATCHDOG` if it has removed its torque by itself,
            which latches the emergency stop; `END_CAUSE_RECORDING` at the end of a recording.
    """

    x: np.ndarray
    terminated: bool
    u_applied: np.ndarray | None = None
    ended: bool = False
    cause: v1.EndCause = v1.END_CAUSE_UNSPECIFIED


class NoReading(RuntimeError):
    """Raised by a plant without a reading in this control step: a miss; zero is commanded."""


class Diverged(RuntimeError):
    """Raised by a simulated plant whose state is not finite any more; the episode ends."""


class PlantLost(OSError):
    """Raised by a plant that is lost, such as a device that was unplugged."""


@dataclass(frozen=True)
class PlantSpec:
    """Description of a plant.

    Attributes:
        name: as in `--plant`.
        state_names: n names with units, in the order of x.
        action_names: m names with units, in the order of u.
        control_dt: control step [s], > 0.
        parameters: constants of the plant, for the record only; never sent to the trainer.
        live: whether commands have an effect; False for a recording, from which nothing is learned.
        real_time: whether the plant moves between calls and needs the wall clock. False for a simulation that
            advances only in `exchange`.
        state_bounds: largest plausible magnitude of each state [its unit]; larger readings are invalid.
            Empty: 1e6 each.
    """

    name: str
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    control_dt: float
    parameters: dict[str, list[float]]
    live: bool = True
    real_time: bool = True
    state_bounds: tuple[float, ...] = ()

    def message(self) -> v1.PlantSpec:
        """Return the message of the wire."""
        return v1.PlantSpec(
            name=self.name,
            state_names=self.state_names,
            action_names=self.action_names,
            control_dt_s=self.control_dt,
        )


class Plant(Protocol):
    """A physical or simulated plant.

    `reset`, `exchange` and `read` are called one at a time, in another thread than the one that created the
    plant. `close` may be called from yet another thread while one of them hangs.

    A plant that moves between calls (`spec.real_time`) is driven by the wall clock. The loop calls `exchange`
    up to 0.8 dt (`--deadline`) after a tick, when the action has arrived. Then either

    - `exchange` waits until the next tick of the plant, at an absolute time (`start + k dt`), and returns the
      reading of that time, at most 0.1 dt after the tick. It must not wait for dt from the call on: each step
      would then take dt plus the time of an answer, and the loop would drift. Or
    - `exchange` returns at once, and the plant has a method `read() -> Reading`, which the loop calls at the
      next tick.

    A call that lasts until 0.6 dt after the next tick hangs: the plant is closed and the emergency stop
    latched.
    """

    spec: PlantSpec

    def reset(self) -> Reading:
        """Bring the plant to a start state and return its reading; this may take long."""
        ...

    def exchange(self, command: np.ndarray) -> Reading:
        """Hold `command[m]` over one control step and return the reading at its end.

        Raises:
            NoReading: there is no reading this time; the loop goes on, without torque.
            Diverged: a simulated plant cannot continue; the next call is `reset`.
            Exception: any other error means that the plant is lost; the loop releases it and latches the
                emergency stop.
        """
        ...

    def close(self) -> None:
        """Leave the plant without torque, even while another call hangs. May be called twice."""
        ...


def reader(plant: Plant) -> Callable[[], Reading] | None:
    """Return the plant's `read`, if it has one."""
    return getattr(plant, "read", None)
