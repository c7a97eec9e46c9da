"""From logs of a rig to dynamics and their score, by the commands that a user types."""

import json
from pathlib import Path

import pytest

from tests.pendulum_logs import DRY, GAIN, ROTOR, noisy, swing, write
from tests.support.programs import asked, run


def fit(logs: list[Path], out: Path) -> list[str]:
    words = [word for log in logs for word in ("--log", str(log))]
    return ["fit-dynamics", "--task", "pendulum", "--model", "drive", *words, "--out", str(out)]


@pytest.fixture(scope="module")
def identified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with dynamics fitted to two logs, and a third log."""
    root = tmp_path_factory.mktemp("rig")
    logs = [write(root / f"{seed}.csv", noisy(swing(seed), seed)) for seed in range(3)]
    ended = asked(*fit(logs[:2], root / "found"))
    assert ended.returncode == 0, ended.stderr
    assert "dry friction of angle: " in ended.stdout
    return root


def test_the_friction_gain_and_rotor_of_a_logged_pendulum_are_identified(identified: Path) -> None:
    estimates = json.loads((identified / "found" / "dynamics.json").read_text())["estimates"]
    for name, truth, within in (
        ("dry friction of angle", DRY, 0.2),
        ("gain of torque", GAIN, 0.05),
        ("rotor inertia of angle", ROTOR, 0.3),
    ):
        found = estimates[name]
        assert found["identified"], name
        assert found["value"] == pytest.approx(truth, rel=within), name
        assert found["low"] < found["value"] < found["high"]


def test_a_log_that_was_not_fitted_is_predicted_better_than_without_friction(identified: Path) -> None:
    score, picture = identified / "score.json", identified / "score.png"
    words = ["--dynamics", str(identified / "found"), "--log", str(identified / "2.csv")]
    words += ["--horizon", "0.5", "--json", str(score), "--picture", str(picture)]
    ended = asked("score-dynamics", *words)
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(score.read_text())
    assert figures["horizon"] == 0.5
    assert figures["windows"] == 115  # each 0.1 s of 11.95 s, half a second before the end
    learned = figures["angle_error_not_upright"]["median"]
    assert learned < 0.02
    assert learned < 0.5 * figures["reference"]["frictionless"]["median"]
    assert learned < 0.1 * figures["reference"]["still"]["median"]
    assert figures["angle_error"]["p90"] >= figures["angle_error"]["median"]
    for image in (picture, identified / "found" / "report.png"):
        assert image.read_bytes().startswith(b"\x89PNG")


def test_the_same_logs_and_seed_give_the_same_parameters_to_the_last_bit(identified: Path) -> None:
    ended = run("trainer", *fit([identified / f"{seed}.csv" for seed in (0, 1)], identified / "again"))
    assert ended.returncode == 0, ended.stderr
    name = "dynamics.msgpack"
    assert (identified / "again" / name).read_bytes() == (identified / "found" / name).read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dynamics", "nowhere", "--log", "2.csv"], "nowhere holds no dynamics"),
        (["--dynamics", "found", "--log", "no.csv"], "no.csv"),
        (["--dynamics", "found", "--log", "2.csv", "--horizon", "20"], "the log has no stretch of 20 s"),
        (["--dynamics", "found", "--log", "2.csv", "--horizon", "0"], "--horizon [s] must be above 0; got 0"),
    ],
    ids=["dynamics", "log", "long", "zero"],
)
def test_what_cannot_be_scored_is_told(identified: Path, words: list[str], message: str) -> None:
    words = [str(identified / word) if word in {"found", "nowhere", "2.csv"} else word for word in words]
    ended = asked("score-dynamics", *words)
    assert ended.returncode == 1
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
