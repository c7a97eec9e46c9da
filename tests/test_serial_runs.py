"""Runs on the simulated firmware over a pseudo-terminal: driven, stalled, stopped and killed."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path

from protos.hds import v1
from real_env.plants import serial_frames
from real_env.plants.serial_frames import POLL, READING
from real_env.plants.serial_line import SerialPlant, read_rig
from tests.firmware import rig_file, simulated_firmware
from tests.programs import Programs, kill, run
from tests.test_controller import eventually
from trainer.client import TrainerClient
from trainer.processes import Program


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
        """Start, and return once it has driven for one episode and some of the next."""
        program = self.programs.start("real_env", *self.words, "--episode-seconds", "1.2", "--events", *words)
        next(event for event in program.events(60.0) if event["event"] == "progress")
        threading.Event().wait(0.3)  # of the next episode, so that what a test does comes in its middle
        return program


def test_a_policy_drives_the_firmware_and_its_episodes_are_stored(
    programs: Programs, publish: Callable[..., str], tmp_path: Path
) -> None:
    with simulated_firmware(tmp_path) as (line, _):
        rig = Rig(programs, publish, tmp_path, line)
        driven = run("real_env", *rig.words, "--collect", "2", "--episode-seconds", "1")
    assert driven.returncode == 0, driven.stderr
    assert "it moves by itself, and is driven by the wall clock" in driven.stderr
    client = TrainerClient(rig.trainer)
    episodes = client.episodes("", v1.PURPOSE_COLLECT)
    assert sum(episode.steps for episode in episodes) == 50
    rows = client.transitions(episodes[0].session, 0)
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


def test_a_stall_of_150_ms_is_a_few_misses_and_the_run_goes_on(
    programs: Programs, publish: Callable[..., str], tmp_path: Path
) -> None:
    with simulated_firmware(tmp_path) as (line, firmware):
        program = Rig(programs, publish, tmp_path, line).driving("--collect", "2.4")
        firmware.send_signal(signal.SIGSTOP)
        threading.Event().wait(0.15)  # the stall itself
        firmware.send_signal(signal.SIGCONT)
        report = next(event for event in program.events(60.0) if event["event"] in {"phase", "stopped"})
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
