"""`hds-real-env`: drive a plant with the served policy, and record what it does."""

import contextlib
import functools
import json
import math
import queue
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from protos.hds import v1
from protos.transport.access import Access
from real_env import phases
from real_env.clock import VirtualClock, WallClock
from real_env.emergency_stop import EmergencyStop, StopIsLatched
from real_env.episode import LoopSettings, Stopped
from real_env.excitation import Excitation
from real_env.fallback import FALLBACKS
from real_env.faults import Faults, FaultyPlant
from real_env.interrupt import run_interruptibly
from real_env.limits import Limits
from real_env.plant import Plant, PlantSpec
from real_env.plants import DESCRIPTIONS, make_plant
from real_env.policy_link import PolicyLink, Refused
from real_env.session import Session, new_session_id
from real_env.spool import MOST, Spool
from real_env.uplink import RefusedByTrainer, Uplink

FLUSH_S = 30.0
LONGEST_EPISODE_S = 86_400.0


@dataclass(frozen=True)
class Run:
    """Drive the plant and stream every transition to the trainer.

    Example: hds-real-env run --plant brax-friction --collect 5 --real-time
    """

    plant: Annotated[str, tyro.conf.arg(help=f"One of: {', '.join(DESCRIPTIONS)}.")] = "brax-friction"
    state_names: tuple[str, ...] = ()
    """Call the plant's states so, in their order, as the policy's task does."""
    action_names: tuple[str, ...] = ()
    """Call the plant's actions so."""
    task: str = "cartpole_swingup"
    """The task that the trainer scores the episodes by."""
    seed: int = 0
    """Draws the plant's constants and start states, where it is a simulated one."""
    controller: str = "127.0.0.1:50052"
    """host:port of hds-controller."""
    trainer: str = "127.0.0.1:50051"
    """host:port of hds-trainer."""
    policy_version: str = ""
    """Be served by this version of the policy only; empty follows the controller's label."""
    collect: float | None = None
    """Record this many seconds [s] of data to learn from."""
    evaluate: int | None = None
    """Then drive this many episodes whose data is never learned from."""
    phases: Path | None = None
    """Read phases from this file instead, a line each ('collect 5 seconds', 'evaluate 32 episodes'); - is
    standard input, read as it comes."""
    excitation: float = 0.3
    """While collecting, add random steps of up to this share of the full action, in [0, 1]; 0 adds none."""
    episode_seconds: float = 6.0
    """The clock ends an episode after this long [s]."""
    real_time: bool = False
    """Keep to the wall clock; otherwise as fast as plant and policy answer."""
    deadline: float = 0.8
    """An answer later than this share of the control step is dropped, in (0, 1]."""
    fallback: Literal["zero", "damping", "hold"] = "damping"
    """What acts when no usable answer came."""
    max_misses: int = 25
    """Consecutive misses [control steps] that latch the emergency stop; it lasts until it is reset."""
    limits: Limits = field(default_factory=Limits)
    """What neither action nor plant may exceed."""
    reset_stop: bool = False
    """Reset the emergency stop first."""
    access: Access = field(default_factory=Access)
    """How to get in at controller and trainer."""
    faults: Faults = field(default_factory=Faults)
    """Let the plant go wrong on purpose, to see what policy and loop make of it."""
    spool: Path = Path("hds-state/real_env/spool.sqlite")
    """Where transitions wait until the trainer has stored them."""
    spool_limit: int = MOST
    """Transitions that may wait for the trainer; beyond it the run ends, rather than lose any."""
    events: bool = False
    """Write one JSON object per event to standard output, for programs."""


