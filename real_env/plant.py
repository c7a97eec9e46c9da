"""What a plant is to the loop: something that holds a command for one control step and answers.

Notation
    x   state (q, qd), as the plant reports it    [n]   SI units
    u   command, each component in [-1, 1]        [m]   scaled to the actuator by the plant
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from protos.hds import v1


class Reading(NamedTuple):
    """What a plant tells at the end of a control step.

    Attributes:
        x: state [n], float32.
        terminated: whether the plant has left its safe set.
        u_applied: what the plant really applied [m], if it knows better than the loop; else None.
        ended: whether the plant can't go on, without having left its safe set: the episode is truncated.
    """

    x: np.ndarray
    terminated: bool
    u_applied: np.ndarray | None = None
    ended: bool = False


@dataclass(frozen=True)
class PlantSpec:
    """What the plant offers.

    Attributes:
        name: as in `--plant`.
        state_names: n names with units, in the order of x.
        action_names: m names with units, in the order of u.
        control_dt: control step [s], > 0.
        parameters: constants of the plant, for the record only; never sent to the trainer.
        real_time: whether it moves by itself, so that only the wall clock fits it.
        live: whether it moves as it is told; a recording does not, and nothing is learned from it.
    """

    name: str
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    control_dt: float
    parameters: dict[str, list[float]]
    live: bool = True
    real_time: bool = False

    def message(self) -> v1.PlantSpec:
        """Return what goes over the wire."""
        return v1.PlantSpec(
            name=self.name,
            state_names=self.state_names,
            action_names=self.action_names,
            control_dt_s=self.control_dt,
        )


class Plant(Protocol):
    """A real machine or its stand-in. The policy cannot tell which one it drives."""

    spec: PlantSpec

    def reset(self) -> Reading:
        """Bring the plant to a start state and return it."""
        ...

    def exchange(self, command: np.ndarray) -> Reading:
        """Hold `command[m]` over one control step and return the reading at its end."""
        ...

    def close(self) -> None:
        """Leave the plant without torque."""
        ...
