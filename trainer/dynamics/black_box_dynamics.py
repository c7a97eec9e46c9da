"""Dynamics model `black-box`: a network that predicts accelerations, without the simulator.

Notation
    a    accelerations, the network's output       [d]   m/s² or rad/s²
    dt   control step                              s
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from trainer.dynamics.dynamics_model import SUBSTEPS, WINDOW_STEPS, Fit, split
from trainer.dynamics.validation import horizon_errors, least_held_out, predictor
from trainer.dynamics.windows import Segment, Windows, make_windows, typical_change
from trainer.learning.trajectory import replay
from trainer.models.force import no_force
from trainer.models.model import Model
from trainer.policy.network import MLP, forward
from trainer.tasks.task import Task

HIDDEN = (64, 64)
WINDOWS = 128
ADAM_STEPS = 1500
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-3


class BlackBox(NamedTuple):
    """The network, its `scale[d]` of accelerations, and whether it replaces the simulator."""

    network: Any
    scale: jax.Array
    decides: jax.Array


@dataclass(frozen=True)
class BlackBoxDynamics:
    """Dynamics from data alone. With its nominal parameters it is the simulator."""

    name: str = "black-box"
    action_history: int = 0
    extrapolates: bool = False

    def model(self, task: Task) -> Model:
        """Return the network if `decides`, else the simulator."""
        simulator, learned = task.model(no_force, SUBSTEPS), _learned(task)

        def step(theta: BlackBox, x: jax.Array, u: jax.Array) -> jax.Array:
            return jnp.where(theta.decides, learned(theta, x, u), simulator(None, x, u))

        return step

    def nominal_parameters(self, task: Task) -> BlackBox:
        """Return the parameters with which the simulator is used."""
        network = jax.tree.map(jnp.zeros_like, _draw(task, jax.random.key(0)))
        return BlackBox(network, jnp.zeros(_joints(task)), jnp.zeros((), bool))

    def fit(
        self, task: Task, segments: list[Segment], key: jax.Array, progress: Callable[[float], None]
    ) -> Fit:
        """Fit to a part by the multi-step error, validate on the held-out part, then fit to all segments."""
        parts, start = split(segments, least_held_out(task)), _draw(task, key)
        first = _fitted(task, parts.fitted, start)
        progress(0.5)
        errors = horizon_errors(predictor(self, task), task, first, parts)
        final = _fitted(task, segments, first.network)
        progress(1.0)
        return Fit(jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], final), errors, {})


def supports(task: Task) -> bool:
    """Return whether each velocity is the derivative of one position, which excludes quaternions."""
    return task.positions == task.joints


def _joints(task: Task) -> int:
    if not supports(task):
        raise ValueError(
            f"black-box needs a velocity for each position, and no quaternions; task {task.name!r} has "
            f"{task.positions} positions and {task.joints} velocities: choose another dynamics model"
        )
    return task.joints


def _network(task: Task) -> MLP:
    return MLP(HIDDEN, _joints(task))


def _draw(task: Task, key: jax.Array) -> Any:
    return _network(task).init(key, jnp.zeros(task.features.size + len(task.action_names)))


def _learned(task: Task) -> Model:
    joints, dt = _joints(task), task.control_dt

    def step(theta: BlackBox, x: jax.Array, u: jax.Array) -> jax.Array:
        z = jnp.concatenate([task.features(x), u])
        a = theta.scale * forward(_network(task), theta.network, z)
        q, qd = x[:joints], x[joints:]
        return jnp.concatenate([q + dt * qd + 0.5 * dt**2 * a, qd + dt * a])

    return step


def _fitted(task: Task, segments: list[Segment], start: Any) -> BlackBox:
    windows = make_windows(segments, WINDOW_STEPS, WINDOWS)
    rates = jnp.diff(windows.x[windows.weight > 0][..., _joints(task) :], axis=1) / task.control_dt
    scale = jnp.sqrt(jnp.mean(rates**2, axis=(0, 1))) + 1e-6
    network = _descend(task)(start, scale, windows, jnp.asarray(typical_change(windows)))
    return BlackBox(network, scale, jnp.ones((), bool))


@functools.lru_cache(maxsize=4)
def _descend(task: Task) -> Callable:
    """Return Adam on the mean square of the multi-step error, in units of `unit[n]`."""
    model = _learned(task)
    optimiser = optax.adamw(optax.cosine_decay_schedule(LEARNING_RATE, ADAM_STEPS), weight_decay=WEIGHT_DECAY)

    @jax.jit
    def descend(network: Any, scale: jax.Array, windows: Windows, unit: jax.Array) -> Any:
        def error(network: Any, x: jax.Array, u: jax.Array) -> jax.Array:
            theta = BlackBox(network, scale, jnp.ones((), bool))
            missed = (replay(model, theta, x[0], u) - x)[1:]
            return jnp.mean(optax.huber_loss(missed / unit, delta=3.0))

        def loss(network: Any) -> jax.Array:
            each = jax.vmap(error, (None, 0, 0))(network, jnp.asarray(windows.x), jnp.asarray(windows.u))
            return jnp.sum(each * windows.weight) / jnp.sum(windows.weight)

        def step(carry: tuple, _: None) -> tuple:
            network, state = carry
            updates, state = optimiser.update(jax.grad(loss)(network), state, network)
            return (optax.apply_updates(network, updates), state), None

        (network, _), _ = jax.lax.scan(step, (network, optimiser.init(network)), None, ADAM_STEPS)
        return network

    return descend
