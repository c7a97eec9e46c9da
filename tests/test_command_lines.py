"""What a user meets at the terminal: errors of a line or two, help, and Ctrl-C."""

import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from protos.hds import v1
from tests.support.programs import STILL, Programs, free_port, kill, ready, run
from trainer.client import TrainerClient
from trainer.processes import Program


def refused(module: str, *arguments: str) -> str:
    """Run a program that must fail, and return what it says."""
    result = run(module, *arguments)
    said = result.stderr
    assert result.returncode not in (0, None)
    assert "Traceback" not in said
    assert 1 <= len(said.strip().splitlines()) <= 3, said
    return said


@pytest.fixture
def taken_port() -> object:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield str(taken.getsockname()[1])


@pytest.mark.parametrize("module", ["trainer", "controller"])
def test_a_port_in_use_is_named(module: str, taken_port: str, tmp_path: Path) -> None:
    said = refused(module, "serve", "--port", taken_port, "--state-dir", str(tmp_path))
    assert f"cannot listen on 127.0.0.1:{taken_port}: the port is in use" in said


@pytest.mark.parametrize("module", ["trainer", "controller"])
def test_a_state_directory_that_cannot_be_written_is_named(module: str) -> None:
    said = refused(module, "serve", "--port", "0", "--state-dir", "/dev/null/state")
    assert "the state directory /dev/null/state cannot be written" in said


@pytest.mark.parametrize("command", [["policies"], ["train"], ["promote", "abc"], ["jobs"], ["cancel", "1"]])
def test_a_trainer_that_does_not_answer_is_named(command: list[str]) -> None:
    address = f"127.0.0.1:{free_port()}"
    said = refused("trainer", *command, "--trainer", address)
    assert f"no trainer answers at {address}; start one with 'hds-trainer serve'" in said


def test_a_controller_that_does_not_answer_is_named() -> None:
    address = f"127.0.0.1:{free_port()}"
    said = refused("controller", "describe", "--controller", address, "--timeout", "0.5")
    assert f"nothing answers at {address}" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--plant", "moon", "--collect", "1"],
            "unknown plant 'moon'; choose one of: brax-friction, mujoco-cart-pole, ",
        ),
        ([], "say what to do: --collect SECONDS and/or --evaluate EPISODES, or --phases FILE"),
        (["--collect", "-1"], "--collect [s] must be above 0"),
        (["--collect", "1", "--deadline", "1.5"], "must be above 0 and at most 1; got 1.5"),
        (["--collect", "1", "--excitation", "2"], "--excitation must be in [0, 1]; got 2"),
        (
            ["--collect", "1", "--spool", "/dev/null/s.sqlite"],
            "the spool /dev/null/s.sqlite cannot be written",
        ),
    ],
    ids=["plant", "nothing to do", "collect", "deadline", "excitation", "spool"],
)
def test_real_env_says_what_is_wrong(arguments: list[str], message: str, tmp_path: Path) -> None:
    spool = [] if "--spool" in arguments else ["--spool", str(tmp_path / "spool.sqlite")]
    assert message in refused("real_env", "run", *arguments, *spool)


def test_a_plant_that_does_not_fit_the_policy_ends_the_run(
    programs: Programs, publish: Callable[..., str], tmp_path: Path
) -> None:
    publish(state_names=("a", "b", "c", "d"))
    trainer, _, controller = programs.both()
    v1.PolicyServiceStub(ready(controller)).Describe(v1.DescribeRequest())
    servers = ["--trainer", trainer, "--controller", controller]
    spool = ["--spool", str(tmp_path / "s.sqlite")]
    result = run("real_env", "run", "--plant", STILL, "--collect", "1", *servers, *spool)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "plant 'still' does not fit policy" in result.stderr


def test_an_ambiguous_version_is_not_promoted(programs: Programs, publish: Callable[..., str]) -> None:
    publish(seed=1)
    publish(seed=2)
    _, trainer = programs.trainer()
    ready(trainer)
    assert "several policies begin with ''" in refused("trainer", "promote", "", "--trainer", trainer)
    assert "no policy begins with 'zzz'" in refused("trainer", "promote", "zzz", "--trainer", trainer)


def test_promote_moves_the_label(programs: Programs, publish: Callable[..., str]) -> None:
    a, b = publish(seed=1), publish(seed=2)
    _, trainer = programs.trainer()
    ready(trainer)
    result = run("trainer", "promote", a[:10], "--trainer", trainer)
    assert result.stdout == f"stable: {b[:12]} -> {a[:12]}\n"
    listed = run("trainer", "policies", "--trainer", trainer).stdout
    assert re.search(rf"{a[:12]}.*labels stable", listed)


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("trainer", "serve"),
        ("trainer", "train"),
        ("trainer", "refit"),
        ("trainer", "promote"),
        ("controller", "serve"),
        ("real_env", "run"),
        ("real_env", "check"),
    ],
)
def test_help_shows_defaults_and_an_example(module: str, command: str) -> None:
    result = run(module, command, "--help")
    assert result.returncode == 0
    assert "Example: hds-" in result.stdout
    assert "default:" in result.stdout
    assert '"' not in result.stdout, "quotes of the source"


