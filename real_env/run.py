"""`hds-real-env run`: set up plant, clients and spool, run the phases, and shut down, the plant first."""

import contextlib
import functools
import queue
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import NamedTuple

from protos.format_score import format_score
from protos.hds import v1
from protos.operation import garbage_collection
from protos.operation.supervisor import start_supervised_thread
from protos.security.client_security import ClientSecurity
from protos.security.expiry import LOOK_S, ExpiryWatch
from real_env import phases
from real_env.clock import VirtualClock, WallClock
from real_env.episode import LoopSettings, Stopped
from real_env.events import Events
from real_env.excitation import Excitation
from real_env.fallback import FALLBACKS
from real_env.fault_injection import FaultyPlant
from real_env.guard import Guard
from real_env.options import Run, as_asked, wanted_phases
from real_env.plant import Plant, PlantSpec
from real_env.plants import PlantBroken, device_of, make_plant, port_of
from real_env.policy_client import PlantRejected, PolicyClient
from real_env.rig import Rig, RigInUse, StopLatched, rig_of
from real_env.runner import Runner, new_session_id
from real_env.shutdown import Shutdown
from real_env.spool import Spool
from real_env.uploader import ExperienceUploader, SessionRejected
from real_env.users_code import users_line

FLUSH_S = 30.0
"""A trainer that takes nothing for so long is given up; one that is slow is not."""


class Prepared(NamedTuple):
    """The runner of a session, and its rig."""

    runner: Runner
    rig: Rig


def run(command: Run, shutdown: Shutdown) -> int:
    """Run the command and return the exit status.

    0: done; 1: stopped or failed while driving; 2: nothing was driven; 130: ended by a signal.
    """
    events = Events(command.events)
    with contextlib.ExitStack() as at_end:
        try:
            wanted = wanted_phases(command)
            prepared = _prepared(command, events, shutdown, at_end)
        except PlantBroken as error:
            _tell_failure(events, f"{error}", error.__cause__ or error, command)
            return 2
        except (ValueError, OSError, ModuleNotFoundError, StopLatched, RigInUse) as error:
            events.say(f"hds-real-env: {error}")
            return 2
        runner = prepared.runner
        try:
            return _drive(runner, wanted or map(phases.parse, _lines(shutdown.stop)), events)
        except Stopped as error:
            _latch(prepared, error, events, command)
            return 1
        except (ValueError, OSError, PlantRejected, SessionRejected) as error:
            events.say(f"hds-real-env: {error}")
            return 1


def _latch(prepared: Prepared, stopped: Stopped, events: Events, command: Run) -> None:
    """Release the plant, latch the emergency stop of its rig, and report why."""
    runner, rig = prepared
    trouble = runner.guard.release()
    after = "the stop is latched until a start with --reset-stop"
    try:
        rig.latch(str(stopped))
    except OSError as error:
        after = f"the stop could not be latched ({error})"
    why = "; ".join(filter(None, (str(stopped), trouble, after)))
    events.emit("stopped", why=str(stopped), **runner.report.as_dict())
    _tell_failure(events, why, stopped.__cause__, command)
    if runner.report.timing.steps:
        events.say(runner.report.text())


def _tell_failure(events: Events, why: str, cause: BaseException | None, command: Run) -> None:
    """Report why a run ended, with the line of the user's code that raised."""
    lines = [f"hds-real-env: {why}"]
    if cause is not None and (where := users_line(cause, command.plant)):
        lines.append(f"  {where}" + ("" if command.traceback else " (--traceback shows the rest)"))
    if cause is not None and command.traceback:
        lines += traceback.format_exception(cause)
    events.say("\n".join(lines))


def _prepared(command: Run, events: Events, shutdown: Shutdown, at_end: contextlib.ExitStack) -> Prepared:
    """Return the parts of a run; `at_end` closes them, the plant first."""
    spool = Spool(command.spool, command.spool_limit, events.say)
    at_end.callback(spool.close)
    name = command.rig or device_of(command.plant)
    known = rig_of(name, command.spool, real=True)
    known.check_free()  # before the plant is created
    if (port := port_of(command.plant)) and port != name:
        at_end.enter_context(rig_of(port, command.spool, real=True).locked())
    if not command.reset_stop:
        known.check()
    events.say(f"preparing plant {command.plant} …")
    plant = _make_plant(command)
    releasing = at_end.enter_context(contextlib.ExitStack())
    releasing.callback(plant.close)
    spec, real = plant.spec, plant.spec.real_time or command.real_time
    rig = rig_of(name, command.spool, spec.real_time)
    at_end.enter_context(rig.locked())
    if command.reset_stop:
        rig.reset()
    rig.check()
    events.say(_pace(spec, real, rig.name))
    clock = WallClock() if real else VirtualClock()
    guard = Guard(plant, clock)
    releasing.pop_all()
    releasing.callback(_release, guard, events)
    shutdown.release = guard.release
    _watch_certificates(command.access, events, at_end)
    session = v1.Session(id=new_session_id(), task=command.task, plant=spec.message())
    uploader = ExperienceUploader(command.trainer, command.access, spool, session.id, events.say)
    at_end.callback(_send_rest, uploader, spool, events)
    pin = command.policy_version
    client = PolicyClient(command.controller, command.access, spec, command.task, clock, events.say, pin)
    at_end.callback(client.close)
    at_end.callback(releasing.close)  # before client and uploader
    excitation = Excitation(command.excitation, spec.control_dt, len(spec.action_names), command.seed)
    tell = functools.partial(events.emit, "progress")
    runner = Runner(
        session, guard, client, spool, uploader, clock, _settings(command, spec), excitation, shutdown.stop,
        lambda share: tell(share=share),
    )  # fmt: skip
    events.emit(
        "ready",
        session=session.id,
        plant=spec.name,
        parameters=spec.parameters,
        rig=rig.name,
        start_ns=runner.start_ns,
    )
    return Prepared(runner, rig)


