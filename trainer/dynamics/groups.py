"""Groups of physical parameters that can be identified; every p gives values within the constraints.

Notation
    p      unconstrained parameters of one group, of the order of one      [k]
    unit   typical force and typical velocity of each joint                [2, d]
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from trainer.models.force import no_force
from trainer.models.friction import Friction
from trainer.models.physics import Physics
from trainer.tasks.task import Task

SLOWEST, FASTEST = 0.02, 0.5
"""Bounds of v_s [m/s or rad/s]. The Stribeck effect acts at low speeds; without bounds it cannot be told from
Coulomb friction."""
ROTOR_S = 0.1
"""Time in which a typical missing force changes a typical speed, for the unit of inertia [s]."""
MOST_EXCESS = 2.0
"""Break-away friction is at most 1 + this many times the dry friction."""
CORNER = 10.0
"""Sharpness of the smooth bounds of the break-away excess."""


@dataclass(frozen=True)
class Group:
    """Parameters that are identified together.

    Attributes:
        mean: `(task) -> p[k]`, the prior mean, which does not depend on the plant.
        std: `(task) -> [k]`, the prior standard deviation of p.
        constrain: `(physics, p[k], unit[3, d]) -> physics` with the values of p; `unit` holds the force that
            the simulator misses, a typical velocity, and the greatest viscous friction.
        names: `(task) -> k` names of the values, in the order of `values`.
        values: `(physics) -> [k]`, the values with these names.
        bounds: `(physics, unit[3, d]) -> [k, 2]`, limits of the model, or infinite.
        action_history: whether the model needs the last action.
        starts: offsets from the prior mean for a multi-start search, since the loss has local minima.
    """

    name: str
    mean: Callable[[Task], np.ndarray]
    constrain: Callable[[Physics, jax.Array, jax.Array], Physics]
    names: Callable[[Task], list[str]]
    values: Callable[[Physics], jax.Array]
    std: Callable[[Task], np.ndarray]
    bounds: Callable[[Physics, np.ndarray], np.ndarray]
    action_history: bool = False
    starts: Callable[[Task], list[np.ndarray]] | None = None


def joint_names(task: Task) -> list[str]:
    """Return the joints' names, without units: those of their positions, or of their velocities if more."""
    paired = task.positions == task.joints
    return position_names(task) if paired else _plain(task.state_names[task.positions :])


def position_names(task: Task) -> list[str]:
    """Return the positions' names, without units."""
    return _plain(task.state_names[: task.positions])


def _plain(names: tuple[str, ...]) -> list[str]:
    return [name.split(" [")[0] for name in names]


def _friction(physics: Physics, p: jax.Array, unit: jax.Array) -> Physics:
    """Set the friction of p = (b, d, s, v_s), each of d joints."""
    viscous, dry, stribeck, velocity = p.reshape(4, -1)
    size, speed, most = unit
    span, loose = jnp.log(FASTEST / SLOWEST), size / speed * jax.nn.softplus(viscous)
    friction = Friction(
        loose / (1.0 + (loose / most) ** 4) ** 0.25,
        size * jax.nn.softplus(dry),
        size * jax.nn.softplus(dry) * _ramp(stribeck, MOST_EXCESS),
        SLOWEST * jnp.exp(jax.nn.sigmoid(velocity) * span),
    )
    return physics._replace(friction=friction)


def _friction_mean(task: Task) -> np.ndarray:
    """Return b and d at 0.1 units, s at 0.3 of d, v_s in the middle of its bounds."""
    tenth = np.log(np.expm1(0.1))
    return np.repeat([tenth, tenth, 0.3, 0.0], task.joints)


def _ramp(p: jax.Array, most: float) -> jax.Array:
    """Return p, clipped smoothly to [0, most]."""
    return (jax.nn.softplus(CORNER * p) - jax.nn.softplus(CORNER * (p - most))) / CORNER


