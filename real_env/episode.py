"""One episode of the timed loop: read, ask, apply, record.

Ticks are absolute (`start + k dt`), so an overrun does not shift the ones after it. Every answer has
a deadline; one that is missing, late, for another tick, not finite or beyond the limits is dropped
and the fallback law acts instead. Limits hold for whatever acts. Requested and applied action are both
recorded, and why they differ.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from protos.hds import v1
from real_env.clock import Clock
from real_env.fallback import Fallback
from real_env.limits import Limits
from real_env.plant import Plant, Reading
from real_env.spread import Spread


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
        limits: what is applied, and where the plant may be.
    """

    episode_steps: int
    deadline: float
    max_misses: int
    fallback: Fallback
    limits: Limits = field(default_factory=Limits)


@dataclass
class Timing:
    """What happened to the ticks of one episode: how late each began, and when its answer was there."""

    steps: int = 0
    overruns: int = 0
    misses: int = 0
    lateness: Spread = field(default_factory=Spread)
    answers: Spread = field(default_factory=Spread)
    left: list[str] = field(default_factory=list)
    """Which limit of the state ended the episode."""

    def count(self, decision: "Decision", overran: bool, misses_in_row: int) -> int:
        """Count a tick; return how many in a row were missed with it."""
        self.steps += 1
        self.misses += decision.missed
        self.overruns += overran
        return misses_in_row + 1 if decision.missed else 0


class Stopped(RuntimeError):
    """Too many consecutive misses, or a limit; the plant is left without torque until an explicit start."""


@dataclass(frozen=True)
class Numbering:
    """Where an episode stands in its session."""

    first_sequence: int
    episode: int
    purpose: v1.Purpose
    session_start_ns: int


class Decision(NamedTuple):
    """What is applied at one tick: `u[m]`, what was requested (None if unusable), and why not that.

    `missed` says that the fallback acted.
    """

    applied: np.ndarray
    requested: np.ndarray | None
    missed: bool
    reason: str
    policy_version: str


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
        Stopped: after `settings.max_misses` consecutive misses, or if the plant begins beyond its limits or,
            where `limits.latch` says so, leaves them; every step until then is recorded.
    """
    limits, spec = settings.limits, plant.spec
    if why := limits.beyond(first.x, spec):
        raise Stopped(f"the plant would begin beyond its limits: {why}")
    dt_ns, start_ns = round(spec.control_dt * 1e9), clock.now_ns()
    steps = min(settings.episode_steps, max_steps)
    reading, u_last = first, np.zeros(len(spec.action_names), np.float32)
    timing, misses_in_row = Timing(), 0
    for k in range(steps):
        tick_ns = start_ns + k * dt_ns
        clock.sleep_until(tick_ns)
        timing.lateness.add((clock.now_ns() - tick_ns) * 1e-6)
        observation = v1.Observation(
            sequence=numbering.first_sequence + k,
            t_ns=tick_ns - numbering.session_start_ns,
            x=reading.x,
            u_last=u_last if k else (),
            deadline_ns=round(settings.deadline * dt_ns),
            fallbacks=misses_in_row,
        )
        answer = _answer_in_time(asker, observation, tick_ns, clock, timing)
        decision = _decide(answer, observation, u_last, reading, settings.fallback, excite(k))
        decision = _limited(decision, u_last, limits, spec.control_dt)
        after = plant.exchange(decision.applied)
        decision = _as_told(decision, after)
        if left := limits.beyond(after.x, spec):
            after = after._replace(terminated=True)
        ended = k + 1 == steps or after.ended or stop.is_set()
        record(_transition(numbering, observation, decision, after, ended))
        misses_in_row = timing.count(decision, clock.now_ns() > tick_ns + dt_ns, misses_in_row)
        if left:
            plant.exchange(np.zeros_like(u_last))
            timing.left.append(left)
        _stop_if_must(settings, left, misses_in_row, decision.reason)
        reading, u_last = after, np.clip(decision.applied, -1.0, 1.0)
        if after.terminated or ended:
            break
    return timing


def _stop_if_must(settings: LoopSettings, left: str, misses_in_row: int, reason: str) -> None:
    """Raise `Stopped` where the plant left a limit that latches, or too many answers in a row were missed."""
    if left and settings.limits.latch:
        raise Stopped(f"stopped, since {left}")
    if misses_in_row >= settings.max_misses:
        raise Stopped(f"stopped after {misses_in_row} consecutive answers were missed; the last: {reason}")


def _answer_in_time(
    asker: Asker, observation: v1.Observation, tick_ns: int, clock: Clock, timing: Timing
) -> v1.Action | str:
    """Ask, and drop what is read after the deadline even if it was there before."""
    answer = asker.ask(observation, tick_ns + observation.deadline_ns)
    took_ns = clock.now_ns() - tick_ns
    timing.answers.add(took_ns * 1e-6)
    late = took_ns > observation.deadline_ns and not isinstance(answer, str)
    return "the answer came after the deadline" if late else answer


def _decide(
    answer: v1.Action | str,
    observation: v1.Observation,
    u_last: np.ndarray,
    reading: Reading,
    fallback: Fallback,
    excitation: np.ndarray | float,
) -> Decision:
    """Take the answer, excited, if it is usable; otherwise what the fallback law says.

    A law cannot say anything about a reading that is not finite; the plant is then let go.
    """
    requested, reason = usable(answer, observation.sequence, len(u_last))
    version = "" if isinstance(answer, str) else answer.policy_version
    if requested is None:
        u = fallback(reading.x, u_last)
        finite = u if np.all(np.isfinite(u)) else np.zeros_like(u_last)
        return Decision(finite, None, True, reason or "", version)
    applied = np.clip(requested + excitation, -1.0, 1.0).astype(np.float32)
    return Decision(applied, requested, False, "", version)


def _limited(decision: Decision, u_last: np.ndarray, limits: Limits, control_dt: float) -> Decision:
    applied, why = limits.applied(decision.applied, u_last, control_dt)
    reason = "; ".join(filter(None, (decision.reason, why)))
    return decision._replace(applied=applied, reason=reason)


def _as_told(decision: Decision, after: Reading) -> Decision:
    """Return `decision` with what the plant says it applied, where it says so."""
    told = after.u_applied
    if told is None or np.array_equal(told, decision.applied):
        return decision
    usable = told.shape == decision.applied.shape and np.all(np.isfinite(told))
    why = (
        "the plant tells that it applied this"
        if usable
        else f"the plant tells that it applied {told.tolist()}"
    )
    reason = "; ".join(filter(None, (decision.reason, why)))
    return decision._replace(applied=told if usable else decision.applied, reason=reason)


def _transition(
    numbering: Numbering, observation: v1.Observation, decision: Decision, after: Reading, ended: bool
) -> v1.Transition:
    return v1.Transition(
        sequence=observation.sequence,
        episode=numbering.episode,
        purpose=numbering.purpose,
        x=observation.x,
        u_requested=() if decision.requested is None else decision.requested,
        u_applied=decision.applied,
        x_next=after.x,
        t_ns=observation.t_ns,
        terminated=after.terminated,
        truncated=ended and not after.terminated,
        policy_version=decision.policy_version,
        action_source=v1.ACTION_SOURCE_FALLBACK if decision.missed else v1.ACTION_SOURCE_POLICY,
        reason=decision.reason,
    )


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
