"""A policy that is compiled and warm.

Notation
    x   observations    [B, n]   SI units, or [B, n + m] with the action applied last
    u   actions         [B, m]   in [-1, 1]
"""

import functools
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from protos.control_step import same_step
from protos.hds import v1
from trainer.checkpoint.metadata import PolicyMetadata
from trainer.checkpoint.reader import read_policy
from trainer.policy.network import PolicySpec

BUCKETS = (1, 8, 64)
"""Compiled batch sizes. A batch is padded to the next one."""


class UnusablePolicy(RuntimeError):
    """A policy is intact, but its actions are invalid."""


@functools.cache
def _compiled(spec: PolicySpec) -> Callable:
    """Return the jitted policy of this shape, `(flat parameters, x) -> u`.

    Parameters are an argument, so that a swap compiles nothing. They are one vector, which is passed faster
    than a tree.
    """
    shapes = jax.eval_shape(spec.init, jax.random.key(0))
    _, unravel = ravel_pytree(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes))
    return jax.jit(lambda flat, x: spec.apply(unravel(flat), x))


class ServedPolicy:
    """One version of a policy: `act(x)` never compiles and never blocks on anything else."""

    def __init__(self, directory: Path, version: str) -> None:
        """Verify, restore, compile and try the policy.

        Raises:
            CorruptCheckpoint: the checkpoint is not what was published.
            UnusablePolicy: its actions are not finite or beyond [-1, 1].
        """
        published = read_policy(directory, version)
        self.version = version
        self.metadata: PolicyMetadata = published.metadata
        self.state_size = len(self.metadata.state_names)
        self.input_size = self.metadata.policy.features.state_size
        """n, plus m if the policy also sees the action applied last."""
        self.action_size = len(self.metadata.action_names)
        self._parameters = ravel_pytree(published.parameters)[0]
        self._apply = _compiled(self.metadata.policy)
        self.seconds = self._warm_up()
        """What one action takes [s], measured once warm."""

    def act(self, x: np.ndarray) -> np.ndarray:
        """Return u[B, m] for x[B, input_size], float32."""
        count = x.shape[0]
        if count > BUCKETS[-1]:
            halves = (x[: BUCKETS[-1]], x[BUCKETS[-1] :])
            return np.concatenate([self.act(half) for half in halves])
        if count in BUCKETS:
            return np.asarray(self._apply(self._parameters, np.asarray(x, np.float32)))
        bucket = next(size for size in BUCKETS if size >= count)
        padded = np.zeros((bucket, self.input_size), np.float32)
        padded[:count] = x
        return np.asarray(self._apply(self._parameters, padded))[:count]

    def description(self) -> v1.PolicyDescription:
        """Return what goes over the wire."""
        return v1.PolicyDescription(
            version=self.version,
            task=self.metadata.task,
            state_names=self.metadata.state_names,
            action_names=self.metadata.action_names,
            control_dt_s=self.metadata.control_dt_s,
            episode_steps=self.metadata.episode_steps,
        )

    def mismatch(self, plant: v1.PlantSpec) -> str | None:
        """Return why this policy can't drive `plant`, or None if it can."""
        metadata = self.metadata
        pairs = (
            ("states", tuple(plant.state_names), metadata.state_names),
            ("actions", tuple(plant.action_names), metadata.action_names),
            ("control step [s]", plant.control_dt_s, metadata.control_dt_s),
        )
        for what, offered, needed in pairs:
            same = offered == needed
            if isinstance(offered, float) and isinstance(needed, float):
                same = same_step(offered, needed)
            if not same:
                return (
                    f"plant {plant.name!r} does not fit policy {self.version[:12]} for {metadata.task}: "
                    f"its {what} are {offered}, the policy's {needed}"
                )
        return None

    def _warm_up(self) -> float:
        """Try each batch size, so that it is compiled; return the seconds of the smallest."""
        random = np.random.default_rng(0)
        for bucket in BUCKETS:
            u = self.act(random.normal(scale=3.0, size=(bucket, self.input_size)))
            if u.shape != (bucket, self.action_size):
                raise UnusablePolicy(f"policy {self.version[:12]} gives actions of shape {u.shape[1:]}")
            if not np.all(np.isfinite(u)) or np.any(np.abs(u) > 1.0):
                raise UnusablePolicy(f"policy {self.version[:12]} gives actions that are not in [-1, 1]")
        one = np.zeros((1, self.input_size), np.float32)
        return min(_seconds(lambda: self.act(one)) for _ in range(5))


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
