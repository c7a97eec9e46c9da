"""Checks of recorded data against the task: signs, units and zeros of the columns.

A velocity is the derivative of its position, a motor pushes in the direction that the task defines, and
gravity acts from the zero of the task's angle. Data that contradict this are refused, since a fit would
absorb the error in friction, gain or mass.

Notation
    b        slope of a motor's measured effect over the simulated one; 1 if they agree
"""

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from protos import kinematics
from trainer.dynamics.windows import Segment
from trainer.models.force import no_force
from trainer.tasks.task import Task

LEAST_STEPS, MOST_STEPS = 20, 2000
REMEDIES = {
    kinematics.ZERO: "record the velocity, or leave it to be derived",
    kinematics.UNLIKE: "look whether the columns belong together",
    kinematics.OPPOSITE: "turn one of the two round (scale = -1 in a --format file)",
    kinematics.SCALED: "give both in the task's units (unit in a --format file)",
}
SHARE = 0.5
"""Another zero is reported if it lowers the squared error to less than this share."""
CLEAR, BACKWARDS, TOO_MUCH = 3.0, -0.2, 5.0
"""A slope b contradicts the simulator if it is negative by CLEAR standard errors and below BACKWARDS, or
above TOO_MUCH."""


class Contradiction(NamedTuple):
    """A column, the finding, and the remedy."""

    column: str
    seen: str
    remedy: str

    def __str__(self) -> str:
        """Return the text of a message."""
        return f"{self.column}: {self.seen}; {self.remedy}"


class Contradicted(ValueError):
    """Data that contradicts its task; the message names the columns."""


def check(task: Task, segments: list[Segment]) -> None:
    """Check recorded data before a fit.

    Raises:
        Contradicted: naming each column, the finding and the remedy.
    """
    _refuse(task, contradictions(task, segments))


def _refuse(task: Task, found: list[Contradiction]) -> None:
    if found:
        raise Contradicted(
            f"the data contradict task {task.name} and are not used: " + ". ".join(map(str, found))
        )


def contradictions(task: Task, segments: list[Segment]) -> list[Contradiction]:
    """Return the contradictions between `segments`, all finite, and the task."""
    if task.positions != task.joints or sum(len(segment.u) for segment in segments) < LEAST_STEPS:
        return []  # with quaternions, positions and velocities do not come in pairs
    found = [c for joint in range(task.joints) if (c := _kinematics(task, joint, segments))]
    return found or _dynamics(task, *_steps(segments))


