"""A session: one run of one plant, phase by phase, with every transition on its way to the trainer."""

import math
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from protos.hds import v1
from real_env.clock import Clock
from real_env.episode import LoopSettings, Numbering, Timing, run_episode
from real_env.excitation import Excitation, no_excitation
from real_env.phases import Phase
from real_env.plant import Plant
from real_env.policy_link import PolicyLink
from real_env.spool import Spool
from real_env.spread import Spread
from real_env.uplink import Uplink

LISTED = 20


def new_session_id() -> str:
    """Return an id that sorts by time and does not repeat."""
    return time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + secrets.token_hex(4)


@dataclass
class PhaseReport:
    """What one phase did; times in seconds.

    Attributes:
        lateness: how late ticks began, the jitter of the loop [ms].
        limits_exceeded: which limits of the state ended episodes, the first 20.
        answers: from a tick to its answer, or to its deadline [ms].
    """

    phase: str
    session: str
    first_episode: int
    episodes: int = 0
    seconds: float = 0.0
    steps: int = 0
    misses: int = 0
    overruns: int = 0
    limits_exceeded: list[str] = field(default_factory=list)
    policy_versions: list[str] = field(default_factory=list)
    lateness: Spread = field(default_factory=Spread)
    answers: Spread = field(default_factory=Spread)

    def add(self, timing: Timing, control_dt: float) -> None:
        """Count one episode."""
        self.episodes += 1
        self.steps += timing.steps
        self.seconds += timing.steps * control_dt
        self.misses += timing.misses
        self.overruns += timing.overruns
        self.limits_exceeded = (self.limits_exceeded + timing.left)[:LISTED]
        self.lateness.include(timing.lateness)
        self.answers.include(timing.answers)

    def as_dict(self) -> dict[str, Any]:
        """Return the report in plain types; `lateness_ms` and `answers_ms` are p50, p99 and worst."""
        plain: dict[str, Any] = {
            name: value for name, value in vars(self).items() if not isinstance(value, Spread)
        }
        spreads = {"lateness_ms": self.lateness.percentiles(), "answers_ms": self.answers.percentiles()}
        return plain | spreads


@dataclass
class Session:
    """Everything one run needs; `run` may be called for many phases."""

    message: v1.Session
    plant: Plant
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
        self._start_ns = self.clock.now_ns()

    def run(self, phase: Phase) -> PhaseReport:
        """Drive the plant through `phase`, or until `stop` is set; leave it without torque.

        Raises:
            ValueError: a recording is to be learned from.
            Refused: the controller can't serve this plant.
            Stopped: too many answers were missed in a row; what happened until then is recorded.
        """
        if phase.purpose == v1.PURPOSE_COLLECT and not self.plant.spec.live:
            raise ValueError(f"plant {self.plant.spec.name!r} is a recording; it can only be evaluated")
        while not self.link.wait_until_served(0.2) and not self.stop.is_set():
            pass
        report = PhaseReport(str(phase), self.message.id, self.next_episode)
        control_dt = self.plant.spec.control_dt
        wanted_steps = math.inf if phase.seconds is None else max(1, round(phase.seconds / control_dt))
        wanted_episodes = math.inf if phase.episodes is None else phase.episodes
        try:
            while (
                report.steps < wanted_steps and report.episodes < wanted_episodes and not self.stop.is_set()
            ):
                left = int(min(wanted_steps - report.steps, self.settings.episode_steps))
                report.add(self._episode(phase.purpose, left, report), control_dt)
                share = max(report.steps / wanted_steps, report.episodes / wanted_episodes)
                self.on_progress(min(1.0, share))
        finally:
            self.plant.exchange(np.zeros(len(self.plant.spec.action_names), np.float32))
        return report

    def _episode(self, purpose: v1.Purpose, max_steps: int, report: PhaseReport) -> Timing:
        numbering = Numbering(self.next_sequence, self.next_episode, purpose, self._start_ns)
        self.next_episode += 1

        def record(transition: v1.Transition) -> None:
            self.spool.append(self.message.id, transition)
            self.uplink.notify()
            self.next_sequence = transition.sequence + 1
            version = transition.policy_version
            if version and version not in report.policy_versions:
                report.policy_versions.append(version)

        first = self.plant.reset()
        excite = self.excitation if purpose == v1.PURPOSE_COLLECT else no_excitation
        return run_episode(
            self.plant,
            first,
            self.link,
            self.clock,
            self.settings,
            numbering,
            record,
            max_steps,
            excite,
            self.stop,
        )