def _check(command: Run) -> list[phases.Phase]:
    """Return the phases given as options or in a file; raise `ValueError` naming what is out of bounds."""
    bounds = {
        "--collect [s]": (command.collect, 0.0, float("inf")),
        "--evaluate [episodes]": (command.evaluate, 0, float("inf")),
        "--episode-seconds [s]": (command.episode_seconds, 0.0, LONGEST_EPISODE_S),
        "--deadline [share of the control step]": (command.deadline, 0.0, 1.0),
        "--max-misses [control steps]": (command.max_misses, 0, float("inf")),
    }
    for name, (value, low, high) in bounds.items():
        if value is not None and not low < value <= high:
            most = f" and at most {high:g}" if math.isfinite(high) else ""
            raise ValueError(f"{name} must be above {low:g}{most}; got {value:g}")
    if command.seed < 0:
        raise ValueError(f"--seed must be at least 0; got {command.seed}")
    command.faults.check()
    command.access.check()
    wanted = []
    if not 0.0 <= command.excitation <= 1.0:
        raise ValueError(f"--excitation must be in [0, 1]; got {command.excitation:g}")
    if command.collect is not None:
        wanted.append(phases.Phase(v1.PURPOSE_COLLECT, seconds=command.collect))
    if command.evaluate is not None:
        wanted.append(phases.Phase(v1.PURPOSE_EVALUATE, episodes=command.evaluate))
    if bool(wanted) == (command.phases is not None):
        raise ValueError("say what to do: --collect SECONDS and/or --evaluate EPISODES, or --phases FILE")
    if command.phases is not None and str(command.phases) != "-":
        wanted = [phases.parse(line) for line in command.phases.read_text().splitlines() if line.strip()]
    return wanted


def _spoken(stop: threading.Event) -> Iterator[str]:
    """Yield the lines of standard input as they come, until it ends or `stop` is set."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, name="standard-input", daemon=True).start()
    while not stop.is_set():
        with contextlib.suppress(queue.Empty):
            line = lines.get(timeout=0.1)
            if line is None:
                return
            yield line


class Events:
    """What the run has to say: words for people on standard error, or JSON on standard output."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._lock = threading.Lock()

    def say(self, message: str) -> None:
        """Say `message`."""
        if self._as_json:
            self.emit("message", text=message)
        else:
            print(message, file=sys.stderr, flush=True)

    def emit(self, event: str, **fields: object) -> None:
        """Emit an event; people see only those that `say` words."""
        if self._as_json:
            with self._lock:  # several threads tell; a line must stay one line
                print(json.dumps({"event": event, **fields}), flush=True)


def _renamed(spec: PlantSpec, command: Run) -> PlantSpec:
    names = {"state_names": command.state_names, "action_names": command.action_names}
    for field_name, given in names.items():
        known = getattr(spec, field_name)
        if given and len(given) != len(known):
            option = "--" + field_name.replace("_", "-")
            raise ValueError(f"{option} needs a name for each of: {', '.join(known)}; got {len(given)}")
    return replace(spec, **{field_name: given for field_name, given in names.items() if given})


def _make_plant(command: Run) -> Plant:
    """Return the plant, with its faults; one that does not fit the options is closed."""
    plant = make_plant(command.plant, command.seed, command.access)
    try:
        plant.spec = _renamed(plant.spec, command)
        command.limits.check(plant.spec)
        if plant.spec.real_time and not command.real_time:
            raise ValueError(f"plant {command.plant!r} moves by itself; say --real-time")
        return FaultyPlant(plant, command.faults, command.seed) if command.faults.any() else plant
    except ValueError:
        plant.close()
        raise


def _run(command: Run, stop: threading.Event) -> int:
    events, emergency_stop = Events(command.events), EmergencyStop(command.spool)
    with contextlib.ExitStack() as at_end:
        try:
            wanted = _check(command)
            if command.reset_stop:
                emergency_stop.reset()
            emergency_stop.check()
            runner = _prepared(command, events, stop, at_end)
        except (ValueError, OSError, ModuleNotFoundError, StopIsLatched) as error:
            events.say(f"hds-real-env: {error}")
            return 2
        try:
            spec = runner.plant.spec
            events.emit("ready", session=runner.message.id, plant=spec.name, parameters=spec.parameters)
            return _drive(runner, wanted or map(phases.parse, _spoken(stop)), events)
        except Stopped as error:
            emergency_stop.latch(str(error))
            events.say(f"hds-real-env: {error}; the stop is latched until a start with --reset-stop")
            return 1
        except (ValueError, OSError, Refused, RefusedByTrainer) as error:
            events.say(f"hds-real-env: {error}")
            return 1


