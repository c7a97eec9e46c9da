"""Shard the trajectories of an epoch over all devices.

The batch axis is split over the devices of a mesh, and the networks are replicated. XLA partitions the
compiled epoch by the sharding of its arguments, so the numerics do not depend on it.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from trainer.learning.pods_state import PODSState
from trainer.models.model import Theta

AXIS = "batch"


def batch_mesh(batch: int, devices: Sequence[Any] | None = None) -> Mesh:
    """Return a mesh of the most devices that divide `batch`; all of JAX's devices by default."""
    devices = jax.devices() if devices is None else devices
    count = max(size for size in range(1, len(devices) + 1) if batch % size == 0)
    return Mesh(np.asarray(devices[:count]), (AXIS,))


def shard(mesh: Mesh, state: PODSState, theta: Theta) -> tuple[PODSState, Theta]:
    """Shard start states, labels and model parameters over `mesh`; replicate everything else."""

    def place(tree: Any, *axes: str | None) -> Any:
        return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(*axes)))

    rows = {"x": place(state.x, AXIS), "left": place(state.left, AXIS)}
    rows |= {name: place(getattr(state, name), None, AXIS) for name in ("actions", "costs")}
    copied = {name: place(getattr(state, name)) for name in PODSState._fields if name not in rows}
    return PODSState(**rows, **copied), place(theta, AXIS)
