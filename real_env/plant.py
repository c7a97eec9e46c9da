"""What a plant is to the loop: something that holds a command for one control step and answers.

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
    """What a plant says at the end of a control step.

    Attributes:
        x: state [n], float32, a new array each time.
        terminated: whether the plant has left its safe set.
        u_applied: what the plant really applied [m], if it knows better than the loop; else None.
        ended: whether the plant can't go on, without having left its safe set: the episode is truncated.
        cause: why the plant ended the episode, where there is more to say than `terminated` and `ended` do:
            `END_CAUSE_PLANT_LIMIT` or `END_CAUSE_PLANT_WATCHDOG` if it has let go by itself, which latches
            the emergency stop; `END_CAUSE_RECORDING` at the end of a recording.
    """

    x: np.ndarray
    terminated: bool
    u_applied: np.ndarray | None = None
    ended: bool = False
    cause: v1.EndCause = v1.END_CAUSE_UNSPECIFIED


class NoReading(RuntimeError):
    """Raised by a plant that got no reading in this control step: a miss, and zero is commanded."""


class Diverged(RuntimeError):
    """Raised by a simulated plant whose numbers left the finite range; the episode ends there."""


class PlantLost(OSError):
    """Raised by a plant that is gone for good, such as a device that was unplugged."""


@dataclass(frozen=True)
class PlantSpec:
    """What the plant offers.

    Attributes:
        name: as in `--plant`.
        state_names: n names with units, in the order of x.
        action_names: m names with units, in the order of u.
        control_dt: control step [s], > 0.
        parameters: constants of the plant, for the record only; never sent to the trainer.
        live: whether it moves as it is told; a recording does not, and nothing is learned from it.
        real_time: whether it moves by itself, so that only the wall clock fits it. False for a simulation
            that stands still between two calls.
        state_bounds: largest size of each state that can be true [its unit]; a reading beyond is not usable.
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
        """Return what goes over the wire."""
        return v1.PlantSpec(
            name=self.name,
            state_names=self.state_names,
            action_names=self.action_names,
            control_dt_s=self.control_dt,
        )


class Plant(Protocol):
    """A real machine or its stand-in. The policy cannot tell which one it drives.

    `reset`, `exchange` and `read` are called one after the other, in a thread that is not the one that made
    the plant. `close` may be called from another thread while one of them hangs.

    A plant that moves by itself (`spec.real_time`) is driven by the wall clock. The loop calls `exchange` up
    to 0.8 dt (`--deadline`) after a tick, when the action is there. Then either

    - `exchange` waits until the plant's own next tick, at an absolute time (`start + k dt`), and returns the
      reading of that moment, at most 0.1 dt after the tick. It must not wait for dt from the call on: each
      step would then take dt and the time of an answer, and the loop would slip. Or
    - `exchange` returns at once, and the plant has a method `read() -> Reading`, which the loop calls at the
      next tick.

    A call that lasts to 0.6 dt after the next tick hangs: the plant is closed, and the stop latched.
    """

    spec: PlantSpec

    def reset(self) -> Reading:
        """Bring the plant to a start state and return it; this may take long."""
        ...

    def exchange(self, command: np.ndarray) -> Reading:
        """Hold `command[m]` over one control step and return the reading at its end.

        Raises:
            NoReading: there is none this time; the loop goes on, without torque.
            Diverged: a simulated plant can't go on; the next call is `reset`.
            Exception: anything else is a plant that is lost: the loop lets it go and latches the stop.
        """
        ...

    def close(self) -> None:
        """Leave the plant without torque, also while another call hangs; calling it twice is harmless."""
        ...


def reader(plant: Plant) -> Callable[[], Reading] | None:
    """Return the plant's `read`, if it has one."""
    return getattr(plant, "read", None)
