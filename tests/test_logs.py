"""Logs of rigs: what is read, what is refused, and with which words."""

import math
from pathlib import Path

import numpy as np
import pytest

from tests.pendulum_logs import noisy, swing, write
from trainer.logs.csv_log import Log, read_csv
from trainer.logs.log_format import default_format, read_format
from trainer.logs.resample import resample
from trainer.tasks import load_task

PENDULUM = load_task("pendulum")
CART_POLE = load_task("cartpole_swingup")
GOOD = "time,position,velocity,torque\n0,0,0,0.5\n0.05,0.1,2,0.5\n0.1,0.2,2,0.5\n"


def read(tmp_path: Path, text: str) -> Log:
    path = tmp_path / "rig.csv"
    path.write_text(text)
    return read_csv(path, default_format(PENDULUM))


def test_columns_are_brought_to_the_tasks_conventions(tmp_path: Path) -> None:
    log = read(tmp_path, GOOD)
    np.testing.assert_allclose(log.x[:, 0], np.pi + np.array([0.0, 0.1, 0.2]))
    np.testing.assert_allclose(log.u[:, 0], 0.25)  # of 2 N·m


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("time,position,torque\n0,0,0\n", "line 1: there is no column 'velocity'; there are: time, position"),
        (GOOD.replace("velocity", "time"), "line 1: there is more than one column 'time'"),
        (GOOD.replace("0.1,2,", "zero,2,"), "line 3: 'position' is 'zero', no number"),
        (GOOD.replace("0.1,0.2,2", "0.05,0.2,2"), "line 4: time does not advance, from 0.05 to 0.05 s"),
        (GOOD.replace("0.1,0.2,2", "0.01,0.2,2"), "line 4: time does not advance, from 0.05 to 0.01 s"),
        (GOOD.replace("0.2,2,0.5", "0.2,2"), "line 4: 3 cells, where the header has 4"),
        (GOOD.splitlines()[0] + "\n0,0,0,0\n", "has 1 usable rows; at least 2 are needed"),
        (
            GOOD.replace(",", ";").replace("0.1;2;", "0,1;2;"),
            "line 3: 'position' is '0,1', no number; write decimals with a point",
        ),
    ],
)
def test_what_is_wrong_with_a_log_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"rig\.csv") as error:
        read(tmp_path, text)
    assert message in str(error.value)


@pytest.mark.parametrize("mark", [";", "\t", " "])
def test_other_delimiters_comments_and_blank_lines_are_handled_and_told(tmp_path: Path, mark: str) -> None:
    log = read(tmp_path, "# a rig\n\n" + GOOD.replace(",", mark) + "\n")
    np.testing.assert_array_equal(log.x, read(tmp_path, GOOD).x)
    assert any("columns are separated by" in note for note in log.notes)


def test_rows_that_are_not_finite_are_left_out_and_told(tmp_path: Path) -> None:
    log = read(tmp_path, GOOD + "0.15,nan,2,0.5\n0.2,,2,0.5\n0.25,0.5,2,0.5\n")
    assert len(log.t) == 4
    assert "2 rows are left out, a number in them is not finite; the first is line 5" in log.notes


def test_an_angle_that_jumps_by_a_turn_is_unwrapped_and_told(tmp_path: Path) -> None:
    rows = [(0.05 * i, math.remainder(0.8 * i, 2 * math.pi), 16.0, 0.0) for i in range(20)]
    log = read_csv(write(tmp_path / "rig.csv", np.array(rows)), default_format(PENDULUM))
    np.testing.assert_allclose(np.diff(log.x[:, 0]), 0.8)
    assert "'position' jumps by about a turn 2 times and was unwrapped" in log.notes


