"""Whether a task can be learned at all: its functions tried at drawn states, before anything is trained."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trainer.models.model import Model
from trainer.tasks.task import Task

DRAWN = 256
"""States drawn of each kind."""


class LearnedNothing(ValueError):
    """A training whose numbers were not finite; the message says where, and what to look at."""


def check_task(task: Task, key: jax.Array) -> None:
    """Draw start states of both kinds and try the residual there.

    Raises:
        ValueError: naming the function at fault, the component and the state.
    """
    for kind, draw in (("reset", task.reset), ("explore", task.explore)):
        x = np.asarray(jax.jit(jax.vmap(draw))(jax.random.split(key, DRAWN)))
        if x.ndim != 2 or x.shape[1] != len(task.state_names):
            raise ValueError(
                f"task {task.name}: {kind} draws states of shape {list(x.shape[1:])}; needed are "
                f"{len(task.state_names)} numbers, {', '.join(task.state_names)}"
            )
        _check_states(task, kind, x)
        _check_residual(task, kind, x)


def why_nothing(task: Task, model: Model, theta: Any, key: jax.Array) -> str:
    """Return what is not finite near a start state: the model's step, or its derivatives."""
    x = task.reset(key)
    u = jnp.zeros(len(task.action_names))
    step = lambda x, u: model(theta, x, u)  # noqa: E731
    shown = np.array2string(np.asarray(x), precision=4, separator=", ")
    if not bool(jnp.all(jnp.isfinite(jax.jit(step)(x, u)))):
        return f"the model's step from the start state {shown} is not finite"
    A, B = jax.jit(jax.jacfwd(step, (0, 1)))(x, u)
    for what, derivative in (("state", A), ("action", B)):
        bad = ~np.isfinite(np.asarray(derivative))
        if bad.any():
            return (
                f"the model's derivatives with respect to the {what} are not finite at the start state "
                f"{shown} ({int(bad.sum())} of {bad.size} entries), though its step is: the simulator can't "
                "be differentiated there; start elsewhere, or use another backend"
            )
    return "the model and its derivatives are finite at a start state, and not along trajectories"


def _check_states(task: Task, kind: str, x: np.ndarray) -> None:
    bad = ~np.isfinite(x)
    if bad.any():
        sample, place = (int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"task {task.name}: {kind} draws states that are not finite: {task.state_names[place]} is "
            f"{x[sample, place]} in {int(bad.any(axis=1).sum())} of {len(x)}"
        )


def _check_residual(task: Task, kind: str, x: np.ndarray) -> None:
    u = jnp.zeros(len(task.action_names))
    r = np.asarray(jax.jit(jax.vmap(lambda x: task.residual(x, u)))(jnp.asarray(x)))
    if r.ndim != 2:
        raise ValueError(
            f"task {task.name}: the residual has the shape {list(r.shape[1:])}; a vector is needed"
        )
    bad = ~np.isfinite(r)
    if bad.any():
        sample, component = (int(i) for i in np.argwhere(bad)[0])
        shown = np.array2string(x[sample], precision=4, separator=", ")
        raise ValueError(
            f"task {task.name}: component {component} of the residual is {r[sample, component]} at the state "
            f"{shown} without action, and so in {int(bad.any(axis=1).sum())} of {len(x)} states that {kind} "
            "draws; a cost must be finite wherever learning starts"
        )
