"""A session: one run of one plant, phase by phase, with every transition on its way to the trainer."""

import math
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from protos.hds import v1
from real_env.clock import Clock
from real_env.episode import Episode, LoopSettings, Numbering, Stopped
from real_env.excitation import Excitation, no_excitation
from real_env.guard import Guard, PlantFailed, PlantReleased
from real_env.phases import Phase
from real_env.plant import Reading
from real_env.policy_link import PolicyLink
from real_env.spool import Spool
from real_env.timing import UNKNOWN, Timing
from real_env.uplink import Uplink

LISTED = 20


def new_session_id() -> str:
    """Return an id that sorts by time and does not repeat."""
    return time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + secrets.token_hex(4)


@dataclass
class PhaseReport:
    """What one phase did; times in seconds.

    Attributes:
        seconds: of motion, control steps times their length.
        timing: of all its episodes.
    """

    phase: str
    session: str
    first_episode: int
    episodes: int = 0
    seconds: float = 0.0
    policy_versions: list[str] = field(default_factory=list)
    timing: Timing = field(default_factory=Timing)

    def add(self, timing: Timing, control_dt: float) -> None:
        """Count one episode."""
        self.episodes += 1
        self.seconds += timing.steps * control_dt
        self.timing.include(timing)

    def as_dict(self) -> dict[str, Any]:
        """Return the report in plain types; `lateness_ms` and `answers_ms` are p50, p99 and worst."""
        timing = self.timing
        return {name: value for name, value in vars(self).items() if name != "timing"} | {
            "steps": timing.steps,
            "misses": timing.misses,
            "overruns": timing.overruns,
            "bad_readings": timing.bad_readings,
            "late": dict(timing.late),
            "limits_exceeded": timing.left[:LISTED],
            "lateness_ms": timing.lateness.percentiles(),
            "answers_ms": timing.answers.percentiles(),
        }

    def words(self) -> str:
        """Return the report for people."""
        timing = self.timing
        answers, late = timing.answers.percentiles(), timing.lateness.percentiles()
        spread = "p50 {p50:.2f}, p99 {p99:.2f}, worst {worst:.2f} ms"
        versions = ", ".join(version[:12] for version in self.policy_versions) or "none"
        lines = [
            f"{self.phase}: {self.episodes} episodes, {self.seconds:.1f} s; {timing.misses} answers missed, "
            f"{timing.overruns} ticks overran; policy {versions}",
            *(f"  an episode ended: {left}" for left in timing.left[:LISTED]),
            f"  ticks late by {spread.format(**late)}; answers after {spread.format(**answers)}",
        ]
        if timing.bad_readings:
            lines.append(f"  {timing.bad_readings} readings were not usable")
        if blame := timing.blame():
            lines.append(f"  late were: {blame}")
        return "\n".join(lines)


@dataclass
class Session:
    """Everything one run needs; `run` may be called for many phases."""

    message: v1.Session
    guard: Guard
    link: PolicyLink
    spool: Spool
    uplink: Uplink
    clock: Clock
    settings: LoopSettings
    excitation: Excitation
    stop: threading.Event
    on_progress: Callable[[float], None] = lambda share: None
    next_sequence: int = 0
    next_episode: int = 0

    def __post_init__(self) -> None:
        self.spool.open_session(self.message)
        self.start_ns = self.clock.now_ns()
        """When the session began, on the clock; transitions count from here."""
        self.report = PhaseReport("nothing", self.message.id, 0)
        """Of the phase that runs, or ran last."""

    def run(self, phase: Phase) -> PhaseReport:
        """Drive the plant through `phase`, or until `stop` is set; leave it without torque.

        Raises:
            ValueError: a recording is to be learned from.
            Refused: the controller can't serve this plant.
            Stopped: the emergency stop is to be latched; what happened until then is recorded, and reported.
        """
        spec = self.guard.spec
        if phase.purpose == v1.PURPOSE_COLLECT and not spec.live:
            raise ValueError(f"plant {spec.name!r} is a recording; it can only be evaluated")
        report = self.report = PhaseReport(str(phase), self.message.id, self.next_episode)
        while not (served := self.link.wait_until_served(0.2)) and not self.stop.is_set():
            pass
        if served is None:
            return report
        settings = self.settings.with_length(served.episode_steps, spec.control_dt)
        wanted_steps = math.inf if phase.seconds is None else max(1, round(phase.seconds / spec.control_dt))
        wanted_episodes = math.inf if phase.episodes is None else phase.episodes
        while (
            report.timing.steps < wanted_steps
            and report.episodes < wanted_episodes
            and not self.stop.is_set()
        ):
            left = int(min(wanted_steps - report.timing.steps, settings.episode_steps))
            self._episode(phase.purpose, settings, left, report)
            share = max(report.timing.steps / wanted_steps, report.episodes / wanted_episodes)
            self.on_progress(min(1.0, share))
        if not self.stop.is_set():
            self.guard.rest()
        return report

    def _episode(
        self, purpose: v1.Purpose, settings: LoopSettings, max_steps: int, report: PhaseReport
    ) -> None:
        """Drive one episode, and count it in the report however it ends."""

        def record(transition: v1.Transition) -> None:
            self.spool.append(self.message.id, transition)
            self.uplink.notify()
            self.next_sequence = transition.sequence + 1
            version = transition.policy_version
            if version and version not in report.policy_versions:
                report.policy_versions.append(version)

        episode = Episode(
            self.guard,
            self.link,
            self.clock,
            settings,
            Numbering(self.next_sequence, self.next_episode, purpose, self.start_ns),
            record,
            self.excitation if purpose == v1.PURPOSE_COLLECT else no_excitation,
            self.stop,
        )
        self.next_episode += 1
        try:
            if (first := self._start_state()) is not None:
                episode.run(first, max_steps)
        finally:
            resolved = self.link.resolved()
            episode.timing.late.update(resolved)
            episode.timing.late[UNKNOWN] = max(0, episode.timing.late[UNKNOWN] - resolved.total())
            report.add(episode.timing, self.guard.spec.control_dt)

    def _start_state(self) -> Reading | None:
        """Reset the plant and return its reading; None if the run was asked to end meanwhile.

        Raises:
            Stopped: reset failed, or gave no usable reading as often as is allowed.
        """
        why = ""
        for _ in range(self.settings.max_bad_readings):
            try:
                first = self.guard.reset(self.stop)
            except PlantReleased:
                return None
            except PlantFailed as error:
                cause = error.__cause__
                raise Stopped(f"stopped, since {error}: {type(cause).__name__}: {cause}") from cause
            if isinstance(first, Reading):
                return first
            why = first
            self.guard.rest()
        raise Stopped(f"stopped, since the plant's reset gave no usable reading: {why}")