def _friction_starts(task: Task) -> list[np.ndarray]:
    return [np.repeat([0.0, 0.0, 0.0, logit], task.joints) for logit in (-1.5, 1.5)]


def _friction_names(task: Task) -> list[str]:
    words = ("viscous friction", "dry friction", "break-away excess", "Stribeck velocity")
    return [f"{word} of {joint}" for word in words for joint in joint_names(task)]


def _friction_bounds(physics: Physics, unit: np.ndarray) -> np.ndarray:
    d = np.asarray(physics.friction.dry)
    free, viscous = _no_bounds(d), np.stack([np.full(len(d), -np.inf), unit[2]], axis=1)
    excess = np.stack([np.full(len(d), -np.inf), MOST_EXCESS * d], axis=1)
    return np.concatenate([viscous, free, excess, np.tile([SLOWEST, FASTEST], (len(d), 1))])


def _no_bounds(values: jax.Array | np.ndarray) -> np.ndarray:
    return np.tile([-np.inf, np.inf], (len(values), 1))


def _links(task: Task) -> tuple[str, ...]:
    return task.model(no_force, 1).links


FRICTION = Group(
    name="friction",
    mean=_friction_mean,
    constrain=_friction,
    names=_friction_names,
    values=lambda physics: jnp.concatenate(physics.friction),
    std=lambda task: np.repeat([2.0, 2.0, 0.6, 2.0], task.joints),
    bounds=_friction_bounds,
    starts=_friction_starts,
)
"""Viscous, Coulomb and Stribeck friction of every joint; see `models.friction`."""

GAIN = Group(
    name="gain",
    mean=lambda task: np.zeros(len(task.action_names)),
    constrain=lambda physics, p, unit: physics._replace(gain=jnp.exp(0.3 * p)),
    names=lambda task: [f"gain of {action.split(' [')[0]}" for action in task.action_names],
    values=lambda physics: physics.gain,
    std=lambda task: np.ones(len(task.action_names)),
    bounds=lambda physics, unit: _no_bounds(physics.gain),
)
"""A factor on each motor's force, with a prior of 1 ± 30 %."""

MASS = Group(
    name="mass",
    mean=lambda task: np.zeros(len(_links(task))),
    constrain=lambda physics, p, unit: physics._replace(mass=jnp.exp(0.2 * p)),
    names=lambda task: [f"mass factor of {link}" for link in _links(task)],
    values=lambda physics: physics.mass,
    std=lambda task: np.ones(len(_links(task))),
    bounds=lambda physics, unit: _no_bounds(physics.mass),
)
"""A factor on each link's mass and inertia, with a prior of 1 ± 20 %."""

ROTOR = Group(
    name="rotor",
    mean=lambda task: np.full(task.joints, np.log(np.expm1(0.1))),
    constrain=lambda physics, p, unit: physics._replace(
        rotor=ROTOR_S * unit[0] / unit[1] * jax.nn.softplus(p)
    ),
    names=lambda task: [f"rotor inertia of {joint}" for joint in joint_names(task)],
    values=lambda physics: physics.rotor,
    std=lambda task: np.full(task.joints, 2.0),
    bounds=lambda physics, unit: _no_bounds(physics.rotor),
)
"""The rotor inertia of every joint's motor, which gravity does not act on."""

DELAY = Group(
    name="delay",
    mean=lambda task: np.zeros(1),
    constrain=lambda physics, p, unit: physics._replace(delay=jax.nn.sigmoid(2.0 * p[0] - 3.0)),
    names=lambda task: ["delay of actions in control steps"],
    values=lambda physics: physics.delay[None],
    std=lambda task: np.full(1, 1.5),
    bounds=lambda physics, unit: np.array([[-np.inf, 1.0]]),
    action_history=True,
    starts=lambda task: [np.zeros(1), np.full(1, 2.5)],
)
"""Delay of the actions, from 0 to 1 control step; the prior mean is about 0.05."""
