"""Calls of a plant that hang, raise or come too late, in real time and on virtual time."""

import hashlib
import threading
import time

import numpy as np
import pytest

from protos.hds import v1
from real_env.answers import Miss
from real_env.clock import VirtualClock, WallClock
from real_env.episode import LoopSettings, Stopped
from real_env.fallback import FALLBACKS
from real_env.guard import Guard, PlantReleased
from real_env.plant import PlantSpec, Reading
from real_env.timing import Timing
from tests.support.driving import drive_episode
from tests.support.half import Half
from tests.support.machine import DT, Machine


class WithRead(Machine):
    """Returns at once; the loop reads it at the tick."""

    def __init__(self) -> None:
        super().__init__()
        self.read_at: list[float] = []

    def read(self) -> Reading:
        self.read_at.append(time.monotonic())
        return self.reading()


class Slow(Half):
    """Answers after a quarter of the control step."""

    def act(self, observation: v1.Observation, until_ns: int) -> v1.Action | Miss:
        time.sleep(0.25 * DT)
        return super().act(observation, until_ns)


def settings(max_misses: int = 1000) -> LoopSettings:
    return LoopSettings(1000, 0.8, max_misses, FALLBACKS["hold"])


def hang(machine: Machine) -> tuple[float, Stopped]:
    """Drive until the machine hangs, let it go; return how long after the hang's tick it was closed."""
    clock = WallClock()
    guard = Guard(machine, clock)
    with pytest.raises(Stopped) as stopped:
        drive_episode(guard, Half(), clock, settings(), lambda row: None)
    assert guard.release() == ""
    machine.go_on.set()
    return machine.closed[0] - (machine.called[-1] + machine.dt), stopped.value


def test_a_call_that_hangs_is_closed_within_a_control_step_and_nothing_follows() -> None:
    machine = Machine(hang_at=3)
    late, stopped = hang(machine)
    assert "the plant's exchange hangs: it did not return within" in str(stopped)
    assert "late were: the plant 1 times" in str(stopped)
    assert machine.commands == [0.5] * 4
    assert late > 0.0, "a plant may take until the tick"


def test_a_plant_that_waits_for_a_processor_does_not_hang() -> None:
    """On a busy machine a sound plant's call returned some milliseconds too late, and the rig stopped."""
    block = bytes(1_000_000)

    class Busy(Machine):
        def exchange(self, command: np.ndarray) -> Reading:
            until = time.monotonic() + 1.7 * self.dt
            while time.monotonic() < until:
                hashlib.sha256(block)  # leaves the interpreter to the other threads
            return super().exchange(command)

    found = Guard(Busy(), WallClock()).exchange(np.full(1, 0.5, np.float32), time.monotonic_ns())
    assert isinstance(found.reading, Reading)


@pytest.mark.slow
def test_two_hundred_hangs_are_each_closed_within_a_control_step_after_the_tick() -> None:
    late = [hang(Machine(hang_at=k % 7))[0] for k in range(200)]
    print(f"closed after the tick by: median {np.median(late):.4f}, worst {max(late):.4f} s of {DT}")
    assert max(late) <= DT


def test_a_simulated_plant_may_take_as_long_as_it_likes_by_the_wall_clock_too() -> None:
    machine = Machine(hang_at=0)
    machine.spec = PlantSpec("simulated", ("q", "v"), ("push",), DT, {}, real_time=False)
    threading.Timer(5 * DT, machine.go_on.set).start()
    found = Guard(machine, WallClock()).exchange(np.full(1, 0.5, np.float32), time.monotonic_ns())
    assert isinstance(found.reading, Reading)


