"""What a simulator may be given besides its motors: a force on its joints, and a changed system.

Apart from the simulators, so that a program that only describes and scores tasks starts without Brax.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from brax.base import System

Force = Callable[[Any, jax.Array, jax.Array, jax.Array], jax.Array]
"""`(theta, q[d], qd[d], u[m]) -> tau[d]`, what acts on the joints besides the motors."""

SystemTransform: TypeAlias = "Callable[[Any, System], System]"
"""`(theta, system) -> system`, the system with other masses, gears and the like."""


def no_force(theta: Any, q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
    """Return no force: the simulator as it is."""
    del theta, q, u
    return jnp.zeros_like(qd)


def identity(theta: Any, system: "System") -> "System":
    """Return the system unchanged."""
    del theta
    return system
