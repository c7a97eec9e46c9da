"""One episode of the control loop: read, ask, apply, record.

Ticks are absolute (`start + k dt`), so an overrun does not delay later ticks. Each answer has a deadline. An
answer that is missing, late, for another tick, not finite or beyond [-1, 1] is dropped, and the fallback law
acts instead. After an invalid reading, zero is commanded at once. Limits apply to policy, excitation and
fallback law alike. Requested and applied action are both recorded, with the reason if they differ.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from protos.hds import v1
from real_env.answers import ActionSource, Miss, checked_action
from real_env.clock import Clock
from real_env.fallback import Fallback
from real_env.guard import Exchanged, Guard, PlantFailed, PlantHung, PlantReleased
from real_env.limits import Limits
from real_env.plant import Diverged, Reading
from real_env.readings import end_cause, nan_reading
from real_env.timing import LOOP, PLANT, UNKNOWN, Pace, Timing

LET_GO = {
    v1.END_CAUSE_PLANT_LIMIT: "the plant's own limit tripped, and it let go",
    v1.END_CAUSE_PLANT_WATCHDOG: "the plant's own watchdog tripped for lack of commands, and it let go",
}
"""Ends reported by the plant that latch the emergency stop, with their messages."""
DEFAULT_EPISODE_S = 6.0
"""Length of an episode if neither options nor policy define one [s]."""


@dataclass(frozen=True)
class LoopSettings:
    """Settings of the control loop.

    Attributes:
        episode_steps: control steps after which an episode is truncated; 0 for the length of the task.
        deadline: share of the control step within which an answer must arrive, in (0, 1].
        max_misses: consecutive misses that latch the emergency stop.
        fallback: acts on a miss.
        limits: limits of actions and states.
        max_bad_readings: consecutive invalid readings that latch the emergency stop.
    """

    episode_steps: int
    deadline: float
    max_misses: int
    fallback: Fallback
    limits: Limits = field(default_factory=Limits)
    max_bad_readings: int = 2

    def with_length(self, steps: int, control_dt: float) -> "LoopSettings":
        """Return the settings with the task's length, `steps`, unless a length is set."""
        if self.episode_steps:
            return self
        return replace(self, episode_steps=steps or max(1, round(DEFAULT_EPISODE_S / control_dt)))


class Stopped(RuntimeError):
    """The run ends without torque, and the emergency stop must be latched."""


@dataclass(frozen=True)
class Numbering:
    """The place of an episode in its session."""

    first_sequence: int
    episode: int
    purpose: v1.Purpose
    session_start_ns: int


class Decision(NamedTuple):
    """The applied action `u[m]` of one tick, the requested one (None on a miss), and why they differ.

    `missed` says that no valid answer arrived in time, and `late` what caused that.
    """

    applied: np.ndarray
    requested: np.ndarray | None
    missed: bool
    reason: str
    policy_version: str
    late: str = ""


class Step(NamedTuple):
    """The result of one control step: the reading, NaN if there is none, and the end of the episode."""

    after: Reading
    end: v1.EndCause
    stop: str
    """Why the emergency stop must be latched; empty if it must not."""
    error: Exception | None = None


