"""`hds-real-env run`: everything put together, phase by phase, and taken apart again, the plant first."""

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
from real_env.faults import FaultyPlant
from real_env.guard import Guard
from real_env.interrupt import WayOut
from real_env.options import Run, as_asked, wanted_phases
from real_env.plant import Plant, PlantSpec
from real_env.plants import PlantBroken, device_of, make_plant, port_of
from real_env.policy_link import PolicyLink, Refused
from real_env.rig import Rig, RigInUse, StopIsLatched, rig_of
from real_env.session import Session, new_session_id
from real_env.spool import Spool
from real_env.uplink import RefusedByTrainer, Uplink
from real_env.users_code import users_line

FLUSH_S = 30.0
"""A trainer that takes nothing for so long is given up; one that is slow is not."""


class Prepared(NamedTuple):
    """A session that can be driven, and the rig that it drives."""

    session: Session
    rig: Rig


def run(command: Run, way_out: WayOut) -> int:
    """Carry the command out and return the exit status.

    0: done; 1: stopped or failed while it drove; 2: nothing was driven; 130: ended by a signal.
    """
    events = Events(command.events)
    with contextlib.ExitStack() as at_end:
        try:
            wanted = wanted_phases(command)
            prepared = _prepared(command, events, way_out, at_end)
        except PlantBroken as error:
            _tell_failure(events, f"{error}", error.__cause__ or error, command)
            return 2
        except (ValueError, OSError, ModuleNotFoundError, StopIsLatched, RigInUse) as error:
            events.say(f"hds-real-env: {error}")
            return 2
        session = prepared.session
        try:
            return _drive(session, wanted or map(phases.parse, _lines(way_out.stop)), events)
        except Stopped as error:
            _latch(prepared, error, events, command)
            return 1
        except (ValueError, OSError, Refused, RefusedByTrainer) as error:
            events.say(f"hds-real-env: {error}")
            return 1


def _latch(prepared: Prepared, stopped: Stopped, events: Events, command: Run) -> None:
    """Let the plant go, latch its rig's stop, and say why, and who was late."""
    session, rig = prepared
    trouble = session.guard.let_go()
    after = "the stop is latched until a start with --reset-stop"
    try:
        rig.latch(str(stopped))
    except OSError as error:
        after = f"the stop could not be latched ({error})"
    why = "; ".join(filter(None, (str(stopped), trouble, after)))
    events.emit("stopped", why=str(stopped), **session.report.as_dict())
    _tell_failure(events, why, stopped.__cause__, command)
    if session.report.timing.steps:
        events.say(session.report.words())


def _tell_failure(events: Events, why: str, cause: BaseException | None, command: Run) -> None:
    """Say why a run ended; where the user's own code raised, with the line of it."""
    lines = [f"hds-real-env: {why}"]
    if cause is not None and (where := users_line(cause, command.plant)):
        lines.append(f"  {where}" + ("" if command.traceback else " (--traceback shows the rest)"))
    if cause is not None and command.traceback:
        lines += traceback.format_exception(cause)
    events.say("\n".join(lines))


def _prepared(command: Run, events: Events, way_out: WayOut, at_end: contextlib.ExitStack) -> Prepared:
    """Return everything that a run needs; `at_end` lets go of it, the plant first."""
    spool = Spool(command.spool, command.spool_limit, events.say)
    at_end.callback(spool.close)
    name = command.rig or device_of(command.plant)
    known = rig_of(name, command.spool, real=True)
    known.check_free()  # before the plant is made, which may be there already
    if (port := port_of(command.plant)) and port != name:
        at_end.enter_context(rig_of(port, command.spool, real=True).locked())
    if not command.reset_stop:
        known.check()
    events.say(f"preparing plant {command.plant} …")
    plant = _make_plant(command)
    letting_go = at_end.enter_context(contextlib.ExitStack())
    letting_go.callback(plant.close)
    spec, real = plant.spec, plant.spec.real_time or command.real_time
    rig = rig_of(name, command.spool, spec.real_time)
    at_end.enter_context(rig.locked())
    if command.reset_stop:
        rig.reset()
    rig.check()
    events.say(_pace(spec, real, rig.name))
    clock = WallClock() if real else VirtualClock()
    guard = Guard(plant, clock)
    letting_go.pop_all()
    letting_go.callback(_let_go, guard, events)
    way_out.let_go = guard.let_go
    _watch_certificates(command.access, events, at_end)
    session = v1.Session(id=new_session_id(), task=command.task, plant=spec.message())
    uplink = Uplink(command.trainer, command.access, spool, session.id, events.say)
    at_end.callback(_send_rest, uplink, spool, events)
    pin = command.policy_version
    link = PolicyLink(command.controller, command.access, spec, command.task, clock, events.say, pin)
    at_end.callback(link.close)
    at_end.callback(letting_go.close)  # before link and uplink
    excitation = Excitation(command.excitation, spec.control_dt, len(spec.action_names), command.seed)
    tell = functools.partial(events.emit, "progress")
    runner = Session(
        session, guard, link, spool, uplink, clock, _settings(command, spec), excitation, way_out.stop,
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
    """Warn of certificates that end soon, from a thread."""
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


def _let_go(guard: Guard, events: Events) -> None:
    if trouble := guard.let_go():
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
    """Return the plant, with its faults; one that does not fit the options is closed."""
    plant = make_plant(command.plant, command.seed, command.access)
    try:
        plant.spec = as_asked(plant.spec, command)
        command.limits.check(plant.spec)
        return FaultyPlant(plant, command.faults, command.seed) if command.faults.any() else plant
    except ValueError:
        plant.close()
        raise


def _send_rest(uplink: Uplink, spool: Spool, events: Events) -> None:
    with contextlib.suppress(RefusedByTrainer):
        uplink.flush(1.0)
    uplink.close()
    refused = sum(kept.transitions for kept in spool.kept() if kept.refused)
    if refused:
        events.say(
            f"{refused} transitions that the trainer refuses are set aside in {spool.path}; "
            "'hds-real-env spool list' shows them"
        )
    if (left := spool.waiting() - refused) > 0:
        events.say(f"{left} transitions wait in {spool.path}; the next run sends them")


def _lines(stop: threading.Event) -> Iterator[str]:
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


def _drive(session: Session, requested: Iterator[phases.Phase] | list[phases.Phase], events: Events) -> int:
    garbage_collection.freeze()
    for phase in requested:
        report = session.run(phase)
        if session.stop.is_set():
            return 130
        if not session.uplink.deliver(FLUSH_S, session.stop.is_set):
            if session.stop.is_set():
                return 130
            address = session.uplink.address
            events.say(f"hds-real-env: the trainer at {address} took nothing for {FLUSH_S:g} s")
            return 1
        events.emit("phase", **report.as_dict())
        events.say(report.words())
        if phase.purpose == v1.PURPOSE_EVALUATE:
            _say_scores(session, events)
    return 130 if session.stop.is_set() else 0


def _say_scores(session: Session, events: Events) -> None:
    """Say what each policy did on the plant in the evaluation episodes of this run."""
    found = session.uplink.scores(session.message.id, session.stop.is_set)
    if isinstance(found, str):
        events.say(f"  on the plant: the trainer at {session.uplink.address} does not say ({found})")
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
