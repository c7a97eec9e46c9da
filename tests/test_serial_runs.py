"""Runs on the simulated firmware over a pseudo-terminal: driven, stalled, stopped and killed."""

import contextlib
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from protos.hds import v1
from real_env.plants import serial_frames
from real_env.plants.serial_frames import POLL, READING
from real_env.plants.serial_line import SerialPlant, read_rig
from tests.support.firmware import rig_file, simulated_firmware
from tests.support.programs import Programs, driven, kill, run
from tests.support.streams import eventually
from trainer.client import TrainerClient
from trainer.processes import ProcessFailed, Program

TRIES = 4


class Rig:
    """`hds-real-env run` on the simulated firmware, served by a policy."""

    def __init__(self, programs: Programs, publish: Callable[..., str], directory: Path, port: str) -> None:
        self.version = publish(seed=1)
        self.trainer, _, controller = programs.both()
        self.file = rig_file(directory, port)
        self.words = ["run", "--plant", f"serial:{self.file}", "--trainer", self.trainer]
        self.words += ["--controller", controller, "--spool", str(directory / "spool.sqlite")]
        self.programs = programs

    def driving(self, *words: str) -> Program:
        """Start, and return once it has driven for one episode and some of the next.

        If the computer stands still before that, the rig stops, and the run is started again.
        """
        given = [*self.words, "--episode-seconds", "1.2", "--events", "--reset-stop", *words]
        stopped = []
        while len(stopped) < TRIES:
            program = self.programs.start("real_env", *given)
            with contextlib.suppress(ProcessFailed):
                next(event for event in program.events(60.0) if event["event"] == "progress")
                threading.Event().wait(0.3)  # of the next episode: what a test does comes in its middle
                if program.process.poll() is None:
                    return program
            stopped.append(self.programs.said("real_env"))
        raise AssertionError(f"none of {TRIES} runs drove for one episode: {stopped[-1]}")


def test_a_policy_drives_the_firmware_and_its_episodes_are_stored(
    programs: Programs, publish: Callable[..., str], tmp_path: Path
) -> None:
    with simulated_firmware(tmp_path) as (line, _):
        rig = Rig(programs, publish, tmp_path, line)
        done = driven(*rig.words, "--collect", "2", "--episode-seconds", "1")
    assert done.returncode == 0, done.stderr
    assert "it moves by itself, and is driven by the wall clock" in done.stderr
    client = TrainerClient(rig.trainer)
    last = client.sessions(v1.Selection())[-1].session.id
    episodes = client.episodes(last, v1.PURPOSE_COLLECT)
    assert sum(episode.steps for episode in episodes) == 50
    rows = client.transitions(last, 0)
    assert {row.policy_version for row in rows} <= {rig.version, ""}
    assert rows[1].x == rows[0].x_next


def test_a_serial_port_belongs_to_one_run_whatever_its_rig_is_called(
    programs: Programs, publish: Callable[..., str], tmp_path: Path
) -> None:
    with simulated_firmware(tmp_path) as (line, _):
        rig = Rig(programs, publish, tmp_path, line)
        waiting = ["--phases", "-", "--events", "--rig", "left"]  # it has the port, and drives nothing yet
        program = programs.start("real_env", *rig.words, *waiting)
        next(event for event in program.events(60.0) if event["event"] == "ready")
        words = [
            str(tmp_path / "other.sqlite") if word.endswith("spool.sqlite") else word for word in rig.words
        ]
        second = run("real_env", *words, "--collect", "1", "--rig", "right")
        checking = run("real_env", "check", "--plant", f"serial:{rig.file}", "--rig", "right")
        assert program.process.poll() is None
    for refused in (second, checking):
        assert refused.returncode == 2, refused.stderr
        assert f"rig '{line}' is driven by process {program.process.pid}" in refused.stderr


def stalled(rig: Rig, firmware: subprocess.Popen) -> tuple[Program, dict[str, Any]]:
    """Stop the firmware for 150 ms during a run; return the run, and its next phase or its stop."""
    program = rig.driving("--collect", "2.4")
    firmware.send_signal(signal.SIGSTOP)
    threading.Event().wait(0.15)  # the stall itself
    firmware.send_signal(signal.SIGCONT)
    return program, next(e for e in program.events(60.0) if e["event"] in {"phase", "stopped"})


def test_a_stall_of_150_ms_is_a_few_misses_and_the_run_goes_on(
    programs: Programs, publish: Callable[..., str], tmp_path: Path
) -> None:
    with simulated_firmware(tmp_path) as (line, firmware):
        rig = Rig(programs, publish, tmp_path, line)
        program, report = stalled(rig, firmware)
        for _ in range(TRIES):  # the computer's own stalls add to it
            if report["event"] == "phase":
                break
            program, report = stalled(rig, firmware)
    assert report["event"] == "phase", report
    assert report["misses"] >= 1
    assert program.process.wait(30.0) == 0


def test_a_host_that_stops_for_a_second_trips_the_watchdog_and_does_not_drive_on_by_itself(
    programs: Programs, publish: Callable[..., str], tmp_path: Path
) -> None:
    with simulated_firmware(tmp_path) as (line, _):
        rig = Rig(programs, publish, tmp_path, line)
        program = rig.driving("--collect", "600")
        program.process.send_signal(signal.SIGSTOP)
        threading.Event().wait(1.0)  # the stop itself
        program.process.send_signal(signal.SIGCONT)
        stopped = next(event for event in program.events(60.0) if event["event"] == "stopped")
        assert program.process.wait(30.0) == 1
        again = run("real_env", *rig.words, "--collect", "1")
    assert "the plant's own watchdog tripped for lack of commands" in stopped["why"]
    assert again.returncode == 2
    assert "is latched" in again.stderr


def test_after_sigkill_the_firmwares_watchdog_lets_the_plant_go(
    programs: Programs, publish: Callable[..., str], tmp_path: Path
) -> None:
    with simulated_firmware(tmp_path) as (line, _):
        rig = Rig(programs, publish, tmp_path, line)
        kill(rig.driving("--collect", "600"))
        plant = SerialPlant(read_rig(rig.file))
        eventually(lambda: bool(plant._ask(POLL, READING).flags & serial_frames.WATCHDOG))
        applied = plant._reading(plant._ask(POLL, READING)).u_applied
        assert applied is not None
        assert applied.tolist() == [0.0]
        plant.close()
