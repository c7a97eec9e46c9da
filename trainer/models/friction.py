"""Identified friction of the joints: viscous, Coulomb, and the Stribeck rise towards rest.

    F(v) = b v + (d + s exp(−(v / v_s)²)) tanh(v / w)

Notation
    v     joint velocity                       [d]   m/s or rad/s
    b     viscous coefficient, ≥ 0             [d]   N·s/m or N·m·s
    d     Coulomb (dry) friction, ≥ 0          [d]   N or N·m
    s     extra force at break-away, ≥ 0       [d]   N or N·m
    v_s   Stribeck velocity, > 0               [d]   m/s or rad/s
    w     width over which tanh smooths the sign of v, 0.1: a steeper one starves gradients and is
          too stiff for one Runge-Kutta step of 0.04 s (F' dt / M must stay below 2.8)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

SMOOTHING = 0.1


class Friction(NamedTuple):
    """b, d, s, v_s of d joints, physical units as above; all ≥ 0."""

    viscous: jax.Array
    dry: jax.Array
    stribeck: jax.Array
    stribeck_velocity: jax.Array


def no_friction(joints: int) -> Friction:
    """Return a frictionless law for `joints` joints."""
    zero, one = jax.device_put((np.zeros(joints), np.ones(joints)))  # JAX would compile each shape
    return Friction(zero, zero, zero, one)


def friction_force(friction: Friction, qd: jax.Array, width: float = SMOOTHING) -> jax.Array:
    """Return the generalised force [d] that opposes qd[d]; `width` is w."""
    rise = friction.stribeck * jnp.exp(-((qd / friction.stribeck_velocity) ** 2))
    return -(friction.viscous * qd + (friction.dry + rise) * jnp.tanh(qd / width))
