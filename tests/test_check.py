"""`hds-real-env check` on a pendulum that is wired in many ways."""

import json
from pathlib import Path

import pytest

from tests.support.programs import run

SWING = Path(__file__).parent / "plants" / "swing.py"
MOVE = ["--move", "--yes", "--limits.action", "0.5", "--limits.state", "10", "400"]


def check(name: str, *words: str) -> tuple[int, dict[str, tuple[str, str]], str]:
    """Return the exit status, what was seen and the verdict by what, and standard error."""
    done = run("real_env", "check", "--plant", f"{SWING}:{name}", "--seconds", "8", "--json", *words)
    rows = json.loads(done.stdout) if done.stdout else []
    return done.returncode, {row["what"]: (row["seen"], row["verdict"]) for row in rows}, done.stderr


def test_a_rig_that_is_wired_as_the_task_says_is_right_and_its_motor_too() -> None:
    status, found, _ = check("Swing", *MOVE)
    assert status == 0
    assert "wrong" not in {verdict for _, verdict in found.values()}
    assert found["velocity [rad/s] against angle [rad]"][1] == "right"
    assert found["zero of angle [rad]"] == ("3.142, noise 7.2e-07", "right")
    assert found["sign of torque [2 N·m]"][1] == "right"
    assert "1 control steps after the command" in found["delay of the motor"][0]


@pytest.mark.parametrize(
    ("name", "what", "seen", "verdict"),
    [
        ("Backwards", "sign of torque [2 N·m]", "changes velocity [rad/s] by -", "wrong"),
        ("Degrees", "velocity [rad/s] against angle [rad]", "as if one of them were in deg", "wrong"),
        ("Negated", "velocity [rad/s] against angle [rad]", "has the opposite sign of how angle", "wrong"),
        ("NoVelocity", "velocity [rad/s] against angle [rad]", "is zero while angle [rad] moves", "wrong"),
        ("Hanging", "zero of angle [rad]", "0, noise", "look"),
    ],
)
def test_what_is_wired_wrongly_is_named(name: str, what: str, seen: str, verdict: str) -> None:
    status, found, _ = check(name, *MOVE)
    assert status == (1 if verdict == "wrong" else 0)
    assert seen in found[what][0]
    assert found[what][1] == verdict


def test_nothing_but_zero_is_commanded_unless_it_is_asked_to_move() -> None:
    _, found, _ = check("Swing")
    assert not [what for what in found if "torque" in what]


def test_the_motor_is_not_moved_without_limits_nor_without_a_yes(tmp_path: Path) -> None:
    status, _, said = check("Swing", "--move", "--yes")
    assert status == 2
    assert "--move needs --limits.action, below 1, and --limits.state" in said
    status, _, said = check("Swing", *[word for word in MOVE if word != "--yes"])
    assert status == 2
    assert "there is no terminal; --yes says that it may" in said


def test_a_limit_that_is_reached_lets_the_rig_go_and_latches(tmp_path: Path) -> None:
    spool = ["--spool", str(tmp_path / "spool.sqlite")]
    tight = ["--move", "--yes", "--limits.action", "0.5", "--limits.state", "10", "0.0005", *spool]
    status, _, said = check("Swing", *tight)
    assert status == 1
    assert "velocity [rad/s] is" in said
    assert "beyond its limit of 0.0005" in said
    status, _, said = check("Swing", *MOVE, *spool)
    assert status == 2
    assert "the emergency stop of rig 'Swing' is latched" in said
