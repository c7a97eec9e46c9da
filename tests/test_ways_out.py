"""Every way out of a run leaves the plant without torque: real processes, real signals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from protos.hds import v1
from tests.plants.unruly import MODES, SOUND_STEPS
from tests.support.programs import Programs
from tests.support.published import publish_policy
from trainer.client import TrainerClient

UNRULY = f"{Path(__file__).parent / 'plants' / 'unruly.py'}:Unruly"
SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
HANGING = ("sound", "reset hangs", "exchange hangs", "close hangs")
PATIENCE_S = 60.0


class Servers(NamedTuple):
    """A trainer and a controller that serves, for all tests of this file."""

    trainer: str
    controller: str

    def words(self) -> list[str]:
        return ["--trainer", self.trainer, "--controller", self.controller]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    running = Programs(tmp_path_factory.mktemp("servers"))
    publish_policy(running.root / "trainer", seed=1)
    trainer = running.trainer()[1]
    yield Servers(trainer, running.controller(trainer)[1])
    running.close()


class Driven:
    """A run of the unruly rig as a process of its own, in a directory of its own."""

    def __init__(
        self, directory: Path, servers: Servers, mode: str, *words: str, state: Path | None = None
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        environment = os.environ | {
            "HDS_TEST_LOG": str(directory / "calls.log"),
            "HDS_STATE_DIR": str(state or directory / "state"),
            "PYTHONPATH": str(Path(__file__).parent.parent),
        }
        plant = [
            "--plant",
            UNRULY,
            "--seed",
            str(MODES.index(mode)),
            "--excitation",
            "0",
            "--fallback",
            "hold",
        ]
        command = [
            sys.executable,
            "-m",
            "real_env",
            "run",
            *plant,
            "--collect",
            "600",
            *servers.words(),
            *words,
        ]
        before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would stay ignored
        self.process = subprocess.Popen(
            command, cwd=directory, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        signal.signal(signal.SIGHUP, before)

    def calls(self) -> list[str]:
        """Return what reached the plant."""
        path = self.directory / "calls.log"
        return [line.split(" ", 1)[1] for line in path.read_text().splitlines()] if path.exists() else []

    def wait_for(self, what: str) -> None:
        """Return once `what` has reached the plant."""
        deadline = time.monotonic() + PATIENCE_S
        while not any(call.startswith(what) for call in self.calls()):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, f"{what} never came: {self.calls()}"

    def end(self) -> tuple[int, str]:
        """Wait for the end; return exit status and standard error."""
        _, said = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, said


@pytest.fixture(scope="module")
def signalled(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple, tuple[int, list[str]]]:
    """Every signal sent to a run whose plant hangs in every way: exit status, and calls of the plant."""
    root = tmp_path_factory.mktemp("signalled")
    ended: dict[tuple, tuple[int, list[str]]] = {}
    for number in SIGNALS:
        runs = {mode: Driven(root / f"{number.name} {mode}", servers, mode) for mode in HANGING}
        for mode, driven in runs.items():
            driven.wait_for("hangs" if mode in {"reset hangs", "exchange hangs"} else "command")
            driven.process.send_signal(number)
        ended |= {(number, mode): (driven.end()[0], driven.calls()) for mode, driven in runs.items()}
    return ended


@pytest.mark.parametrize("mode", HANGING)
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_leaves_the_plant_without_torque_and_closed_whatever_hangs(
    number: signal.Signals, mode: str, signalled: dict[tuple, tuple[int, list[str]]]
) -> None:
    status, calls = signalled[number, mode]
    commands = [call for call in calls if call.startswith("command")]
    if mode in {"sound", "close hangs"}:
        assert status == 130
        assert commands[-1] == "command 0.0"
    if mode == "exchange hangs":  # found by the loop or by the signal, whichever is first
        assert status in {1, 130}
        assert len(commands) == SOUND_STEPS, "nothing goes into a call that hangs"
    if mode == "reset hangs":
        assert status == 130
    assert "close" in calls
    assert not [call for call in calls[calls.index("close") :] if call.startswith("command")]


def test_a_plant_that_raises_is_let_go_its_stop_is_latched_and_two_lines_say_where(
    servers: Servers, tmp_path: Path
) -> None:
    driven = Driven(tmp_path / "first", servers, "exchange raises", state=tmp_path / "state")
    status, said = driven.end()
    assert status == 1
    assert driven.calls()[-2:] == ["close", "closed"]
    failure = said[said.index("hds-real-env: stopped") :].splitlines()
    assert "the plant's exchange failed: OSError: the device is gone" in failure[0]
    assert "the stop is latched until a start with --reset-stop" in failure[0]
    assert "unruly.py:" in failure[1]
    assert 'raise OSError("the device is gone")' in failure[1]
    assert "Traceback" not in said
    assert "ticks late by" in said, "a stop prints the timing report"
    again = Driven(tmp_path / "elsewhere", servers, "sound", state=tmp_path / "state")
    status, said = again.end()
    assert status == 2, "the latch belongs to the rig, whatever the directory"
    assert "the emergency stop of rig 'Unruly' is latched" in said
    assert again.calls() == [], "the rig is not touched"
    reset = Driven(
        tmp_path / "reset", servers, "sound", "--reset-stop", "--collect", "0.2", state=tmp_path / "state"
    )
    assert reset.end()[0] == 0


def test_the_traceback_is_shown_when_asked_for(servers: Servers, tmp_path: Path) -> None:
    status, said = Driven(tmp_path, servers, "init raises", "--traceback").end()
    assert status == 2
    assert "fails with RuntimeError: the motor driver does not answer" in said
    assert "Traceback (most recent call last)" in said


def test_readings_that_are_not_usable_latch_and_what_came_before_is_stored(
    servers: Servers, tmp_path: Path
) -> None:
    driven = Driven(tmp_path, servers, "reads nonsense")
    status, said = driven.end()
    assert status == 1
    assert "2 consecutive readings were not usable" in said
    assert "cart velocity [m/s] reads -inf; usable is ± 1e+06" in said
    commands = [call for call in driven.calls() if call.startswith("command")]
    assert set(commands[SOUND_STEPS:]) == {"command 0.0"}
    client = TrainerClient(servers.trainer)
    session = client.sessions(v1.Selection())[-1].session.id
    (episode,) = client.episodes(session, v1.PURPOSE_COLLECT)
    rows = client.transitions(session, episode.episode)
    assert len(rows) == SOUND_STEPS + 1
    assert rows[-1].end == v1.END_CAUSE_BAD_READINGS


def test_a_rig_is_driven_by_one_run_at_a_time(servers: Servers, tmp_path: Path) -> None:
    first = Driven(tmp_path / "first", servers, "sound", state=tmp_path / "state")
    first.wait_for("command")
    words = ["--spool", str(tmp_path / "another.sqlite")]
    second = Driven(tmp_path / "second", servers, "sound", *words, state=tmp_path / "state")
    status, said = second.end()
    assert status == 2
    assert second.calls() == [], "the rig is not touched"
    assert f"rig 'Unruly' is driven by process {first.process.pid}" in said
    words += ["--rig", "b", "--collect", "0.1"]
    other = Driven(tmp_path / "third", servers, "sound", *words, state=tmp_path / "state")
    assert other.end()[0] == 0
    first.process.send_signal(signal.SIGINT)
    assert first.end()[0] == 130


def test_a_spool_that_takes_no_more_ends_the_run_with_the_plant_let_go(
    servers: Servers, tmp_path: Path
) -> None:
    nowhere = ["--trainer", "127.0.0.1:1", "--spool-limit", "30"]
    driven = Driven(tmp_path, servers, "sound", *nowhere)
    status, said = driven.end()
    assert status == 1
    assert "is full: 30 transitions wait" in said
    assert driven.calls()[-3:] == ["command 0.0", "close", "closed"]


def test_a_rig_of_its_own_class_is_real_unless_it_says_otherwise(servers: Servers, tmp_path: Path) -> None:
    """On virtual time a controller that was stopped had the last command held, and an old action applied."""
    driven = Driven(tmp_path, servers, "sound", "--collect", "0.4")
    status, said = driven.end()
    assert status == 0
    assert "plant unruly is rig 'Unruly': it moves by itself, and is driven by the wall clock" in said
    moments = [int(line.split()[0]) for line in (tmp_path / "calls.log").read_text().splitlines()]
    assert moments[9] - moments[0] > 8 * 40_000_000
    stepped = Driven(tmp_path / "stepped", servers, "sound", "--collect", "0.4", "--stepped")
    status, said = stepped.end()
    assert status == 0
    assert "it waits for each step, and is driven as fast as it answers" in said