def test_a_trainer_killed_while_real_env_streams_misses_nothing_after_its_restart(
    programs: Programs, publish: Callable[..., str]
) -> None:
    publish(seed=1)
    port = str(free_port())
    program, trainer = programs.trainer(port)
    _, controller = programs.controller(trainer)
    servers = ["--trainer", trainer, "--controller", controller]
    spool = ["--spool", str(programs.root / "spool.sqlite")]
    driving = programs.start(
        "real_env", "run", "--plant", STILL, "--collect", "60", "--events", *servers, *spool
    )
    for event in driving.events(60.0):
        if event["event"] == "progress":
            kill(program)
            programs.trainer(port)
            break
    report = next(event for event in driving.events(60.0) if event["event"] == "phase")
    assert recorded(trainer, report["session"]) == list(range(1500))
    assert driving.process.wait(timeout=30.0) == 0


RIG = """
import numpy as np
from real_env.plant import PlantSpec, Reading

class Rig:
    def __init__(self, seed):
        names = "cart [m]", "pole [rad]", "cart velocity [m/s]", "pole velocity [rad/s]"
        self.spec = PlantSpec("rig", names, ("push [100 N]",), 0.04, {}, real_time=False)
        self.log = open(__file__ + ".log", "w", buffering=1)

    def reset(self):
        return Reading(np.array([0.0, 3.0, 0.0, 0.0], np.float32), False)

    def exchange(self, command):
        print(float(command[0]), file=self.log)
        return Reading(np.array([0.0, 3.0, 0.1, 0.0], np.float32), False)

    def close(self):
        print("closed", file=self.log)
"""


def test_a_rig_is_left_without_torque_between_phases_and_closed_by_ctrl_c(
    programs: Programs, publish: Callable[..., str]
) -> None:
    publish(seed=1)
    trainer, _, controller = programs.both()
    file = programs.root / "rig.py"
    file.write_text(RIG)
    servers = ["--trainer", trainer, "--controller", controller]
    spool = ["--spool", str(programs.root / "spool.sqlite")]
    go = ["run", "--plant", f"{file}:Rig", "--phases", "-", "--events"]
    driving = programs.start("real_env", *go, *servers, *spool)
    driving.tell("evaluate 2 episodes")
    next(event for event in driving.events(60.0) if event["event"] == "phase")
    commands = Path(f"{file}.log").read_text().split()
    assert len(commands) == 2 * 150 + 1
    assert float(commands[-1]) == 0.0
    assert float(commands[-2]) != 0.0
    assert ended_within_2_s(driving) == 130
    assert Path(f"{file}.log").read_text().split()[-1] == "closed"


def recorded(trainer: str, session: str) -> list[int]:
    """Return the stored sequence numbers of a session in the order of its episodes."""
    client = TrainerClient(trainer)
    episodes = client.episodes(session, v1.PURPOSE_COLLECT)
    return [row.sequence for e in episodes for row in client.transitions(session, e.episode)]


def ended_within_2_s(program: Program) -> int:
    """Send Ctrl-C and return the exit status."""
    started = time.monotonic()
    program.process.send_signal(signal.SIGINT)
    status = program.process.wait(timeout=10.0)
    assert time.monotonic() - started < 2.0
    return status


def test_ctrl_c_ends_a_trainer_that_trains(programs: Programs) -> None:
    program, address = programs.trainer()
    ready(address)
    client = TrainerClient(address)
    job = client.start_training(v1.TrainingOptions(task="cartpole_swingup", epochs=100_000))
    for response in client.training.WatchJob(v1.WatchJobRequest(id=job.id)):
        if "compiling" in response.job.phase:
            break
    assert ended_within_2_s(program) == 0


def test_ctrl_c_ends_a_controller(programs: Programs) -> None:
    program, address = programs.controller(f"127.0.0.1:{free_port()}")
    ready(address)
    assert ended_within_2_s(program) == 0


def test_ctrl_c_ends_a_waiting_and_a_driving_real_env_and_nothing_is_lost(
    programs: Programs, publish: Callable[..., str]
) -> None:
    version = publish(seed=1)
    trainer, _, controller = programs.both()
    nowhere = f"127.0.0.1:{free_port()}"
    spool = ["--spool", str(programs.root / "spool.sqlite")]
    go = [
        "run",
        "--plant",
        STILL,
        "--collect",
        "1000000",
        "--events",
        "--real-time",
        "--trainer",
        trainer,
        *spool,
    ]
    waiting = programs.start("real_env", *go, "--controller", nowhere)
    for event in waiting.events(60.0):
        if event["event"] == "ready":
            break
    assert ended_within_2_s(waiting) == 130
    driving = programs.start("real_env", *go, "--controller", controller)
    session = ""
    for event in driving.events(60.0):
        session = event.get("session", session)
        if event["event"] == "progress":
            break
    assert ended_within_2_s(driving) == 130
    client = TrainerClient(trainer)
    rows = [
        row
        for episode in client.episodes(session, v1.PURPOSE_COLLECT)
        for row in client.transitions(session, episode.episode)
    ]
    assert [row.sequence for row in rows] == list(range(len(rows)))
    assert len(rows) >= 150
    assert {row.policy_version for row in rows if row.policy_version} == {version}
