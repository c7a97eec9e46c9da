"""Rung `friction`: the simulator with identified viscous, Coulomb and Stribeck friction on each joint.

Notation
    p   unconstrained parameters: b, d, s and v_s before their constraints   [4d]
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trainer.dynamics.identify import levenberg_marquardt, normal_equations
from trainer.dynamics.linearise import linearise, missing_force
from trainer.dynamics.rung import SUBSTEPS, WINDOW_STEPS, Fit, split
from trainer.dynamics.windows import Motion, Windows, cut
from trainer.models.friction import Friction, friction_force, no_friction
from trainer.tasks.task import Task

WINDOWS = 128
ITERATIONS = 30
PRIOR_WEIGHT = 1e-5
SLOWEST, FASTEST = 0.02, 0.5
"""Bounds of v_s [m/s or rad/s]: the Stribeck effect is one of low speeds. Without them it trades places
with Coulomb friction."""
MOST_EXCESS = 2.0
"""Break-away is at most 1 + this many times the dry friction, as of any usual pair of materials."""
STARTS = (-1.5, 1.5)
"""Logits of v_s to start from; the best result is kept, for the error has local minima in v_s."""


def constrain(p: jax.Array, unit: jax.Array) -> Friction:
    """Return the friction of p[4d]: b, d, s > 0 in `unit`s [2, d], and v_s within its bounds.

    `unit[0]` is a typical force and `unit[1]` a typical velocity of each joint, so that p is of the
    order of one on any machine.
    """
    viscous, dry, stribeck, velocity = p.reshape(4, -1)
    size, speed = unit
    span = jnp.log(FASTEST / SLOWEST)
    return Friction(
        size / speed * jax.nn.softplus(viscous),
        size * jax.nn.softplus(dry),
        size * jax.nn.softplus(dry) * MOST_EXCESS * jax.nn.sigmoid(stribeck),
        SLOWEST * jnp.exp(jax.nn.sigmoid(velocity) * span),
    )


def prior(joints: int) -> np.ndarray:
    """Return where p[4d] starts: b and d at 0.1 units, s at half of d, v_s in the middle of its bounds."""
    tenth, quarter = np.log(np.expm1(0.1)), np.log(0.25 / 0.75)
    return np.repeat([tenth, tenth, quarter, 0.0], joints)


def natural_unit(task: Task, windows: Windows) -> np.ndarray:
    """Return [2, d]: the force that the simulator misses, and the velocity, both root mean square."""
    joints = len(task.state_names) // 2
    force_size = missing_force(linearise(task)(no_friction(joints), windows))
    speed = np.sqrt(np.mean(windows.x[..., joints:] ** 2, axis=(0, 1))) + 1e-6
    return np.stack([np.asarray(force_size), speed])


def force(theta: Friction, q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
    """Return the friction on the joints [d]."""
    del q, u
    return friction_force(theta, qd)


def typical_change(windows: Windows) -> np.ndarray:
    """Return a tenth of each state's typical change over a window [n], the unit of errors."""
    change = (windows.x[:, -1] - windows.x[:, 0])[windows.weight > 0]
    return np.maximum(0.1 * np.sqrt(np.mean(change**2, axis=0)), 1e-3)


@functools.lru_cache(maxsize=4)
def _normal(task: Task) -> Callable:
    return normal_equations(task.model(force, SUBSTEPS), constrain)


class Problem(NamedTuple):
    """What one fit is about; the units and scales stay the same while windows change."""

    task: Task
    unit: np.ndarray
    scale: np.ndarray

    def normal(self, windows: Windows) -> Callable:
        """Return the normal equations of p over `windows`."""
        return lambda p: _normal(self.task)(p, self.unit, windows, self.scale)

    def identify(self, windows: Windows, starts: list[np.ndarray]) -> np.ndarray:
        """Return the best p that is reached from `starts`."""
        samples = int(np.sum(windows.weight)) * windows.u.shape[1]
        normal, centre = self.normal(windows), prior(len(starts[0]) // 4)
        reached = []
        for start in starts:
            steps = levenberg_marquardt(normal, start, centre, PRIOR_WEIGHT, samples, ITERATIONS)
            reached += [(self.error(start, windows), start)]
            reached += [(estimate.error, estimate.p) for estimate in list(steps)[-1:]]
        return min(reached, key=lambda pair: pair[0])[1]

    def error(self, p: np.ndarray, windows: Windows) -> float:
        """Return the root mean square prediction error over `windows`, in units of `scale`."""
        return float(self.normal(windows)(jnp.asarray(p, jnp.float32))[3]) ** 0.5


@dataclass(frozen=True)
class FrictionRung:
    """Friction of every joint, sign-constrained, with a start that knows nothing of the plant."""

    name: str = "friction"
    substeps: int = SUBSTEPS

    def force(self, theta: Friction, q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
        """Return the friction on the joints [d]."""
        return force(theta, q, qd, u)

    def nothing(self, task: Task) -> Any:
        """Return no friction."""
        return no_friction(len(task.state_names) // 2)

    def fit(
        self, task: Task, motions: list[Motion], key: jax.Array, progress: Callable[[float], None]
    ) -> Fit:
        """Fit on a part, judge on the part held out, then fit on everything."""
        del key
        parts = split(motions)
        part = cut(parts.fitted, WINDOW_STEPS, WINDOWS)
        problem = Problem(task, natural_unit(task, part), typical_change(part))
        joints = len(task.state_names) // 2
        starts = [np.concatenate([prior(joints)[: 3 * joints], np.full(joints, logit)]) for logit in STARTS]
        first = problem.identify(part, starts)
        progress(0.5)
        held_out = cut(parts.held_out, WINDOW_STEPS, WINDOWS)
        nothing = np.full(4 * joints, -30.0)
        errors = problem.error(first, held_out), problem.error(nothing, held_out)
        final = problem.identify(cut(motions, WINDOW_STEPS, WINDOWS), [first])
        progress(1.0)
        friction = constrain(jnp.asarray(final, jnp.float32), jnp.asarray(problem.unit))
        members = jax.tree.map(lambda leaf: leaf[None], friction)
        return Fit(members, *errors, named(task, friction))


def named(task: Task, friction: Friction) -> dict[str, float]:
    """Return the estimates by name, e.g. `dry friction of pole [rad]`."""
    joints = task.state_names[: len(task.state_names) // 2]
    words = {
        "viscous": "viscous friction",
        "dry": "dry friction",
        "stribeck": "break-away excess",
        "stribeck_velocity": "Stribeck velocity",
    }
    return {
        f"{word} of {joint.split(' [')[0]}": float(getattr(friction, field)[i])
        for field, word in words.items()
        for i, joint in enumerate(joints)
    }
