"""Runs a session: phases of episodes, whose transitions are uploaded to the trainer."""

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
from real_env.policy_client import PolicyClient
from real_env.spool import Spool
from real_env.timing import UNKNOWN, Timing
from real_env.uploader import ExperienceUploader

LISTED = 20


def new_session_id() -> str:
    """Return a unique id that sorts by time."""
    return time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + secrets.token_hex(4)


@dataclass
class PhaseReport:
    """Report of one phase.

    Attributes:
        seconds: duration of all control steps [s].
        timing: statistics of all episodes.
    """

    phase: str
    session: str
    first_episode: int
    episodes: int = 0
    seconds: float = 0.0
    policy_versions: list[str] = field(default_factory=list)
    timing: Timing = field(default_factory=Timing)

    def add(self, timing: Timing, control_dt: float) -> None:
        """Add an episode."""
        self.episodes += 1
        self.seconds += timing.steps * control_dt
        self.timing.merge(timing)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain types; `lateness_ms` and `answers_ms` hold p50, p99 and worst."""
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

    def text(self) -> str:
        """Return the report as text."""
        timing = self.timing
        answers, late = timing.answers.percentiles(), timing.lateness.percentiles()
        form = "p50 {p50:.2f}, p99 {p99:.2f}, worst {worst:.2f} ms"
        versions = ", ".join(version[:12] for version in self.policy_versions) or "none"
        lines = [
            f"{self.phase}: {self.episodes} episodes, {self.seconds:.1f} s; {timing.misses} answers missed, "
            f"{timing.overruns} ticks overran; policy {versions}",
            *(f"  an episode ended: {left}" for left in timing.left[:LISTED]),
            f"  ticks late by {form.format(**late)}; answers after {form.format(**answers)}",
        ]
        if timing.bad_readings:
            lines.append(f"  {timing.bad_readings} readings were not usable")
        if blame := timing.blame():
            lines.append(f"  late were: {blame}")
        return "\n".join(lines)


@dataclass
class Runner:
    """Drives one plant through the phases of a session."""

    message: v1.Session
    guard: Guard
    client: PolicyClient
    spool: Spool
    uploader: ExperienceUploader
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
        """The start of the session on the clock; times of transitions are relative to it."""
        self.report = PhaseReport("nothing", self.message.id, 0)
        """Report of the current phase, or of the last one."""

    def run(self, phase: Phase) -> PhaseReport:
        """Drive the plant through `phase`, or until `stop` is set; then command zero.

        Raises:
            ValueError: the plant is a recording, and the phase collects data.
            PlantRejected: the controller cannot serve this plant.
            Stopped: the emergency stop must be latched. All steps until then are recorded and in the report.
        """
        spec = self.guard.spec
        if phase.purpose == v1.PURPOSE_COLLECT and not spec.live:
            raise ValueError(f"plant {spec.name!r} is a recording; it can only be evaluated")
        report = self.report = PhaseReport(str(phase), self.message.id, self.next_episode)
        while not (served := self.client.wait_until_served(0.2)) and not self.stop.is_set():
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
            self.guard.command_zero()
        return report

    def _episode(
        self, purpose: v1.Purpose, settings: LoopSettings, max_steps: int, report: PhaseReport
    ) -> None:
        """Drive one episode, and add it to the report however it ends."""

        def record(transition: v1.Transition) -> None:
            self.spool.append(self.message.id, transition)
            self.uploader.notify()
            self.next_sequence = transition.sequence + 1
            version = transition.policy_version
            if version and version not in report.policy_versions:
                report.policy_versions.append(version)

        episode = Episode(
            self.guard,
            self.client,
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
            resolved = self.client.resolved()
            episode.timing.late.update(resolved)
            episode.timing.late[UNKNOWN] = max(0, episode.timing.late[UNKNOWN] - resolved.total())
            report.add(episode.timing, self.guard.spec.control_dt)

    def _start_state(self) -> Reading | None:
        """Reset the plant and return its reading; None if the run is to end.

        Raises:
            Stopped: the reset failed, or gave too many invalid readings.
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
            self.guard.command_zero()
        raise Stopped(f"stopped, since the plant's reset gave no usable reading: {why}")