def test_a_format_file_says_columns_units_signs_and_zeros(tmp_path: Path) -> None:
    path = tmp_path / "rig.toml"
    path.write_text(
        'actions = "held"\n[time]\ncolumn = "t"\nunit = "ms"\n[angle]\nunit = "deg"\nzero = "hanging"\n'
        '[velocity]\nunit = "rpm"\nscale = -1\n[torque]\ncolumn = "tau"\nunit = "mNm"\n'
    )
    layout = read_format(path, PENDULUM)
    rig = tmp_path / "rig.csv"
    rig.write_text("extra,t,angle,velocity,tau\n7,0,90,60,500\n7,50,90,60,500\n")
    log = read_csv(rig, layout)
    np.testing.assert_allclose(log.t, [0.0, 0.05])
    np.testing.assert_allclose(log.x[0], [1.5 * math.pi, -2.0 * math.pi])
    np.testing.assert_allclose(log.u[:, 0], 0.25)
    assert log.held


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[time]\nunit = 's'\n", "there is no table [angle]; needed are: time, angle, velocity, torque"),
        ("[time]\n[cart]\n", "unknown table [cart]; task pendulum has: time, angle, velocity, torque"),
        ("[time]\nunit = 'h'\n[angle]\n[velocity]\n[torque]\n", "has the unit 'h'; known: rad, deg"),
        ("[time]\ncolum = 't'\n[angle]\n[velocity]\n[torque]\n", "[time] has 'colum'; allowed: column, unit"),
        ("[time]\nscale = 'x'\n[angle]\n[velocity]\n[torque]\n", "[time] has scale 'x'; give a number"),
        ("time = 3\n[angle]\n[velocity]\n[torque]\n", "time must be a table with some of: column"),
        ("actions = 'soon'\n", "actions is 'soon'; choose 'measured' or 'held'"),
        ("[time\n", "rig.toml"),
    ],
)
def test_what_is_wrong_with_a_format_is_told_with_the_choices(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "rig.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"rig\.toml") as error:
        read_format(path, PENDULUM)
    assert message in str(error.value)


def test_states_are_estimated_better_than_a_noisy_velocity_is_measured(tmp_path: Path) -> None:
    truth = swing(0, seconds=4.0)
    log = read_csv(write(tmp_path / "rig.csv", noisy(truth, 1)), default_format(PENDULUM))
    (motion,) = resample(log, PENDULUM)
    grid = PENDULUM.control_dt * np.arange(len(motion.x))
    true = np.stack([np.interp(grid, truth[:, 0], truth[:, 1]) + np.pi, np.interp(grid, *truth[:, [0, 2]].T)])
    off = np.sqrt(np.mean((motion.x.T - true) ** 2, axis=1))
    assert off[0] < 0.001  # the encoder's steps are 3 mrad
    assert off[1] < 0.03  # velocities are off by 0.1 rad/s


def test_uneven_sampling_gives_the_states_and_impulses_of_the_motion(tmp_path: Path) -> None:
    truth = swing(0, seconds=4.0)
    kept = np.sort(np.random.default_rng(0).choice(len(truth), len(truth) // 4, replace=False))
    kept[[0, -1]] = 0, len(truth) - 1
    log = read_csv(write(tmp_path / "rig.csv", truth[kept]), default_format(PENDULUM))
    (motion,) = resample(log, PENDULUM)
    grid = PENDULUM.control_dt * np.arange(len(motion.x))
    np.testing.assert_allclose(motion.x[:, 0] - np.pi, np.interp(grid, *truth[:, [0, 1]].T), atol=2e-3)
    fine = truth[:, 3].reshape(-1, 25).mean(axis=1) / 2.0
    np.testing.assert_allclose(motion.u[:, 0], fine[: len(motion.u)], atol=5e-3)


def test_time_that_stands_still_begins_a_new_stretch(tmp_path: Path) -> None:
    rows = swing(0, seconds=2.0)
    rows[500:, 0] += 1.0
    motions = resample(read_csv(write(tmp_path / "rig.csv", rows), default_format(PENDULUM)), PENDULUM)
    assert [len(motion.u) for motion in motions] == [19, 19]


def test_a_log_at_the_control_step_with_held_commands_is_taken_as_it_is() -> None:
    x = np.random.default_rng(0).normal(size=(5, 4))
    u = np.arange(5.0)[:, None] / 10
    log = Log(Path("rig.csv"), CART_POLE.control_dt * np.arange(5), x, u, (), held=True)
    (motion,) = resample(log, CART_POLE)
    np.testing.assert_array_equal(motion.x, x.astype(np.float32))
    np.testing.assert_array_equal(motion.u, u[:-1].astype(np.float32))


def test_a_log_shorter_than_a_control_step_is_refused(tmp_path: Path) -> None:
    log = read_csv(write(tmp_path / "rig.csv", swing(0, seconds=0.04)), default_format(PENDULUM))
    with pytest.raises(ValueError, match=r"has no stretch as long as a control step of 0\.05 s"):
        resample(log, PENDULUM)


def test_a_million_rows_are_read(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    with path.open("w") as file:
        file.write("time,position,velocity,torque\n")
        file.writelines(f"{i}e-3,0.5,0,0\n" for i in range(1_000_000))
    log = read_csv(path, default_format(PENDULUM))
    assert len(log.t) == 1_000_000
    assert len(resample(log, PENDULUM)[0].u) == 19999
