"""A compliant end stop of a slide joint: contact that stays differentiable.

    F = −k p (1 + c ṗ) for p > 0, else 0                                  (Hunt & Crossley, 1975)

Force and its slope in ṗ begin at zero when the contact does, so nothing jumps; `c` takes energy at each
bounce. The contact must last several integration steps: π √(M / k).

Notation
    p    depth to which the stop is pressed in         m
    k    stiffness                                     N/m
    c    dissipation                                   s/m
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp


@dataclass(frozen=True)
class Bumper:
    """Stops at ± `end` [m]; never pulls."""

    end: float
    stiffness: float
    dissipation: float

    def force(self, position: jax.Array, velocity: jax.Array) -> jax.Array:
        """Return the force along the joint [N]."""
        side = jnp.sign(position)
        depth = jnp.maximum(jnp.abs(position) - self.end, 0.0)
        return -side * self.stiffness * depth * jnp.maximum(1.0 + self.dissipation * side * velocity, 0.0)
