"""Residual dynamics: a neural force on the joints, besides the simulator or identified physics.

No gradient of the simulator is needed to train the network. Along recorded data the multi-step prediction
error obeys, to first order, `e' = A e + G tau(x, u) + c`, where A, G and c come from one forward-mode pass
over the data; gradient descent runs through this linear recursion only.

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

from trainer.dynamics.dynamics_model import WINDOW_STEPS, Fit, split
from trainer.dynamics.linearise import Linearised, missing_force
from trainer.dynamics.physics_dynamics import PhysicsDynamics, linearised
from trainer.dynamics.validation import horizon_errors, least_held_out, predictor
from trainer.dynamics.windows import Segment, Windows, append_action_history, make_windows, typical_change
from trainer.models.model import Model
from trainer.models.physics import Physics
from trainer.policy.network import MLP, forward
from trainer.tasks.task import Task

HIDDEN = (32, 32)
WINDOWS = 128
ADAM_STEPS = 400
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-3
FORCE_BOUND = 2.0
"""Bound of the network's force, relative to the root mean square force that the base model misses."""


class Residual(NamedTuple):
    """The base's physics, the network's parameters, and the bound of its force `scale[d]`."""

    physics: Physics
    network: Any
    scale: jax.Array


def _network(joints: int) -> MLP:
    return MLP(HIDDEN, joints, output_scale=0.01)


def _inputs(q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
    """Return the inputs of the network; they are bounded, so that it extrapolates little."""
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
class ResidualDynamics:
    """The base model is identified first; the network is fitted to its residual."""

    name: str = "friction-residual"
    base: PhysicsDynamics = field(default_factory=PhysicsDynamics)

    @property
    def action_history(self) -> int:
        """Return the base's."""
        return self.base.action_history

    @property
    def extrapolates(self) -> bool:
        """Return True: the network's force is bounded, and the base model extrapolates."""
        return True

    def model(self, task: Task) -> Model:
        """Return the base with the network's force on its joints."""

        def extra(theta: Residual, q: jax.Array, qd: jax.Array, u: jax.Array) -> jax.Array:
            return _force(theta.network, theta.scale, q, qd, u)

        return self.base.with_force(task, extra, lambda theta: theta.physics)

    def nominal_parameters(self, task: Task) -> Residual:
        """Return the base's, and a network whose force is 0."""
        network = jax.tree.map(jnp.zeros_like, _draw(task, jax.random.key(0)))
        return Residual(self.base.nominal_parameters(task), network, jnp.zeros(task.joints))

    def fit(
        self, task: Task, segments: list[Segment], key: jax.Array, progress: Callable[[float], None]
    ) -> Fit:
        """Fit base and network to a part, validate on the held-out part, then fit both to all segments."""
        key_base, key_network = jax.random.split(key)
        of_part, of_all, estimates = self.base.identify(
            task, segments, key_base, lambda share: progress(0.7 * share)
        )
        parts, start = split(segments, least_held_out(task)), _draw(task, key_network)
        theta = self._explain(task, parts.fitted, of_part.physics, start)
        errors = horizon_errors(predictor(self, task), task, theta, parts)
        theta = self._explain(task, segments, of_all, theta.network)
        progress(1.0)
        return Fit(jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], theta), errors, estimates)

    def _explain(self, task: Task, segments: list[Segment], physics: Physics, network: Any) -> Residual:
        windows = make_windows(append_action_history(segments, self.action_history), WINDOW_STEPS, WINDOWS)
        scale = jnp.asarray(typical_change(windows)[: len(task.state_names)])
        linear = linearised(self.base, task)(physics, windows)
        force_scale = FORCE_BOUND * missing_force(linear, task.positions, windows.weight)
        network = _descend(network, force_scale, linear, windows, scale, task.positions)
        return Residual(physics, network, force_scale)


def _draw(task: Task, key: jax.Array) -> Any:
    seen = 2 * task.positions + 2 * task.joints + len(task.action_names)
    return _network(task.joints).init(key, jnp.zeros(seen))
