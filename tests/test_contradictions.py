"""Recorded motion that can't be of its task is refused by the name of its column."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.pendulum_motion import recorded
from tests.support.programs import asked
from trainer.dynamics.contradictions import Contradicted, check, contradictions
from trainer.dynamics.windows import Segment
from trainer.tasks import load_task

TASK = load_task("cartpole_swingup")


def with_column(place: int, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Segment], Segment]:
    def changed(segment: Segment) -> Segment:
        x = segment.x.copy()
        x[:, place] = change(x[:, place])
        return segment._replace(x=x)

    return changed


@pytest.mark.parametrize("noise", [0.0, 0.005])
@pytest.mark.parametrize("amplitude", [0.3, 1.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_motion_of_a_rig_with_friction_contradicts_nothing(seed: int, amplitude: float, noise: float) -> None:
    assert contradictions(TASK, [recorded(seed, amplitude, noise)]) == []


def test_motion_of_a_rig_that_rests_contradicts_nothing() -> None:
    x = np.tile(np.array([0.1, np.pi, 0.0, 0.0], np.float32), (101, 1))
    x += 1e-3 * np.random.default_rng(0).normal(size=x.shape).astype(np.float32)
    u = np.random.default_rng(1).uniform(-0.1, 0.1, (100, 1)).astype(np.float32)
    assert contradictions(TASK, [Segment(x, u)]) == []


@pytest.mark.parametrize("noise", [0.0, 0.005])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (with_column(3, np.rad2deg), r"pole velocity \[rad/s\]: is 57.* as if one of them were in deg"),
        (with_column(3, np.negative), r"pole velocity \[rad/s\]: has the opposite sign of how pole \[rad\]"),
        (with_column(3, np.zeros_like), r"pole velocity \[rad/s\]: is zero while pole \[rad\] moves"),
        (with_column(2, np.zeros_like), r"cart velocity \[m/s\]: is zero while cart \[m\] moves"),
        (with_column(1, lambda q: q - np.pi), r"pole \[rad\]: moves as if its zero were half a turn away"),
        (lambda m: m._replace(u=-m.u), r"push \[100 N\]: pushes the other way"),
        (
            lambda m: m._replace(x=(m.x * [1e3, 1, 1e3, 1]).astype(np.float32)),
            r"cart \[m\]: push \[100 N\] moves it 79. times as far as in the simulator",
        ),
        (
            lambda m: m._replace(x=(m.x * [1, -1, 1, -1]).astype(np.float32)),
            r"pole \[rad\]: push \[100 N\] moves it the other way than in the simulator",
        ),
    ],
    ids=[
        "deg/s",
        "negated",
        "zero pole velocity",
        "zero cart velocity",
        "hanging",
        "motor",
        "mm",
        "mirrored",
    ],
)
def test_a_column_that_contradicts_the_task_is_named(
    wrong: Callable[[Segment], Segment], message: str, noise: float
) -> None:
    with pytest.raises(Contradicted, match=message):
        check(TASK, [wrong(recorded(0, noise=noise))])


def test_a_log_whose_velocity_is_in_other_units_is_refused_by_its_column(tmp_path: Path) -> None:
    """In deg/s it gave a friction of 8.4 instead of 0.046, without a word."""
    t = 0.01 * np.arange(600)
    angle, velocity = 1.2 * np.sin(3.0 * t), 3.6 * np.cos(3.0 * t)
    for name, factor in (("sound", 1.0), ("deg", 180.0 / np.pi), ("negated", -1.0), ("zero", 0.0)):
        rows = np.stack([t, angle, factor * velocity, 0.1 * np.sin(t)], axis=1)
        header = "time,position,velocity,torque"
        np.savetxt(tmp_path / f"{name}.csv", rows, delimiter=",", header=header, comments="")
    for name, seen in (("deg", "as if one of them were in deg"), ("negated", "has the opposite sign"),
                       ("zero", "is zero while")):  # fmt: skip
        words = ["--task", "pendulum", "--log", str(tmp_path / f"{name}.csv"), "--out", str(tmp_path / "out")]
        refused = asked("fit-dynamics", *words)
        assert refused.returncode == 1
        assert "the data contradict task pendulum and are not used: velocity [rad/s]" in refused.stderr
        assert seen in refused.stderr
        assert not (tmp_path / "out").exists()