def _steps(segments: list[Segment]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x[T, n], u[T, m] and x_next[T, n] of steps evenly spaced over the segments."""
    x, u, x_next = (
        np.concatenate([part(segment) for segment in segments]).astype(float)
        for part in (lambda m: m.x[:-1], lambda m: m.u, lambda m: m.x[1:])
    )
    chosen = np.unique(np.linspace(0, len(u) - 1, MOST_STEPS).round().astype(int))
    return x[chosen], u[chosen], x_next[chosen]


def _kinematics(task: Task, joint: int, segments: list[Segment]) -> Contradiction | None:
    """Compare a velocity with the change of its position."""
    position, velocity = task.state_names[joint], task.state_names[task.joints + joint]
    x = [segment.x for segment in segments]
    stretches = [
        (task.control_dt * np.arange(len(part)), part[:, joint], part[:, task.joints + joint]) for part in x
    ]
    return _of(kinematics.agreement(stretches, position), velocity)


def _of(found: kinematics.Agreement, velocity: str) -> Contradiction | None:
    remedy = REMEDIES.get(found.verdict)
    return Contradiction(velocity, found.words, remedy) if remedy else None


def check_columns(task: Task, t: np.ndarray, x: np.ndarray) -> None:
    """Check the velocities of a log before resampling, x[N, n] at t[N] [s].

    Raises:
        Contradicted: naming each column, the finding and the remedy.
    """
    if task.positions != task.joints:
        return
    edges = [0, *(np.flatnonzero(np.diff(t) > 10.0 * np.median(np.diff(t))) + 1), len(t)]
    parts = [slice(first, last) for first, last in itertools.pairwise(edges)]
    found = []
    for joint in range(task.joints):
        position, velocity = task.state_names[joint], task.state_names[task.joints + joint]
        stretches = [(t[part], x[part, joint], x[part, task.joints + joint]) for part in parts]
        found.append(_of(kinematics.agreement(stretches, position), velocity))
    _refuse(task, [one for one in found if one])


def _dynamics(task: Task, x: np.ndarray, u: np.ndarray, x_next: np.ndarray) -> list[Contradiction]:
    """Check the zeros of angles, then the signs of motors and joints."""
    step, d = _step(task), task.joints

    def velocities(x: np.ndarray, u: np.ndarray) -> np.ndarray:
        return np.asarray(step(jnp.asarray(x), jnp.asarray(u)))[:, d:]

    def size(x: np.ndarray, u: np.ndarray, joint: int) -> float:
        off = (velocities(x, u) - x_next[:, d:])[:, joint]
        return float(np.mean(np.nan_to_num(off**2, nan=1e6, posinf=1e6)))

    for angle in task.features.angles:
        turned = x.copy()
        turned[:, angle] += np.pi
        found, best = (min(size(at, u, angle), size(at, -u, angle)) for at in (x, turned))
        if best < SHARE * found:
            seen = "moves as if its zero were half a turn away from the task's, where 0 is upright"
            remedy = "add pi to it (zero = 'hanging' in a --format file)"
            return [Contradiction(task.state_names[angle], seen, remedy)]
    rest = velocities(x, np.zeros_like(u))
    found = []
    for motor in range(u.shape[1]):
        alone = np.zeros_like(u)
        alone[:, motor] = u[:, motor]
        found += _effects(task, motor, velocities(x, alone) - rest, x_next[:, d:] - rest)
    return found


def _effects(task: Task, motor: int, effect: np.ndarray, seen: np.ndarray) -> list[Contradiction]:
    """Compare a motor's simulated effect on each joint's velocity, [T, d], with the measured one."""
    action, d = task.action_names[motor], task.joints
    slopes = [_slope(effect[:, joint], seen[:, joint]) for joint in range(d)]
    backwards = [b < -CLEAR * error and b < BACKWARDS for b, error in slopes]
    if any(backwards) and all(b < 0.0 for b, error in slopes if np.isfinite(error)):
        strongest = min(slopes)
        shown = f"its effect is {strongest[0]:.2f} ± {strongest[1]:.2f} times the simulator's"
        remedy = "swap the motor's wires, or turn the sign of the action round"
        return [Contradiction(action, f"pushes the other way: {shown}", remedy)]
    found = []
    for joint, (b, error) in enumerate(slopes):
        position = task.state_names[joint]
        if backwards[joint]:
            shown = (
                f"{action} moves it the other way than in the simulator ({b:.2f} ± {error:.2f} times as far)"
            )
            remedy = "turn the signs of it and of its velocity round, or look at the motor"
            found.append(Contradiction(position, shown, remedy))
        elif b - CLEAR * error > TOO_MUCH:
            shown = f"{action} moves it {b:.3g} times as far as in the simulator{kinematics.unit_of(b)}"
            found.append(
                Contradiction(position, shown, "give it in the task's units, or the motor its strength")
            )
    return found


def _slope(effect: np.ndarray, seen: np.ndarray) -> tuple[float, float]:
    """Return the slope b and its standard error; (0, inf) if there is no simulated effect."""
    usable = np.isfinite(effect) & np.isfinite(seen)
    effect, seen = effect[usable], seen[usable]
    power = float(np.sum(effect**2))
    if power < 1e-9 * max(1, len(effect)):
        return 0.0, np.inf
    slope = float(np.sum(effect * seen)) / power
    return slope, float(np.sqrt(np.sum((effect * (seen - slope * effect)) ** 2))) / power


@functools.lru_cache(maxsize=8)
def _step(task: Task) -> Callable:
    """Return `(x[T, n], u[T, m]) -> x_next[T, n]` of the plain simulator."""
    model = task.model(no_force, 1)
    stepped = jax.jit(jax.vmap(lambda x, u: model(None, x, u)))

    def padded(x: jax.Array, u: jax.Array) -> jax.Array:
        rest = MOST_STEPS - len(u)  # one shape is compiled
        x_all = jnp.pad(x, ((0, rest), (0, 0)), mode="edge")
        return stepped(x_all, jnp.pad(u, ((0, rest), (0, 0))))[: len(u)]

    return padded
