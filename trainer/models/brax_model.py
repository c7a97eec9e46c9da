"""A Brax system as a differentiable `Model`, integrated so that it adds no friction of its own.

Brax's `generalized` pipeline steps semi-implicitly, and at usual step lengths that alone takes a
quarter of a pole's energy away in a minute. Here the classical Runge-Kutta method (order 4) integrates
the system's equations of motion (`rigid_tree`). The four stages run in one `scan`, so that these are
compiled once.

Notation
    q, qd   generalised positions and velocities         [d]   m or rad, and per second
    x       state (q, qd)                                [2d]
    u       action in [-1, 1]                            [m]
    tau     generalised force                            [d]   N or N·m
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trainer.compilation import ONCE, compiled
from trainer.models.dry_friction import mean_friction
from trainer.models.force import Force, SystemTransform, identity, no_force
from trainer.models.quiet_import import without_maintenance_notice, without_warp_notice
from trainer.models.rigid_tree import RigidTree, check

with without_warp_notice():
    from brax.base import System
    from brax.io import mjcf

Dry = Callable[[Any], tuple[Callable[[jax.Array, jax.Array], jax.Array], jax.Array]]
"""`(theta) -> level, creep[d]`, as `dry_friction.mean_friction` takes them."""


@functools.lru_cache(maxsize=8)
def load_system(xml: str) -> System:
    """Load MJCF text, without Brax's notice that its environments are no longer maintained."""
    with without_maintenance_notice():
        # at once: eagerly, a copy is compiled for each shape
        return compiled(lambda: mjcf.loads(xml), ONCE)()


def _check_drives(system: System) -> None:
    """Check that nothing but plain motors drives or stops the joints.

    Raises:
        ValueError: naming what the equations of `BraxModel` would leave out.
    """
    motors = jax.tree.map(np.asarray, system.actuator)  # what is known must not be traced
    limits = np.asarray(system.dof.limit if system.dof.limit is not None else ())
    odd = {
        "servos: actuators need no bias (use <motor>)": np.any(motors.bias_q) or np.any(motors.bias_qd),
        "control range other than -1 to 1: put it into the gear": np.any(np.abs(motors.ctrl_range) != 1.0),
        "force range: put it into the gear": np.any(np.isfinite(motors.force_range)),
        "joint limits: add stops as a force, as cartpole_walls does": np.any(np.isfinite(limits)),
    }
    if found := [what for what, there in odd.items() if there]:
        raise ValueError(f"the simulator has no {'; no '.join(found)}; or use the environment with brax_task")


@dataclass(frozen=True, eq=False)
class BraxModel:
    """A tree of slide and hinge joints driven by motors, stepped by `control_dt` [s].

    Attributes:
        system: the Brax system; its actuators are motors with a gear and no bias.
        control_dt: length of one control step [s].
        substeps: Runge-Kutta steps per control step.
        force: what acts besides the motors; the default is nothing.
        arrange: changes the system by theta; the default leaves it as it is.
        dry: true dry friction besides `force`, constant over each Runge-Kutta step; the default is none.
    """

    system: System
    control_dt: float
    substeps: int = 1
    force: Force = no_force
    system_transform: SystemTransform = identity
    dry: Dry | None = None

    def __post_init__(self) -> None:
        check(self.system)
        _check_drives(self.system)

    def __call__(self, theta: Any, x: jax.Array, u: jax.Array) -> jax.Array:
        """Return x_next[2d]."""
        system, step = self.system_transform(theta, self.system), self.control_dt / self.substeps
        motors, dry = self._motor_force(system, u), self.dry

        def rate(z: jax.Array, friction: Any, first: jax.Array) -> tuple[jax.Array, Any]:
            q, qd = jnp.split(z, 2)
            tree = RigidTree(system, q, qd)
            qdd = jnp.stack(tree.acceleration(motors + self.force(theta, q, qd, u)))
            if dry is not None:
                W, law = jnp.stack([jnp.stack(column) for column in tree.mobility()]), dry(theta)
                anew = lambda: mean_friction(qd, qdd, W, *law, step)  # noqa: E731
                friction = jax.lax.cond(first, anew, lambda: friction)
                qdd = qdd + W @ friction
            return jnp.concatenate([qd, qdd]), friction

        def stage(carry: tuple, row: tuple[jax.Array, ...]) -> tuple[tuple, None]:
            base, slope, total, friction = carry
            node, weight, last = row
            slope, friction = rate(base + node * step * slope, friction, node == 0.0)
            total = total + weight * step * slope
            return (jnp.where(last, total, base), slope, total, friction), None

        nodes = jnp.tile(jnp.array([0.0, 0.5, 0.5, 1.0]), self.substeps)
        stage_weights = jnp.tile(jnp.array([1.0, 2.0, 2.0, 1.0]) / 6.0, self.substeps)
        last = jnp.tile(jnp.array([False, False, False, True]), self.substeps)
        # the first node is 0, so any slope will do; x is batched and differentiated already: traced once
        friction = jnp.zeros_like(x[self.joints :]) if dry is not None else ()
        (x_next, *_), _ = jax.lax.scan(stage, (x, x, x, friction), (nodes, stage_weights, last))
        return x_next

    def energy(self, x: jax.Array) -> jax.Array:
        """Return the kinetic and potential energy of x[2d] [J]; zero height is the world's origin."""
        return jnp.asarray(RigidTree(self.system, *jnp.split(x, 2)).energy())

    @property
    def links(self) -> tuple[str, ...]:
        """Names of the moving bodies, in the order of their masses."""
        return tuple(self.system.link_names)

    @property
    def joints(self) -> int:
        """Number of joint velocities."""
        return self.system.qd_size()

    def _motor_force(self, system: System, u: jax.Array) -> jax.Array:
        motor = system.actuator
        return jnp.sum(jnp.where(self._drives, motor.gear * motor.gain * u, 0.0), axis=1)

    @functools.cached_property
    def _drives(self) -> np.ndarray:
        """Which joint each motor drives [d, m]; a sum compiles and runs sooner than a scatter."""
        return np.asarray(self.system.actuator.qd_id) == np.arange(self.system.qd_size())[:, None]
