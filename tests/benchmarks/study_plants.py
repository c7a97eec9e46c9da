"""The plants of the studies: what the trainer meets, for many episodes at once.

Notation
    x   true state [B, 4]      y   what is observed of it [B, 4]      u   action [B, 1]
    z   deflection of the LuGre bristles [B, 2]   m, rad
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from brax.base import System
from brax.mjx import pipeline

from real_env.plants import brax_friction
from real_env.plants.brax_friction import (
    FRICTIONLESS,
    PHYSICS_STEPS,
    STRIBECK_VELOCITY,
    FrictionConstants,
    control_step,
    drawn_constants,
)
from trainer.models.friction import Friction, no_friction
from trainer.models.physics import Physics, nominal

POSITION_NOISE = np.array([0.002, 0.005, 0.0, 0.0])
"""[m, rad]"""
HEAVIER = 1.2
PHYSICS_DT = 0.005
BRISTLE_STIFFNESS = jnp.array([2e4, 2e2])
"""sigma_0 of LuGre [N/m, N·m/rad]: a cart of 15 kg on its bristles swings with 36 rad/s."""


class PlantState(NamedTuple):
    """x, the action before, and the bristles."""

    x: jax.Array
    u_last: jax.Array
    z: jax.Array


Step = Callable[[FrictionConstants, PlantState, jax.Array], PlantState]
"""`(constants, state, u[B, 1]) -> state` after one control step."""


@dataclass(frozen=True, eq=False)
class StudyPlant:
    """A plant for a batch of episodes.

    Attributes:
        step: how it moves, the same function for all plants of a kind, so that it is compiled once.
        constants: of its friction.
        noise: standard deviation of what is observed [4].
        truth: the closest member of the trainer's `physics` family, for the oracle.
    """

    name: str
    step: Step
    constants: FrictionConstants
    noise: np.ndarray
    truth: Physics


def _smooth(friction: FrictionConstants) -> Friction:
    excess = friction.break_away - friction.dry
    return Friction(friction.viscous, friction.dry, excess, jnp.full_like(excess, STRIBECK_VELOCITY))


def _with(friction: Friction) -> Physics:
    return nominal(2, 1, 2)._replace(friction=friction)


def _scaled(friction: FrictionConstants, factor: float) -> FrictionConstants:
    return FrictionConstants(*(factor * part for part in friction))


@functools.cache
def _stick_slip(late: bool) -> Step:
    def step(friction: FrictionConstants, state: PlantState, u: jax.Array) -> PlantState:
        acting = state.u_last if late else u
        return PlantState(jax.vmap(control_step, (None, 0, 0))(friction, state.x, acting), u, state.z)

    return step


@functools.cache
def _heavier(factor: float) -> Step:
    """A frictionless cart-pole whose pole has `factor` times the mass."""
    system = brax_friction._SYSTEM
    factors = jnp.ones_like(system.body_mass).at[-1].set(factor)
    heavy: System = system.tree_replace(
        {
            "body_mass": system.body_mass * factors,
            "body_inertia": system.body_inertia * factors[:, None],
            "dof_damping": FRICTIONLESS.viscous,
            "dof_frictionloss": jnp.full(2, brax_friction.LEAST_FRICTION),
        }
    )  # pyright: ignore[reportAssignmentType]

    def one(x: jax.Array, u: jax.Array) -> jax.Array:
        q, qd = jnp.split(x, 2)
        advance = lambda state, _: (pipeline.step(heavy, state, u), None)  # noqa: E731
        state, _ = jax.lax.scan(advance, pipeline.init(heavy, q, qd), None, PHYSICS_STEPS)
        return jnp.concatenate([state.q, state.qd])

    return lambda friction, state, u: PlantState(jax.vmap(one)(state.x, u), u, state.z)


@functools.cache
def _lugre() -> Step:
    """LuGre friction (Canudas de Wit et al., 1995): bristles that bend before they slip.

    dz/dt = v − σ₀ |v| z / g(v),  F = σ₀ z + σ₁ dz/dt + σ₂ v,  g(v) = F_dry + (F_break − F_dry) e^(−(v/v_s)²);
    z is advanced exactly over each physics step, v held.
    """
    system: System = brax_friction._SYSTEM.tree_replace(
        {"dof_damping": jnp.zeros(2), "dof_frictionloss": jnp.full(2, brax_friction.LEAST_FRICTION)}
    )  # pyright: ignore[reportAssignmentType]
    stiffness = BRISTLE_STIFFNESS
    damping = 2.0 * jnp.sqrt(stiffness * jnp.array([1.0, 0.02]))

    def one(
        friction: FrictionConstants, x: jax.Array, z: jax.Array, u: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        q, qd = jnp.split(x, 2)

        def advance(carry: tuple, _: None) -> tuple[tuple, None]:
            state, z = carry
            v = state.qd
            g = friction.dry + (friction.break_away - friction.dry) * jnp.exp(-((v / STRIBECK_VELOCITY) ** 2))
            rate = stiffness * jnp.abs(v) / g
            settled = jnp.where(rate > 1e-6, v / jnp.maximum(rate, 1e-6), z)
            z_next = settled + (z - settled) * jnp.exp(-rate * PHYSICS_DT)
            z_next = jnp.where(rate > 1e-6, z_next, z + v * PHYSICS_DT)
            force = stiffness * z_next + damping * (z_next - z) / PHYSICS_DT + friction.viscous * v
            return (pipeline.step(system, state.replace(qfrc_applied=-force), u), z_next), None

        start = (pipeline.init(system, q, qd), z)
        (state, z), _ = jax.lax.scan(advance, start, None, PHYSICS_STEPS)
        return jnp.concatenate([state.q, state.qd]), z

    def step(friction: FrictionConstants, state: PlantState, u: jax.Array) -> PlantState:
        x, z = jax.vmap(one, (None, 0, 0, 0))(friction, state.x, state.z, u)
        return PlantState(x, u, z)

    return step


def study_plant(name: str, seed: int) -> StudyPlant:
    """Return the plant called `name` with the constants of `seed`.

    Raises:
        ValueError: naming the choices.
    """
    friction, quiet = drawn_constants(seed), np.zeros(4)
    stronger = _scaled(friction, 1.25)
    truth = _with(_smooth(friction))
    plants = {
        "default": lambda: StudyPlant(name, _stick_slip(False), friction, quiet, truth),
        "stronger": lambda: StudyPlant(name, _stick_slip(False), stronger, quiet, _with(_smooth(stronger))),
        "late-noisy": lambda: StudyPlant(
            name, _stick_slip(True), friction, POSITION_NOISE, truth._replace(delay=jnp.ones(()))
        ),
        "heavy-pole": lambda: StudyPlant(
            name,
            _heavier(HEAVIER),
            FRICTIONLESS,
            quiet,
            _with(no_friction(2))._replace(mass=jnp.array([1.0, HEAVIER])),
        ),
        "lugre": lambda: StudyPlant(name, _lugre(), friction, quiet, truth),
    }
    if name not in plants:
        raise ValueError(f"unknown plant {name!r}; choose one of: {', '.join(plants)}")
    return plants[name]()
