"""Rung `friction-residual`: identified friction, and a neural force for what it leaves unexplained.

The network never needs a gradient through the simulator. Along recorded motion the prediction error
of many steps obeys, to first order, `e' = A e + G tau(x, u) + c`, where A, G and c come from one
forward-mode pass over the data; the network descends through this linear recursion only.

Notation
    tau   force of the network on the joints            [d]        N or N·m
    A, G  ∂x'/∂x, ∂x'/∂tau of one step                  [L, n, n], [L, n, d]
    c     one-step prediction minus record              [L, n]
    e     prediction error after each step              [L, n]
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from trainer.dynamics.friction_rung import FrictionRung, typical_change
from trainer.dynamics.linearise import Linearised, linearise, missing_force
from trainer.dynamics.rung import SUBSTEPS, WINDOW_STEPS, Fit, split
from trainer.dynamics.windows import Motion, Windows, cut
from trainer.models.friction import Friction, friction_force, no_friction
from trainer.policy.network import MLP, forward
from trainer.tasks.task import Task

HIDDEN = (32, 32)
WINDOWS = 128
ADAM_STEPS = 400
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-3
FORCE_BOUND = 2.0
"""Bound of the network's force, in units of what friction leaves unexplained (root mean square)."""


class FrictionResidual(NamedTuple):
    """Friction, the network's parameters, and the bound of its force `scale[d]`."""

    friction: Friction
    network: Any
    scale: jax.Array


def _network(joints: int) -> MLP:
    return MLP(HIDDEN, joints, output_scale=0.01)


def _inputs(q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
    """Return what the network sees: bounded in q, so that it extrapolates no further than it must."""
    return jnp.concatenate([jnp.sin(q), jnp.cos(q), jnp.tanh(0.3 * qd), jnp.tanh(10.0 * qd), u], axis=-1)


def _residual_force(network: Any, scale: jax.Array, q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
    return scale * jnp.tanh(forward(_network(qd.shape[-1]), network, _inputs(q, qd, u)))


@functools.partial(jax.jit, static_argnames="joints")
def _errors(
    network: Any, force_scale: jax.Array, linear: Linearised, windows: Windows, scale: jax.Array, joints: int
) -> jax.Array:
    """Return the weighted mean square of e / scale, a scalar."""
    x, u = jnp.asarray(windows.x[:, :-1]), jnp.asarray(windows.u)
    tau = _residual_force(network, force_scale, x[..., :joints], x[..., joints:], u)

    def advance(e: jax.Array, step: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        A, G, c, push = step
        e = jnp.einsum("wij,wj->wi", A, e) + jnp.einsum("wij,wj->wi", G, push) + c
        return e, e

    steps = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), (linear.A, linear.G, linear.c, tau))
    _, e = jax.lax.scan(advance, jnp.zeros_like(x[:, 0]), steps)
    square = jnp.mean((e / scale) ** 2, axis=(0, 2))
    return jnp.sum(square * windows.weight) / jnp.sum(windows.weight)


@functools.partial(jax.jit, static_argnames="joints")
def _descend(
    network: Any, force_scale: jax.Array, linear: Linearised, windows: Windows, scale: jax.Array, joints: int
) -> Any:
    optimiser = optax.adamw(LEARNING_RATE, weight_decay=WEIGHT_DECAY)

    def step(carry: tuple, _: None) -> tuple:
        network, state = carry
        gradient = jax.grad(_errors)(network, force_scale, linear, windows, scale, joints)
        updates, state = optimiser.update(gradient, state, network)
        return (optax.apply_updates(network, updates), state), None

    (network, _), _ = jax.lax.scan(step, (network, optimiser.init(network)), None, ADAM_STEPS)
    return network


@dataclass(frozen=True)
class FrictionResidualRung:
    """Friction first; the network explains only what is left."""

    name: str = "friction-residual"
    substeps: int = SUBSTEPS
    friction: FrictionRung = field(default_factory=FrictionRung)

    def force(self, theta: FrictionResidual, q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
        """Return friction plus the network's force on the joints [d]."""
        residual = _residual_force(theta.network, theta.scale, q, qd, u)
        return friction_force(theta.friction, qd) + residual

    def nothing(self, task: Task) -> FrictionResidual:
        """Return no friction and a silent network."""
        joints = len(task.state_names) // 2
        network = _network(joints).init(jax.random.key(0), jnp.zeros(4 * joints + len(task.action_names)))
        return FrictionResidual(no_friction(joints), jax.tree.map(jnp.zeros_like, network), jnp.zeros(joints))

    def fit(
        self, task: Task, motions: list[Motion], key: jax.Array, progress: Callable[[float], None]
    ) -> Fit:
        """Fit friction on everything, then the network; judge both on the part held out."""
        joints = len(task.state_names) // 2
        base = self.friction.fit(task, motions, key, lambda share: progress(0.7 * share))
        friction = jax.tree.map(lambda leaf: leaf[0], base.members)
        parts = split(motions)
        fitted = cut(parts.fitted, WINDOW_STEPS, WINDOWS)
        held_out = cut(parts.held_out, WINDOW_STEPS, WINDOWS)
        scale = jnp.asarray(typical_change(fitted))
        linear = linearise(task)(friction, fitted)
        force_scale = FORCE_BOUND * missing_force(linear)
        start = _network(joints).init(key, jnp.zeros(4 * joints + len(task.action_names)))
        network = _descend(start, force_scale, linear, fitted, scale, joints)
        linear_held_out = linearise(task)(friction, held_out)
        error = float(_errors(network, force_scale, linear_held_out, held_out, scale, joints)) ** 0.5
        everything = cut(motions, WINDOW_STEPS, WINDOWS)
        network = _descend(
            network, force_scale, linearise(task)(friction, everything), everything, scale, joints
        )
        progress(1.0)
        theta = FrictionResidual(friction, network, force_scale)
        members = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], theta)
        return Fit(members, error, base.reference_error, base.estimates)