@dataclass
class Episode:
    """Drives the plant behind `guard` for one episode, and passes every transition to `record`.

    `excite(k)` is added to the requested action of tick k. `timing` collects statistics.
    """

    guard: Guard
    source: ActionSource
    clock: Clock
    settings: LoopSettings
    numbering: Numbering
    record: Callable[[v1.Transition], None]
    excite: Callable[[int], np.ndarray | float]
    stop: threading.Event
    timing: Timing = field(default_factory=Timing)

    def run(self, first: Reading, max_steps: int) -> Timing:
        """Drive from `first` for at most `max_steps` steps, or until `stop`; return the timing.

        Raises:
            Stopped: after too many consecutive misses or invalid readings, if the plant is lost or has
            removed its
                torque by itself, if it starts beyond its limits or, with `limits.latch`, exceeds them. All
                steps until then are recorded.
        """
        spec = self.guard.spec
        if why := self.settings.limits.beyond(first.x, spec):
            raise Stopped(f"the plant would begin beyond its limits: {why}")
        steps = min(self.settings.episode_steps, max_steps)
        self._reading, self._usable = first, True
        self._u_last = np.zeros(len(spec.action_names), np.float32)
        self._misses_in_row = self._bad_in_row = 0
        self._dt_ns, start_ns = round(spec.control_dt * 1e9), self.clock.now_ns()
        self._pace = Pace(self._dt_ns)
        for k in range(steps):
            try:
                step = self._tick(k, start_ns + k * self._dt_ns, last=k + 1 == steps)
            except PlantReleased:
                break
            if step.stop:
                late = self.timing.blame()
                raise Stopped(step.stop + (f"; late were: {late}" if late else "")) from step.error
            if step.end != v1.END_CAUSE_UNSPECIFIED:
                break
        return self.timing

    def _tick(self, k: int, tick_ns: int, last: bool) -> Step:
        if self._usable:
            self.clock.sleep_until(tick_ns)
        observation = v1.Observation(
            sequence=self.numbering.first_sequence + k,
            t_ns=tick_ns - self.numbering.session_start_ns,
            x=self._reading.x,
            u_last=self._u_last if k else (),
            deadline_ns=round(self.settings.deadline * self._dt_ns),
            fallbacks=self._misses_in_row,
        )
        decision = self._decide(k, tick_ns, observation) if self._usable else self._zero()
        decision, step = self._apply(decision, tick_ns, observation)
        if step.end == v1.END_CAUSE_UNSPECIFIED and (last or self.stop.is_set()):
            end = v1.END_CAUSE_OPERATOR if self.stop.is_set() else v1.END_CAUSE_CLOCK
            step = step._replace(end=end)
        self.record(_transition(self.numbering, observation, decision, step))
        self._reading, self._u_last = step.after, np.clip(decision.applied, -1.0, 1.0)
        return step

    def _decide(self, k: int, tick_ns: int, observation: v1.Observation) -> Decision:
        """Return the answer with excitation if it is valid and in time, else the fallback law's action."""
        begun_ns = self.clock.now_ns()
        self.timing.lateness.add((begun_ns - tick_ns) * 1e-6)
        answer = self.source.act(observation, tick_ns + observation.deadline_ns)
        took_ns = self.clock.now_ns() - tick_ns
        self.timing.answers.add(took_ns * 1e-6)
        u = checked_action(answer, observation.sequence, len(self._u_last))
        if took_ns > observation.deadline_ns and not isinstance(u, Miss):
            u = Miss("the answer came after the deadline")
        version = "" if isinstance(answer, Miss) else answer.policy_version
        if isinstance(u, Miss):
            waited_ns = took_ns - (begun_ns - tick_ns)
            in_vain = u.late == UNKNOWN and waited_ns < 0.5 * observation.deadline_ns < took_ns
            late = self._pace.culprit if in_vain else u.late
            return self._fallback(u.why, version, late)
        applied = np.clip(u + self.excite(k), -1.0, 1.0).astype(np.float32)
        return self._limited(Decision(applied, u, False, "", version))

    def _fallback(self, why: str, version: str, late: str) -> Decision:
        u = self.settings.fallback(self._reading.x, self._u_last)
        return self._limited(Decision(u, None, True, why, version, late))

    def _zero(self) -> Decision:
        why = "no command is computed from a reading that is not usable"
        return Decision(np.zeros_like(self._u_last), None, False, why, "")

    def _limited(self, decision: Decision) -> Decision:
        spec, limits = self.guard.spec, self.settings.limits
        applied, why = limits.applied(decision.applied, self._u_last, spec.control_dt)
        return decision._replace(applied=applied, reason=_join_reasons(decision.reason, why))

    def _apply(self, decision: Decision, tick_ns: int, observation: v1.Observation) -> tuple[Decision, Step]:
        """Command the plant; return the applied action and the result."""
        from_policy = decision.requested is not None
        until_ns = tick_ns + observation.deadline_ns if from_policy else float("inf")
        applied = decision

        def instead() -> np.ndarray:
            nonlocal applied
            why = "the answer was there, but could not be applied before its deadline"
            applied = self._fallback(why, decision.policy_version, LOOP)
            return applied.applied

        try:
            found = self.guard.exchange(decision.applied, tick_ns, until_ns, instead)
        except (Diverged, PlantFailed, PlantHung) as error:
            return self._ended(applied, error)
        return self._counted(applied, found, tick_ns)

    def _ended(self, decision: Decision, error: Exception) -> tuple[Decision, Step]:
        """Return the last step of a plant that cannot continue; its next state is unknown."""
        self.timing.steps += 1
        diverged = isinstance(error, Diverged)
        end = v1.END_CAUSE_DIVERGED if diverged else v1.END_CAUSE_PLANT_LOST
        if diverged:
            self.timing.left.append(str(error))
        elif isinstance(error, PlantHung):
            self.timing.late[PLANT] += 1
        cause = error.__cause__
        why = f"{error}: {type(cause).__name__}: {cause}" if cause else str(error)
        decision = decision._replace(reason=_join_reasons(decision.reason, why))
        after, stop = nan_reading(self.guard.spec), "" if diverged else f"stopped, since {why}"
        return decision, Step(
            after, end, stop, error.__cause__ if isinstance(error.__cause__, Exception) else None
        )

    def _counted(self, decision: Decision, found: Exchanged, tick_ns: int) -> tuple[Decision, Step]:
        """Count a control step, and determine whether it ends the episode or stops the plant."""
        after, why_not = (found.reading, "") if isinstance(found.reading, Reading) else (None, found.reading)
        usable_now, after = after is not None, after or nan_reading(self.guard.spec)
        if late := PLANT if found.missing else decision.late:
            self.timing.late[late] += 1
        if overran := self._pace.overran(tick_ns, found.asked_ns, found.returned_ns):
            self.timing.overruns += 1
            self.timing.late[overran] += 1
        self.timing.steps += 1
        self.timing.misses += decision.missed or found.missing
        self.timing.bad_readings += not usable_now
        policy_acted = decision.requested is not None and not found.missing
        self._misses_in_row = 0 if policy_acted else self._misses_in_row + 1
        self._bad_in_row = self._bad_in_row + 1 if not usable_now and not found.missing else 0
        decision = _as_reported(decision, after)
        decision = decision._replace(reason=_join_reasons(decision.reason, why_not))
        self._usable = usable_now
        return decision, self._step(decision, after, why_not)

    def _step(self, decision: Decision, after: Reading, why_not: str) -> Step:
        settings, spec = self.settings, self.guard.spec
        left = settings.limits.beyond(after.x, spec)
        if left:
            self.timing.left.append(left)
            self.guard.command_zero()
            stop = f"stopped, since {left}" if settings.limits.latch else ""
            return Step(after._replace(terminated=True), v1.END_CAUSE_STATE_LIMIT, stop)
        end = end_cause(after)
        if end in LET_GO:
            self.timing.left.append(LET_GO[end])
            return Step(after, end, f"stopped, since {LET_GO[end]}")
        if self._bad_in_row >= settings.max_bad_readings:
            why = (
                f"stopped after {self._bad_in_row} consecutive readings were not usable; the last: {why_not}"
            )
            return Step(after, v1.END_CAUSE_BAD_READINGS, why)
        if self._misses_in_row >= settings.max_misses:
            what = f"stopped after {self._misses_in_row} consecutive answers were missed"
            return Step(after, v1.END_CAUSE_MISSES, f"{what}; the last: {decision.reason}")
        return Step(after, end, "")


