"""True dry friction over a short time, in closed form: joints come to rest, stay there, and break away.

A law of velocity, however steep, creeps where it should rest, and is stiff. Here friction is a constraint:
at rest it is whatever keeps the joint there, up to its level; else its level, against the motion (Coulomb).
While all other forces are constant, the time at which a joint comes to rest is known, so the mean friction
over a step is, too. Joints that friction couples are solved one after the other, a few times over (Gauss-
Seidel; Moreau, 1988).

Real joints, and laws that are smoothed, creep: near rest friction is F tanh(v / c). Under a load a < F W_ii
they move at c atanh(a / F W_ii); turned round by a larger one, they are ahead of one without creep, by the
integral of dv / (a - F W_ii tanh(v / c)). Both come of a start that lies c atanh(load) against the load,
which is the smaller of a / F W_ii and its inverse.

Notation
    v     velocity of the joints at the start of the step               [d]      m/s or rad/s
    a     acceleration without dry friction                             [d]
    W     mobility: acceleration of each joint by a force on each, M⁻¹  [d, d]
    c     creep: speeds s at which friction is not yet full, F tanh(s / c)   [d]   m/s or rad/s
    h     length of the step                                            -        s
    F     level of dry friction, a function of the speed                [d]      N or N·m
    f, g  F W_ii: how much friction decelerates until rest, and from there on   [d]
    tau   mean friction over the step                                   [d]      N or N·m
    t     time until a joint first is at rest, at most h                -        s
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

SWEEPS = 2
HIGHEST = 0.99
"""Load, as a share of friction, above which a joint creeps no faster."""


def mean_friction(
    v: jax.Array,
    a: jax.Array,
    W: jax.Array,
    level: Callable[[jax.Array, jax.Array], jax.Array],
    creep: jax.Array,
    h: float,
) -> jax.Array:
    """Return tau[d]; `level(start[d], end[d])` is the mean of F between two speeds, both ≥ 0."""
    diagonal, start = jnp.diagonal(W), jnp.abs(v)

    def solve(tau: jax.Array, joint: jax.Array) -> tuple[jax.Array, None]:
        without = a + W @ tau
        end = jnp.abs(v + h * without)
        until = jnp.where(v * (v + h * without) < 0.0, 0.0, end)
        f = diagonal * level(start, until)
        g = diagonal * level(jnp.zeros_like(end), end)
        anew = _alone(v, without - diagonal * tau, f, g, creep, h) / diagonal
        return jnp.where(joint, anew, tau), None

    joints = jnp.tile(jnp.eye(v.shape[0], dtype=bool), (SWEEPS, 1))
    return jax.lax.scan(solve, jnp.zeros_like(v), joints)[0]  # so that it is compiled once


def _alone(v: jax.Array, a: jax.Array, f: jax.Array, g: jax.Array, c: jax.Array, h: float) -> jax.Array:
    """Return each joint's mean deceleration by friction, that of the others being part of `a`."""
    load = jnp.abs(a) / jnp.maximum(g, 1e-9)
    load = jnp.minimum(load, 1.0 / jnp.maximum(load, 1e-9))
    v = v - c * jnp.sign(a) * jnp.arctanh(jnp.minimum(load, HIGHEST))
    sign = jnp.where(v < 0.0, -1.0, 1.0)
    v, a = sign * v, sign * a
    rests = v + h * (a - f) < 0.0
    t = jnp.where(rests, v / jnp.where(rests, f - a, 1.0), h)
    return sign * (-f * t + jnp.clip(-a, -g, g) * (h - t)) / h