def _watch_certificates(access: ClientSecurity, events: Events, at_end: contextlib.ExitStack) -> None:
    """Warn of certificates that expire soon, from a thread."""
    if not access.certificates():
        return
    watch, ended = ExpiryWatch(access.certificates(), events.say, time.time), threading.Event()

    def look() -> None:
        while True:
            watch.look()
            if ended.wait(LOOK_S):
                return

    start_supervised_thread("watching certificates", look, ended, events.say)
    at_end.callback(ended.set)


def _release(guard: Guard, events: Events) -> None:
    if trouble := guard.release():
        events.say(f"hds-real-env: {trouble}")


def _pace(spec: PlantSpec, real: bool, rig: str) -> str:
    if spec.real_time:
        return f"plant {spec.name} is rig {rig!r}: it moves by itself, and is driven by the wall clock"
    how = (
        "at the pace of the wall clock" if real else "as fast as it answers (--real-time: by the wall clock)"
    )
    return f"plant {spec.name} is simulated: it waits for each step, and is driven {how}"


def _settings(command: Run, spec: PlantSpec) -> LoopSettings:
    seconds = command.episode_seconds
    return LoopSettings(
        episode_steps=0 if seconds is None else max(1, round(seconds / spec.control_dt)),
        deadline=command.deadline,
        max_misses=command.max_misses,
        fallback=FALLBACKS[command.fallback],
        limits=command.limits,
        max_bad_readings=command.max_bad_readings,
    )


def _make_plant(command: Run) -> Plant:
    """Return the plant with injected faults. Close a plant that does not match the options."""
    plant = make_plant(command.plant, command.seed, command.access)
    try:
        plant.spec = as_asked(plant.spec, command)
        command.limits.check(plant.spec)
        return FaultyPlant(plant, command.faults, command.seed) if command.faults.any() else plant
    except ValueError:
        plant.close()
        raise


def _send_rest(uploader: ExperienceUploader, spool: Spool, events: Events) -> None:
    with contextlib.suppress(SessionRejected):
        uploader.flush(1.0)
    uploader.close()
    refused = sum(kept.transitions for kept in spool.kept() if kept.refused)
    if refused:
        events.say(
            f"{refused} transitions that the trainer refuses are set aside in {spool.path}; "
            "'hds-real-env spool list' shows them"
        )
    if (left := spool.waiting() - refused) > 0:
        events.say(f"{left} transitions wait in {spool.path}; the next run sends them")


def _lines(stop: threading.Event) -> Iterator[str]:
    """Yield the lines of standard input until it ends or `stop` is set."""
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


def _drive(runner: Runner, requested: Iterator[phases.Phase] | list[phases.Phase], events: Events) -> int:
    garbage_collection.freeze()
    for phase in requested:
        report = runner.run(phase)
        if runner.stop.is_set():
            return 130
        if not runner.uploader.deliver(FLUSH_S, runner.stop.is_set):
            if runner.stop.is_set():
                return 130
            address = runner.uploader.address
            events.say(f"hds-real-env: the trainer at {address} took nothing for {FLUSH_S:g} s")
            return 1
        events.emit("phase", **report.as_dict())
        events.say(report.text())
        if phase.purpose == v1.PURPOSE_EVALUATE:
            _say_scores(runner, events)
    return 130 if runner.stop.is_set() else 0


def _say_scores(runner: Runner, events: Events) -> None:
    """Report the scores of each policy in the evaluation episodes of this run."""
    found = runner.uploader.scores(runner.message.id, runner.stop.is_set)
    if isinstance(found, str):
        events.say(f"  on the plant: the trainer at {runner.uploader.address} does not say ({found})")
        return
    for score in found:
        events.say(f"  on the plant: policy {score.policy_version[:12]}: {format_score(score)}")
        events.emit(
            "score",
            policy=score.policy_version,
            episodes=score.episodes,
            not_judged=score.not_judged,
            success=[score.success, score.success_low, score.success_high],
            cost=[score.cost, score.cost_low, score.cost_high],
        )
