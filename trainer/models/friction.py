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
NEXT = 0.02
"""Speeds in units of the Stribeck velocity, next to each other: their mean is then off by 1e-4 at most."""


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


def viscous_force(friction: Friction, qd: jax.Array) -> jax.Array:
    """Return the viscous part of the force [d] that opposes qd[d]."""
    return -friction.viscous * qd


def mean_dry_level(friction: Friction, start: jax.Array, end: jax.Array) -> jax.Array:
    """Return the mean size [d] of the dry part, smoothing aside, while speeds go evenly from start to end.

    The mean of exp(−z²) from a to b is √π / 2 (erf b − erf a) / (b − a); where these are next to each other,
    the value between them.
    """
    a, b = (speed / friction.stribeck_velocity for speed in (start, end))
    apart = jnp.abs(b - a) > NEXT
    over = jnp.where(apart, b - a, 1.0)
    along = 0.5 * np.sqrt(np.pi) * (jax.lax.erf(b) - jax.lax.erf(a)) / over
    rise = jnp.where(apart, along, jnp.exp(-((0.5 * (a + b)) ** 2)))
    return friction.dry + friction.stribeck * rise
