"""Rungs with a neural force on the joints, for what the simulator or identified physics leaves unexplained.

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

from trainer.dynamics.judge import horizon_errors, least_held_out, predictor
from trainer.dynamics.linearise import Linearised, missing_force
from trainer.dynamics.physics_rung import PhysicsRung, linearised
from trainer.dynamics.rung import WINDOW_STEPS, Fit, split
from trainer.dynamics.windows import Motion, Windows, cut, remembering, typical_change
from trainer.learning.trajectory import Model
from trainer.models.physics import Physics
from trainer.policy.network import MLP, forward
from trainer.tasks.task import Task

HIDDEN = (32, 32)
WINDOWS = 128
ADAM_STEPS = 400
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-3
FORCE_BOUND = 2.0
"""Bound of the network's force, in units of what the base leaves unexplained (root mean square)."""


class Residual(NamedTuple):
    """The base's physics, the network's parameters, and the bound of its force `scale[d]`."""

    physics: Physics
    network: Any
    scale: jax.Array


def _network(joints: int) -> MLP:
    return MLP(HIDDEN, joints, output_scale=0.01)


def _inputs(q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
    """Return what the network sees: bounded in q, so that it extrapolates no further than it must."""
    return jnp.concatenate([jnp.sin(q), jnp.cos(q), jnp.tanh(0.3 * qd), jnp.tanh(10.0 * qd), u], axis=-1)


def _force(network: Any, scale: jax.Array, q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
    return scale * jnp.tanh(forward(_network(qd.shape[-1]), network, _inputs(q, qd, u)))


@functools.partial(jax.jit, static_argnames="positions")
def _descend(
    network: Any,
    force_scale: jax.Array,
    linear: Linearised,
    windows: Windows,
    scale: jax.Array,
    positions: int,
) -> Any:
    """Return the network after Adam on the weighted mean square of e / scale[n]."""
    x, u = jnp.asarray(windows.x[:, :-1]), jnp.asarray(windows.u)
    q, qd = x[..., :positions], x[..., positions : len(scale)]
    per_state = jnp.concatenate([scale, jnp.ones(x.shape[-1] - len(scale))])
    steps = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), (linear.A, linear.G, linear.c))

    def loss(network: Any) -> jax.Array:
        tau = _force(network, force_scale, q, qd, u)

        def advance(e: jax.Array, step: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
            A, G, c, pushed = step
            e = jnp.einsum("wij,wj->wi", A, e) + jnp.einsum("wij,wj->wi", G, pushed) + c
            return e, e

        _, e = jax.lax.scan(advance, jnp.zeros_like(x[:, 0]), (*steps, jnp.swapaxes(tau, 0, 1)))
        square = jnp.mean((e / per_state) ** 2, axis=(0, 2))
        return jnp.sum(square * windows.weight) / jnp.sum(windows.weight)

    optimiser = optax.adamw(LEARNING_RATE, weight_decay=WEIGHT_DECAY)

    def step(carry: tuple, _: None) -> tuple:
        network, state = carry
        updates, state = optimiser.update(jax.grad(loss)(network), state, network)
        return (optax.apply_updates(network, updates), state), None

    (network, _), _ = jax.lax.scan(step, (network, optimiser.init(network)), None, ADAM_STEPS)
    return network


@dataclass(frozen=True)
class ResidualRung:
    """The base is identified first; the network explains only what is left."""

    name: str = "friction-residual"
    base: PhysicsRung = field(default_factory=PhysicsRung)

    @property
    def memory(self) -> int:
        """Return the base's."""
        return self.base.memory

    @property
    def extrapolates(self) -> bool:
        """Return that it does: the network's force is bounded, and the base goes on."""
        return True

    def model(self, task: Task) -> Model:
        """Return the base with the network's force on its joints."""

        def extra(theta: Residual, q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
            return _force(theta.network, theta.scale, q, qd, u)

        return self.base.with_force(task, extra, lambda theta: theta.physics)

    def nothing(self, task: Task) -> Residual:
        """Return the base's nothing and a silent network."""
        network = jax.tree.map(jnp.zeros_like, _draw(task, jax.random.key(0)))
        return Residual(self.base.nothing(task), network, jnp.zeros(task.joints))

    def fit(
        self, task: Task, motions: list[Motion], key: jax.Array, progress: Callable[[float], None]
    ) -> Fit:
        """Fit base and network on a part, judge on the part held out, then fit both on everything."""
        key_base, key_network = jax.random.split(key)
        of_part, of_all, estimates = self.base.identify(
            task, motions, key_base, lambda share: progress(0.7 * share)
        )
        parts, start = split(motions, least_held_out(task)), _draw(task, key_network)
        theta = self._explain(task, parts.fitted, of_part.physics, start)
        errors = horizon_errors(predictor(self, task), task, theta, parts)
        theta = self._explain(task, motions, of_all, theta.network)
        progress(1.0)
        return Fit(jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], theta), errors, estimates)

    def _explain(self, task: Task, motions: list[Motion], physics: Physics, network: Any) -> Residual:
        windows = cut(remembering(motions, self.memory), WINDOW_STEPS, WINDOWS)
        scale = jnp.asarray(typical_change(windows)[: len(task.state_names)])
        linear = linearised(self.base, task)(physics, windows)
        force_scale = FORCE_BOUND * missing_force(linear, task.positions, windows.weight)
        network = _descend(network, force_scale, linear, windows, scale, task.positions)
        return Residual(physics, network, force_scale)


def _draw(task: Task, key: jax.Array) -> Any:
    seen = 2 * task.positions + 2 * task.joints + len(task.action_names)
    return _network(task.joints).init(key, jnp.zeros(seen))
