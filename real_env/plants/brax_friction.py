"""A cart-pole with viscous damping and true dry friction, in Brax's `mjx` backend.

Dry friction is a constraint here, not a law of velocity: below break-away the joint sticks. That is
different in kind from anything the trainer assumes.

Notation
    v    joint velocity                                    [2]   m/s, rad/s
    F    dry friction that the joint can resist at v       [2]   N, N·m
         F(v) = F_dry + (F_break − F_dry) exp(−(v / 0.1)²)       (Stribeck)
"""

import contextlib
import io
import warnings
from importlib import resources
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

with contextlib.redirect_stdout(io.StringIO()):  # MuJoCo prints that its optional package warp is missing
    from brax.io import mjcf
    from brax.mjx import pipeline

from real_env.plant import PlantSpec, Reading

CONTROL_DT = 0.04
PHYSICS_STEPS = 8
STRIBECK_VELOCITY = 0.1
LEAST_FRICTION = 1e-6
SPREAD = 0.15
START = np.array([0.0, np.pi, 0.0, 0.0])
START_SPREAD = np.array([0.5, 0.6, 0.5, 0.5])


class FrictionConstants(NamedTuple):
    """Friction of (cart, hinge): viscous [N·s/m, N·m·s], dry and break-away [N, N·m]."""

    viscous: jax.Array
    dry: jax.Array
    break_away: jax.Array


DEFAULT = FrictionConstants(
    viscous=jnp.array([10.0, 0.375]), dry=jnp.array([19.0, 0.375]), break_away=jnp.array([31.0, 0.625])
)
FRICTIONLESS = FrictionConstants(*jnp.zeros((3, 2)))


def drawn_constants(seed: int) -> FrictionConstants:
    """Draw the constants of one plant: the defaults, each off by up to ± 15 %."""
    factors = np.random.default_rng(seed).uniform(1.0 - SPREAD, 1.0 + SPREAD, size=(3, 2))
    return FrictionConstants(*(jnp.asarray(default * f) for default, f in zip(DEFAULT, factors, strict=True)))


def _load() -> mjcf.System:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Brax System, piplines and environments")
        return mjcf.loads(resources.files("real_env.plants").joinpath("cart_pole.xml").read_text())


_SYSTEM = _load()


@jax.jit
def control_step(friction: FrictionConstants, x: jax.Array, u: jax.Array) -> jax.Array:
    """Return x_next[4] after holding `u[1]` for one control step; batch it with `vmap`."""
    q, qd = jnp.split(x, 2)

    def physics_step(state: pipeline.State, _: None) -> tuple[pipeline.State, None]:
        rise = jnp.exp(-((state.qd / STRIBECK_VELOCITY) ** 2))
        dry = friction.dry + (friction.break_away - friction.dry) * rise
        system: mjcf.System = _SYSTEM.tree_replace(
            {"dof_damping": friction.viscous, "dof_frictionloss": jnp.maximum(dry, LEAST_FRICTION)}
        )  # pyright: ignore[reportAssignmentType]
        return pipeline.step(system, state, u), None

    state, _ = jax.lax.scan(physics_step, pipeline.init(_SYSTEM, q, qd), None, PHYSICS_STEPS)
    return jnp.concatenate([state.q, state.qd])


class BraxFrictionPlant:
    """The default plant. The seed draws its constants and its start states.

    Start states: hanging, ± (0.5 m, 0.6 rad, 0.5 m/s, 0.5 rad/s).
    """

    def __init__(self, seed: int, friction: FrictionConstants | None = None) -> None:
        self._friction = drawn_constants(seed) if friction is None else friction
        self._random = np.random.default_rng([seed, 1])
        self._x = np.asarray(START, np.float32)
        self.spec = PlantSpec(
            name="brax-friction",
            state_names=("cart [m]", "pole [rad]", "cart velocity [m/s]", "pole velocity [rad/s]"),
            action_names=("push [100 N]",),
            control_dt=CONTROL_DT,
            parameters={name: np.round(value, 6).tolist() for name, value in self._named_constants()},
            real_time=False,
        )
        self.exchange(np.zeros(1, np.float32))

    def reset(self) -> Reading:
        """Put the plant into a newly drawn start state."""
        self._x = (START + self._random.uniform(-START_SPREAD, START_SPREAD)).astype(np.float32)
        return Reading(self._x, terminated=False)

    def exchange(self, command: np.ndarray) -> Reading:
        """Advance the physics by one control step."""
        self._x = np.asarray(control_step(self._friction, self._x, np.asarray(command, np.float32)))
        return Reading(self._x, terminated=False)

    def close(self) -> None:
        """Nothing to release."""

    def _named_constants(self) -> list[tuple[str, np.ndarray]]:
        units = {
            "viscous": "viscous [N·s/m, N·m·s]",
            "dry": "dry [N, N·m]",
            "break_away": "break_away [N, N·m]",
        }
        return [(units[name], np.asarray(getattr(self._friction, name), float)) for name in units]
