"""One episode of the timed loop: read, ask, apply, record.

Ticks are absolute (`start + k dt`), so an overrun does not shift the ones after it. Every answer has
a deadline; one that is missing, late, for another tick, not finite or beyond the limits is dropped
and the fallback law acts instead. Requested and applied action are both recorded.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from protos.hds import v1
from real_env.clock import Clock
from real_env.fallback import Fallback
from real_env.plant import Plant, Reading


class Asker(Protocol):
    """What gives the loop its actions."""

    def ask(self, observation: v1.Observation, until_ns: int) -> v1.Action | str:
        """Return the action for `observation`, or why there is none by `until_ns` on the clock."""
        ...


@dataclass(frozen=True)
class LoopSettings:
    """How the loop runs.

    Attributes:
        episode_steps: control steps after which the clock truncates an episode.
        deadline: share of the control step within which an answer must be here, in (0, 1].
        max_misses: consecutive misses that latch a stop.
        fallback: acts when no usable answer came.
    """

    episode_steps: int
    deadline: float
    max_misses: int
    fallback: Fallback


@dataclass
class Timing:
    """What happened to the ticks of one episode."""

    steps: int = 0
    overruns: int = 0
    misses: int = 0
    worst_answer_ms: float = 0.0


class Stopped(RuntimeError):
    """Too many consecutive misses; the plant is left without torque until an explicit new start."""


@dataclass(frozen=True)
class Numbering:
    """Where an episode stands in its session."""

    first_sequence: int
    episode: int
    purpose: v1.Purpose
    session_start_ns: int


def run_episode(
    plant: Plant,
    first: Reading,
    asker: Asker,
    clock: Clock,
    settings: LoopSettings,
    numbering: Numbering,
    record: Callable[[v1.Transition], None],
    max_steps: int,
    excite: Callable[[int], np.ndarray | float],
    stop: threading.Event,
) -> Timing:
    """Drive `plant` from `first` for at most `max_steps` steps, or until `stop`.

    `record` gets every transition; `excite(k)` is added to the requested action of tick k.

    Raises:
        Stopped: after `settings.max_misses` consecutive misses; every step until then is recorded.
    """
    spec = plant.spec
    dt_ns = round(spec.control_dt * 1e9)
    patience_ns = round(settings.deadline * dt_ns)
    start_ns = clock.now_ns()
    u_last = np.zeros(len(spec.action_names), np.float32)
    reading, timing, misses_in_row = first, Timing(), 0
    for k in range(min(settings.episode_steps, max_steps)):
        tick_ns = start_ns + k * dt_ns
        clock.sleep_until(tick_ns)
        t_ns = tick_ns - numbering.session_start_ns
        observation = v1.Observation(
            sequence=numbering.first_sequence + k,
            t_ns=t_ns,
            x=reading.x,
            u_last=u_last if k else (),
            deadline_ns=patience_ns,
        )
        answer = asker.ask(observation, tick_ns + patience_ns)
        timing.worst_answer_ms = max(timing.worst_answer_ms, (clock.now_ns() - tick_ns) * 1e-6)
        requested, reason = usable(answer, observation.sequence, len(u_last))
        if requested is None:
            applied = settings.fallback(reading.x, u_last)
        else:
            applied = np.clip(requested + excite(k), -1.0, 1.0).astype(np.float32)
        after = plant.exchange(applied)
        last = k + 1 == min(settings.episode_steps, max_steps) or stop.is_set()
        record(
            v1.Transition(
                sequence=observation.sequence,
                episode=numbering.episode,
                purpose=numbering.purpose,
                x=reading.x,
                u_requested=() if requested is None else requested,
                u_applied=applied,
                x_next=after.x,
                t_ns=t_ns,
                terminated=after.terminated,
                truncated=last and not after.terminated,
                policy_version="" if isinstance(answer, str) else answer.policy_version,
                action_source=v1.ACTION_SOURCE_POLICY if reason is None else v1.ACTION_SOURCE_FALLBACK,
                fallback_reason=reason or "",
            )
        )
        misses_in_row = 0 if reason is None else misses_in_row + 1
        timing.steps += 1
        timing.misses += reason is not None
        timing.overruns += clock.now_ns() > tick_ns + dt_ns
        if misses_in_row >= settings.max_misses:
            raise Stopped(
                f"stopped after {misses_in_row} consecutive answers were missed; the last: {reason}"
            )
        reading, u_last = after, applied
        if after.terminated or stop.is_set():
            break
    return timing


def usable(answer: v1.Action | str, sequence: int, size: int) -> tuple[np.ndarray | None, str | None]:
    """Return `(u[m], None)`, or `(None, why)` if `answer` must not reach the plant."""
    if isinstance(answer, str):
        return None, answer
    if answer.sequence != sequence:
        return None, f"the answer is for tick {answer.sequence}, not {sequence}"
    u = np.asarray(answer.u, np.float32)
    if u.shape != (size,):
        return None, f"the answer has {u.size} actions, not {size}"
    if not np.all(np.isfinite(u)):
        return None, f"the answer is not finite: {u.tolist()}"
    if np.any(np.abs(u) > 1.0):
        return None, f"the answer is beyond [-1, 1]: {u.tolist()}"
    return u, None