def _prepared(command: Run, events: Events, stop: threading.Event, at_end: contextlib.ExitStack) -> Session:
    """Return everything that a run needs; `at_end` lets go of it, the plant first."""
    spool = Spool(command.spool, command.spool_limit)
    at_end.callback(spool.close)
    events.say(f"preparing plant {command.plant} …")
    plant = _make_plant(command)
    closing = at_end.enter_context(contextlib.ExitStack())
    closing.callback(plant.close)
    spec, clock = plant.spec, WallClock() if command.real_time else VirtualClock()
    session = v1.Session(id=new_session_id(), task=command.task, plant=spec.message())
    uplink = Uplink(command.trainer, command.access, spool, session.id, events.say)
    at_end.callback(_send_rest, uplink, spool, events)
    link = PolicyLink(command.controller, command.access, spec, clock, events.say, command.policy_version)
    at_end.callback(link.close)
    at_end.callback(closing.close)  # before link and uplink
    steps = max(1, round(command.episode_seconds / spec.control_dt))
    fallback = FALLBACKS[command.fallback]
    settings = LoopSettings(steps, command.deadline, command.max_misses, fallback, command.limits)
    excitation = Excitation(command.excitation, spec.control_dt, len(spec.action_names), command.seed)
    tell = functools.partial(events.emit, "progress")
    return Session(
        session,
        plant,
        link,
        spool,
        uplink,
        clock,
        settings,
        excitation,
        stop,
        lambda share: tell(share=share),
    )


def _send_rest(uplink: Uplink, spool: Spool, events: Events) -> None:
    with contextlib.suppress(RefusedByTrainer):
        uplink.flush(1.0)
    uplink.close()
    if left := spool.waiting():
        events.say(f"{left} transitions wait in {spool.path}; the next run sends them")


def _drive(runner: Session, requested: Iterator[phases.Phase] | list[phases.Phase], events: Events) -> int:
    for phase in requested:
        report = runner.run(phase)
        if runner.stop.is_set():
            return 130
        if not runner.uplink.flush(FLUSH_S):
            events.say(
                f"hds-real-env: the trainer at {runner.uplink.address} did not take the data in {FLUSH_S:g} s"
            )
            return 1
        events.emit("phase", **report.as_dict())
        answers, late = report.answers.percentiles(), report.lateness.percentiles()
        words = "p50 {p50:.2f}, p99 {p99:.2f}, worst {worst:.2f} ms"
        events.say(
            f"{report.phase}: {report.episodes} episodes, {report.seconds:.1f} s; "
            f"{report.misses} answers missed, {report.overruns} ticks overran; "
            f"policy {', '.join(v[:12] for v in report.policy_versions) or 'none'}\n"
            + "".join(f"  an episode ended: {left}\n" for left in report.limits_exceeded)
            + f"  ticks late by {words.format(**late)}; answers after {words.format(**answers)}"
        )
    return 130 if runner.stop.is_set() else 0


@dataclass(frozen=True)
class Plants:
    """List the plants that --plant knows."""


def main() -> None:
    """Entry point of `hds-real-env`."""
    command = tyro.extras.subcommand_cli_from_dict(
        {"run": Run, "plants": Plants},
        prog="hds-real-env",
        description="Drive a plant with the served policy, and record what it does.",
    )
    if isinstance(command, Plants):
        print("\n".join(f"{name:26} {words}" for name, words in DESCRIPTIONS.items()))
        return
    sys.exit(run_interruptibly(lambda stop: _run(command, stop)))
