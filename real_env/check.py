"""`hds-real-env check`: what a rig reads and, if asked, which way its motor pushes, before it is driven.

Passive by default: only zero is commanded while the rig rests and is moved by hand. `--move` adds the motor,
gently, and lets go at any limit.
"""

import contextlib
import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from protos.security.client_security import ClientSecurity
from real_env.clock import Clock, VirtualClock, WallClock
from real_env.episode import Stopped
from real_env.findings import Finding, Recording, motor, passive, table
from real_env.guard import Guard, PlantFailed, PlantHung, PlantReleased
from real_env.limits import Limits
from real_env.plant import Diverged, Reading
from real_env.plants import DESCRIPTIONS, PlantBroken, device_of, make_plant, port_of
from real_env.rig import RigInUse, StopLatched, rig_of
from real_env.shutdown import Shutdown
from real_env.spool import default_spool
from real_env.users_code import users_line

REST_S = 2.0
PUSH_S, PAUSE_S, MOST_S = 0.1, 0.2, 1.0
"""Length of a push, of the pause after it, and of all pushes together [s]."""
FIRST_PUSH = 0.02
SETTLE_S = 60.0
"""How long to wait for the rig to rest before the motor pushes [s]."""


@dataclass(frozen=True)
class Check:
    """Check a rig before it is driven: readings at rest and moved by hand, signs, units, zeros, timing.

    With --move also the motor: sign, size, delay. Exits with 1 if anything is wrong.
    Example: hds-real-env check --plant my_rig.py:MyRig --seconds 20
    """

    plant: Annotated[str, tyro.conf.arg(help=f"One of: {', '.join(DESCRIPTIONS)}.")]
    seconds: float = 15.0
    """How long to watch while the rig is moved by hand [s]; 0 only looks at rest."""
    move: bool = False
    """Also push with the motor: 0.1 s at 2 % of the full action, then twice as much, until motion shows; at
    most 1 s in all. Needs --limits.action and --limits.state."""
    yes: bool = False
    """Do not ask before the motor moves."""
    limits: Limits = field(default_factory=Limits)
    """With --move: the largest action, and where the rig may be. Beyond, it is let go and the stop is
    latched."""
    seed: int = 0
    """As in 'hds-real-env run'."""
    rig: str = ""
    """As in 'hds-real-env run'."""
    access: ClientSecurity = field(default_factory=ClientSecurity)
    spool: Path = field(default_factory=default_spool)
    """As in 'hds-real-env run': what belongs to a simulated rig lies beside it."""
    json: bool = False
    """Print JSON instead of a table."""


def check(command: Check, shutdown: Shutdown) -> int:
    """Carry the command out; return the exit status: 0 all is right, 1 something is wrong, 2 not checked."""
    say: Callable[[str], None] = lambda words: print(words, file=sys.stderr, flush=True)  # noqa: E731
    with contextlib.ExitStack() as at_end:
        try:
            _check_options(command)
            findings = _findings(command, shutdown, at_end, say)
        except (Stopped, PlantFailed, PlantHung, PlantReleased, Diverged) as error:
            say(f"hds-real-env: {error}")
            if error.__cause__ is not None and (where := users_line(error.__cause__, command.plant)):
                say(f"  {where}")
            return 130 if shutdown.stop.is_set() else 1
        except (ValueError, OSError, ModuleNotFoundError, PlantBroken, StopLatched, RigInUse) as error:
            say(f"hds-real-env: {error}")
            return 2
    print(
        json.dumps([finding._asdict() for finding in findings], indent=2) if command.json else table(findings)
    )
    return int(any(finding.verdict == "wrong" for finding in findings))


def _check_options(command: Check) -> None:
    if not 0.0 <= command.seconds <= 3600.0:
        raise ValueError(f"--seconds must be in [0, 3600]; got {command.seconds:g}")
    if command.move and (
        command.limits == Limits() or command.limits.action == 1.0 or not command.limits.state
    ):
        raise ValueError("--move needs --limits.action, below 1, and --limits.state, a number for each state")