def test_no_command_passes_once_a_plant_is_let_go_whoever_let_it_go() -> None:
    machine = Machine()
    guard = Guard(machine, WallClock())
    assert isinstance(guard.reset(threading.Event()), Reading)
    guard.exchange(np.full(1, 0.7, np.float32), time.monotonic_ns())
    releasing = [threading.Thread(target=guard.release) for _ in range(8)]
    for thread in releasing:
        thread.start()
    for thread in releasing:
        thread.join()
    with pytest.raises(PlantReleased):
        guard.exchange(np.full(1, 0.7, np.float32), time.monotonic_ns())
    guard.command_zero()
    assert machine.commands == [np.float32(0.7), 0.0]
    assert len(machine.closed) == 1


def test_a_close_that_hangs_is_told_and_holds_nobody_up() -> None:
    class Stuck(Machine):
        def close(self) -> None:
            self.go_on.wait(20.0)

    machine = Stuck()
    guard = Guard(machine, WallClock())
    trouble = guard.release()
    machine.go_on.set()
    assert trouble.startswith("the plant's close hangs: it did not return within 1 s")
    assert "only the plant's own watchdog can act now" in trouble
    assert machine.commands == [0.0]


@pytest.mark.parametrize("clock", [WallClock(), VirtualClock()], ids=["real", "simulated"])
def test_a_simulated_plant_too_is_closed_while_its_call_hangs(clock: WallClock | VirtualClock) -> None:
    machine = Machine(hang_at=0, dt=100.0)
    guard = Guard(machine, clock)
    command = np.full(1, 0.5, np.float32)
    driving = threading.Thread(target=lambda: guard.exchange(command, clock.now_ns()), daemon=True)
    driving.start()
    while not machine.called:
        driving.join(0.001)
    assert guard.release() == ""
    assert machine.closed
    assert machine.commands == [0.5], "zero would wait for the call that hangs"
    machine.go_on.set()


def test_a_command_that_would_come_after_its_deadline_is_replaced_at_the_last_moment() -> None:
    machine = Machine()
    guard = Guard(machine, WallClock())
    now = time.monotonic_ns()
    command, instead = np.full(1, 0.9, np.float32), np.full(1, 0.1, np.float32)
    in_time = guard.exchange(command, now, until_ns=now + 10**10, instead=lambda: instead)
    too_late = guard.exchange(command, now, until_ns=now - 1, instead=lambda: instead)
    assert (in_time.instead, too_late.instead) == (False, True)
    assert machine.commands == [np.float32(0.9), np.float32(0.1)]


def test_a_plant_with_read_is_read_at_the_tick_and_never_before() -> None:
    machine, rows = WithRead(), []
    clock = WallClock()
    drive_episode(machine, Half(), clock, settings(), rows.append, steps=20)
    start_s = machine.called[0]
    for k, read_at in enumerate(machine.read_at, start=1):
        assert read_at >= start_s + k * DT - 0.5 * DT
    assert [row.t_ns - rows[0].t_ns for row in rows] == [k * 40_000_000 for k in range(20)]


def test_a_plant_on_an_absolute_schedule_of_its_own_neither_drifts_nor_counts_as_overrun() -> None:
    machine, rows = Machine(dt=0.1, hold="to its own tick"), []
    timing = drive_episode(machine, Half(), WallClock(), settings(), rows.append, steps=20)
    assert timing.overruns < 10, f"a few may, on a busy machine; late were: {timing.blame()}"
    assert machine.called[-1] - machine.called[0] < 20 * 0.1


def latest(machine: Machine) -> str:
    """Drive until three answers in a row were missed; return who was late most often."""
    timing = Timing()
    with pytest.raises(Stopped, match="3 consecutive answers were missed"):
        drive_episode(
            machine, Slow(), WallClock(), settings(max_misses=3), lambda row: None, timing=timing
        )  # fmt: skip
    return timing.late.most_common(1)[0][0]


def test_a_plant_that_holds_for_a_control_step_from_the_call_on_is_named_as_the_one_that_is_late() -> None:
    named = [latest(Machine(hold="for a control step")) for _ in range(3)]
    assert "the plant" in named, "the computer's own stalls are those of the loop"
