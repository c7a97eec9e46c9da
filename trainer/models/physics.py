"""Physical parameters that a simulator may have wrong: friction, motor gain, delay, masses.

Notation
    gain    factor on each motor's force                                    [m]     -
    delay   how late actions act, in control steps, in [0, 1]               -       -
    mass    factor on each link's mass and inertia                          [L]     -
    rotor   inertia of each joint's motor, as the joint feels it, >= 0      [d]     kg or kg·m²
    z       state and last applied action (x, u_last)                       [n + m]
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trainer.models.friction import Friction, no_friction
from trainer.models.model import Model

if TYPE_CHECKING:
    from brax.base import System


class Physics(NamedTuple):
    """Friction of the joints, gain[m], delay, mass[L] and rotor[d], as above."""

    friction: Friction
    gain: jax.Array
    delay: jax.Array
    mass: jax.Array
    rotor: jax.Array


def nominal(joints: int, actions: int, links: int) -> Physics:
    """Return the simulator as it is: no friction, no delay, every factor 1."""
    gain, delay, mass, rotor = np.ones(actions), np.zeros(()), np.ones(links), np.zeros(joints)
    return Physics(no_friction(joints), *jax.device_put((gain, delay, mass, rotor)))


def with_parameters(physics: Physics, system: "System") -> "System":
    """Return `system` with its motors' gears and its links' masses multiplied, and rotors added."""
    motors = dataclasses.replace(system.actuator, gear=system.actuator.gear * physics.gain)
    inertia = system.link.inertia
    heavier = dataclasses.replace(
        inertia, mass=inertia.mass * physics.mass, i=inertia.i * physics.mass[:, None, None]
    )
    link = dataclasses.replace(system.link, inertia=heavier)
    dof = dataclasses.replace(system.dof, armature=system.dof.armature + physics.rotor)
    return system.replace(actuator=motors, link=link, dof=dof)  # pyright: ignore[reportAttributeAccessIssue]


def delayed(model: Model, n: int, delay: Callable[[Any], jax.Array]) -> Model:
    """Return `model` of z, in which an action acts `delay(theta)` control steps late.

    Over one step the last action acts for the share `delay`, then the new one. The step applies their
    mean, which gives the same impulse; at delay 0 and 1 that is exact.
    """

    def step(theta: Any, z: jax.Array, u: jax.Array) -> jax.Array:
        x, last, late = z[:n], z[n:], delay(theta)
        acting = late * last + (1.0 - late) * u
        return jnp.concatenate([model(theta, x, acting), u])

    return step
