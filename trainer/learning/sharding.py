"""Spread the trajectories of an epoch over all devices.

The roll-outs, Jacobians and searches of the batch are independent, so its axis is split over the devices
of a mesh; the networks are the same everywhere. Nothing in the numerics knows of it: XLA partitions the
compiled epoch by where its arguments lie.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from trainer.learning.pods_state import PODSState
from trainer.learning.trajectory import Theta

AXIS = "batch"


def batch_mesh(batch: int, devices: Sequence[Any] | None = None) -> Mesh:
    """Return a mesh of the most devices that divide `batch`; all of JAX's devices unless told."""
    devices = jax.devices() if devices is None else devices
    count = max(size for size in range(1, len(devices) + 1) if batch % size == 0)
    return Mesh(np.asarray(devices[:count]), (AXIS,))


def spread(mesh: Mesh, state: PODSState, theta: Theta) -> tuple[PODSState, Theta]:
    """Lay start states, labels and model parameters out over `mesh`; copy everything else to each device."""

    def place(tree: Any, *axes: str | None) -> Any:
        return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(*axes)))

    rows = {"x": place(state.x, AXIS), "left": place(state.left, AXIS)}
    rows |= {name: place(getattr(state, name), None, AXIS) for name in ("actions", "costs")}
    copied = {name: place(getattr(state, name)) for name in PODSState._fields if name not in rows}
    return PODSState(**rows, **copied), place(theta, AXIS)