def _findings(
    command: Check, shutdown: Shutdown, at_end: contextlib.ExitStack, say: Callable[[str], None]
) -> list[Finding]:
    name = command.rig or device_of(command.plant)
    known = rig_of(name, command.spool, real=True)
    known.check_free()
    if (port := port_of(command.plant)) and port != name:
        at_end.enter_context(rig_of(port, command.spool, real=True).locked())
    if command.move:
        known.check()
    plant = make_plant(command.plant, command.seed, command.access)
    closing = at_end.enter_context(contextlib.ExitStack())
    closing.callback(plant.close)
    command.limits.check(plant.spec)
    rig = rig_of(name, command.spool, plant.spec.real_time)
    at_end.enter_context(rig.locked())
    if command.move:
        rig.check()
    clock = WallClock() if plant.spec.real_time else VirtualClock()
    guard = Guard(plant, clock)
    closing.pop_all()
    closing.callback(guard.release)
    shutdown.release = guard.release
    driver = Driver(guard, clock, command.limits, shutdown.stop)
    watchdog_s = getattr(plant, "watchdog_s", None)
    say(f"leave the rig at rest for {REST_S:g} s …")
    rest = driver.watch(REST_S)
    moved = None
    if command.seconds:
        say(f"move every joint by hand, both ways, for {command.seconds:g} s …")
        moved = driver.watch(command.seconds)
    findings = passive(plant.spec, rest, moved, watchdog_s)
    if command.move:
        _agreed(command, say)
        try:
            findings += motor(plant.spec, rest, driver.pushes(rest))
        except Stopped as error:
            guard.release()
            rig.latch(str(error))
            raise
    return findings


def _agreed(command: Check, say: Callable[[str], None]) -> None:
    """Ask whether the motor may move.

    Raises:
        ValueError: it may not, or nobody can be asked.
    """
    if command.yes:
        return
    if not sys.stdin.isatty():
        raise ValueError(
            "--move asks before the motor moves, and there is no terminal; --yes says that it may"
        )
    say(f"now the motor pushes, with at most {command.limits.action:.0%} of its full action. Go on? [y/N] ")
    if input().strip().lower() not in {"y", "yes"}:
        raise ValueError("the motor was not moved")


class Driver:
    """Watches the rig under zero torque, and pushes it."""

    def __init__(self, guard: Guard, clock: Clock, limits: Limits, stop: threading.Event) -> None:
        self._guard, self._clock, self._limits, self._stop = guard, clock, limits, stop
        self._m = len(guard.spec.action_names)
        self._dt_ns = round(guard.spec.control_dt * 1e9)

    def watch(self, seconds: float) -> Recording:
        """Return what is read while zero is commanded."""
        steps = max(4, round(seconds / self._guard.spec.control_dt))
        return self._drive([np.zeros(self._m, np.float32)] * steps, limited=False)

    def pushes(self, rest: Recording) -> list[Recording]:
        """Push with growing actions until motion shows, and return each push.

        Raises:
            Stopped: a limit was reached, or a reading was not usable; the plant is to be let go.
        """
        dt = self._guard.spec.control_dt
        on, off = max(1, round(PUSH_S / dt)), max(2, round(PAUSE_S / dt))
        found, size, pushed_s = [], FIRST_PUSH, 0.0
        if not isinstance(first := self._guard.reset(self._stop), Reading):
            raise Stopped(f"stopped, since the reading after reset is not usable: {first}")
        self._settle(rest)
        while pushed_s + on * dt <= MOST_S + 1e-9:
            size = min(size, self._limits.action)
            command = np.full(self._m, size, np.float32)
            plan = [command] * on + [np.zeros(self._m, np.float32)] * off
            found.append(self._drive(plan, limited=True))
            pushed_s += on * dt
            if found[-1].moved_more_than(rest) or size >= self._limits.action:
                break
            size *= 2.0
        return found

    def _settle(self, rest: Recording) -> None:
        """Wait until the rig rests.

        Raises:
            ValueError: it does not.
        """
        for _ in range(round(SETTLE_S / REST_S)):
            if not self.watch(REST_S).moved_more_than(rest):
                return
        raise ValueError(f"the rig still moves after {SETTLE_S:g} s; the motor is tried only from rest")

    def _drive(self, commands: list[np.ndarray], limited: bool) -> Recording:
        start_ns, rows, at_ns, bad = self._clock.now_ns(), [], [], 0
        for k, command in enumerate(commands):
            if self._stop.is_set():
                raise PlantReleased("the check was asked to end")
            tick_ns = start_ns + k * self._dt_ns
            self._clock.sleep_until(tick_ns)
            found = self._guard.exchange(command, tick_ns)
            at_ns.append(found.returned_ns)
            if isinstance(found.reading, Reading):
                rows.append(found.reading.x)
                beyond = self._limits.beyond(found.reading.x, self._guard.spec) if limited else ""
                if beyond or (limited and found.reading.terminated):
                    raise Stopped(f"stopped, since {beyond or 'the plant says that it left its safe set'}")
                continue
            if limited:
                raise Stopped(f"stopped, since a reading was not usable: {found.reading}")
            bad += 1
            rows.append(np.full(len(self._guard.spec.state_names), np.nan, np.float32))
        return Recording(np.array(rows), np.array(commands), np.array(at_ns), start_ns, bad)