def _as_reported(decision: Decision, after: Reading) -> Decision:
    """Return `decision` with the applied action that the plant reports, if it reports one."""
    reported = after.u_applied
    if reported is None or np.array_equal(reported, decision.applied):
        return decision
    possible = reported.shape == decision.applied.shape and np.all(np.isfinite(reported))
    doubt = "" if possible else f", which is {reported.tolist()}: not believed"
    why = f"applied as reported by the plant{doubt}"
    applied = reported.astype(np.float32) if possible else decision.applied
    return decision._replace(applied=applied, reason=_join_reasons(decision.reason, why))


def _join_reasons(*reasons: str) -> str:
    return "; ".join(filter(None, reasons))


def _transition(
    numbering: Numbering, observation: v1.Observation, decision: Decision, step: Step
) -> v1.Transition:
    ended = step.end != v1.END_CAUSE_UNSPECIFIED
    from_policy = decision.requested is not None
    return v1.Transition(
        sequence=observation.sequence,
        episode=numbering.episode,
        purpose=numbering.purpose,
        x=observation.x,
        u_requested=decision.requested if decision.requested is not None else (),
        u_applied=decision.applied,
        x_next=step.after.x,
        t_ns=observation.t_ns,
        terminated=step.after.terminated,
        truncated=ended and not step.after.terminated,
        policy_version=decision.policy_version,
        action_source=v1.ACTION_SOURCE_POLICY if from_policy else v1.ACTION_SOURCE_FALLBACK,
        reason=decision.reason[:2000],
        end=step.end,
    )
