"""Logs of rigs: what is read, what is refused, and with which words."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pendulum_logs import noisy, swing, write
from trainer.logs.csv_log import Log, as_logs, read_csv, read_csv_logs
from trainer.logs.log_format import default_format, read_format
from trainer.logs.parquet_table import read_parquet
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
        (
            "time,position,omega,torque\n0,0,0,0\n",
            "line 1: there is no column 'velocity'; there are: time, position, omega, torque. A --format "
            "file says which column is what, or that it was not recorded (derive = true)",
        ),
        (
            "time,position,velocity,tau\n0,0,0,0\n",
            "there is no column 'torque'; there are: time, position, velocity, tau. A --format file says "
            "which column is what, or that it was not recorded (off = true)",
        ),
        (
            "0,0,0\n0.05,0.1,2\n",
            "line 1: there is no column 'time'; no line names the 3 columns; they are 1, 2, 3",
        ),
        ("time,position\n0,0\n\0,1\n", "line 3: has a zero byte; it is no text, or a damaged one"),
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


def case(name: str) -> str:
    """A small log of a pendulum, as someone's tool wrote it."""
    rows = [(0.005 * k, 0.1 - 0.001 * k, -0.2, 0.5) for k in range(31)]
    lines = [",".join(f"{value:.6f}" for value in row) for row in rows]
    names = "time,position,velocity,torque"
    blanks = ["  " + "   ".join(row.split(",")) for row in lines]
    return "\n".join(
        {
            "as it should be": [names, *lines],
            "names behind #": ["# made by NumPy", "# " + names, *lines],
            "names behind #, blanks": ["# " + names.replace(",", " "), *(r.replace(",", " ") for r in lines)],
            "aligned columns": ["   time   position   velocity     torque", *blanks],
            "quoted names with blanks after commas": ['"time", "position", "velocity", "torque"', *lines],
            "a blank after the last name": ["time, position, velocity, torque ", *lines],
            "a comma after the last cell": [names + ",", *(row + "," for row in lines)],
            "commented rows": [names, *lines[:10], "# " + lines[10], "% 1,2,3", *lines[10:]],
            "no names": lines,
            "decimal commas": [
                names.replace(",", ";"), *(r.replace(",", ";").replace(".", ",") for r in lines)
            ],
            "quoted numbers": [names, *(",".join(f'"{cell}"' for cell in row.split(",")) for row in lines)],
            "more columns, of text": ["state," + names, *("on," + row for row in lines)],
        }[name]
    )  # fmt: skip


CASES = (
    "as it should be", "names behind #", "names behind #, blanks", "aligned columns",
    "quoted names with blanks after commas", "a blank after the last name", "a comma after the last cell",
    "commented rows", "no names", "decimal commas", "quoted numbers", "more columns, of text",
)  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_log_is_read_whatever_tool_wrote_it(tmp_path: Path, name: str, end: str) -> None:
    path = tmp_path / "rig.csv"
    path.write_bytes(case(name).replace("\n", end).encode())
    log = read_csv(path, default_format(PENDULUM))
    expected = read(tmp_path, case("as it should be"))
    for found, needed in ((log.t, expected.t), (log.x, expected.x), (log.u, expected.u)):
        np.testing.assert_allclose(found, needed, atol=1e-9)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
def test_a_log_is_read_in_whatever_encoding_and_told(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "rig.csv"
    path.write_bytes((case("as it should be") + "\n# gemessen für Prüfstand 3\n").encode(encoding))
    log = read_csv(path, default_format(PENDULUM))
    assert len(log.t) == 31
    told = any("UTF-8" in note or "the file is in utf-" in note for note in log.notes)
    assert told == (encoding not in ("utf-8", "utf-8-sig"))


def test_names_with_units_are_columns_like_others(tmp_path: Path) -> None:
    path, layout = tmp_path / "rig.csv", tmp_path / "rig.toml"
    names = ("Time (s)", "Angle (rad)", "Velocity (rad/s)", "Torque (N m)")
    path.write_text(case("as it should be").replace("time,position,velocity,torque", ",".join(names)))
    keys = ("time", "angle", "velocity", "torque")
    tables = (f'[{key}]\ncolumn = "{name}"\n' for key, name in zip(keys, names, strict=True))
    layout.write_text("".join(tables))
    assert len(read_csv(path, read_format(layout, PENDULUM)).t) == 31


def test_a_velocity_that_was_not_recorded_is_derived_and_told(tmp_path: Path) -> None:
    truth = swing(0, seconds=4.0)
    whole = read_csv(write(tmp_path / "whole.csv", truth), default_format(PENDULUM))
    less = write(tmp_path / "rig.csv", truth[:, [0, 1, 3]], "time,position,torque")
    log = read_csv(less, default_format(PENDULUM))
    assert "'velocity' is not in the log; it is derived from its position" in log.notes
    (motion,), (expected,) = resample(log, PENDULUM), resample(whole, PENDULUM)
    np.testing.assert_allclose(motion.x, expected.x, atol=0.02)
    np.testing.assert_array_equal(motion.u, expected.u)


def test_a_torque_that_was_not_recorded_is_that_of_a_motor_that_is_off(tmp_path: Path) -> None:
    truth = swing(0, seconds=1.0)
    log = read_csv(
        write(tmp_path / "rig.csv", truth[:, :3], "time,position,velocity"), default_format(PENDULUM)
    )
    assert "'torque' is not in the log; it is taken as 0, as of a motor that is off" in log.notes
    assert not log.u.any()


def test_a_format_says_what_was_not_recorded_beside_other_columns_and_numbers_columns(tmp_path: Path) -> None:
    path, layout = tmp_path / "rig.csv", tmp_path / "rig.toml"
    path.write_text("\n".join(f"{20 + k},{0.05 * k},{0.1 * k}" for k in range(5)))
    layout.write_text(
        "[time]\ncolumn = 2\n[angle]\ncolumn = 3\n[velocity]\nderive = true\n[torque]\noff = true\n"
    )
    log = read_csv(path, read_format(layout, PENDULUM))
    np.testing.assert_allclose(log.x, np.stack([0.1 * np.arange(5), np.full(5, 2.0)], axis=1), atol=1e-9)
    for wrong, told in (
        ("[time]\noff = true", "[time] is neither a velocity"),
        ("[time]\nderive = 3", "derive 3"),
    ):
        layout.write_text(wrong + "\n[angle]\n[velocity]\n[torque]\n")
        with pytest.raises(ValueError, match=r"rig\.toml") as error:
            read_format(layout, PENDULUM)
        assert told in str(error.value)


def test_episodes_of_one_file_are_read_one_by_one(tmp_path: Path) -> None:
    rows = [f"{episode},{0.05 * k},{0.1 * k},2,0.5" for episode in (0, 1, 7) for k in range(6)]
    path = tmp_path / "rig.csv"
    path.write_text("\n".join(["episode_index,time,position,velocity,torque", *rows, "8,0,0,0,0"]))
    logs = read_csv_logs(path, default_format(PENDULUM))
    assert [len(log.t) for log in logs] == [6, 6, 6]
    assert "3 episodes by 'episode_index'; 1 are too short" in logs[0].notes


def parquet(path: Path, columns: dict) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_of_lerobot_is_read_in_the_tasks_order(tmp_path: Path) -> None:
    steps = 12
    state = [[0.1 * k, 0.3] for k in range(steps)] * 2
    columns = {
        "observation.state": pa.array(state, pa.list_(pa.float32(), 2)),
        "action": pa.array([[0.5]] * (2 * steps), pa.list_(pa.float32())),
        "timestamp": pa.array([0.05 * k for k in range(steps)] * 2, pa.float32()),
        "episode_index": pa.array([0] * steps + [1] * steps, pa.int64()),
        "frame_index": pa.array([*range(steps)] * 2, pa.int64()),
        "task": ["swing"] * (2 * steps),
    }
    path = parquet(tmp_path / "episode.parquet", columns)
    logs = as_logs(read_parquet(path, default_format(PENDULUM)), default_format(PENDULUM))
    assert [len(log.t) for log in logs] == [steps, steps]
    assert "LeRobot's observation.state 1 is taken as 'velocity'" in logs[0].notes
    np.testing.assert_allclose(logs[1].x[3], [math.pi + 0.3, 0.3], atol=1e-6)
    layout = tmp_path / "rig.toml"
    layout.write_text(
        '[time]\ncolumn = "timestamp"\n[angle]\ncolumn = "observation.state 0"\n[velocity]\n'
        'column = "observation.state 1"\n[torque]\ncolumn = "action 0"\n'
    )
    named = read_format(layout, PENDULUM)
    np.testing.assert_allclose(as_logs(read_parquet(path, named), named)[0].x[3], [0.3, 0.3], atol=1e-6)


@pytest.mark.parametrize("kind", ["int64 ns", "timestamp[ns]", "timestamp[ms]", "duration[us]"])
def test_parquet_times_are_read_to_the_microsecond_since_1970_or_not(tmp_path: Path, kind: str) -> None:
    ns = 1_700_000_000_123_456_789 + 50_000_000 * np.arange(10)
    times = {
        "int64 ns": pa.array(ns), "timestamp[ns]": pa.array(ns, pa.timestamp("ns")),
        "timestamp[ms]": pa.array(ns // 10**6, pa.timestamp("ms")),
        "duration[us]": pa.array((ns - ns[0]) // 1000, pa.duration("us")),
    }  # fmt: skip
    columns = {
        "time": times[kind],
        "position": 0.1 * np.arange(10),
        "velocity": [2.0] * 10,
        "torque": [0.0] * 10,
    }
    path, layout = parquet(tmp_path / "rig.parquet", columns), tmp_path / "rig.toml"
    layout.write_text('[time]\nunit = "ns"\n[angle]\ncolumn = "position"\n[velocity]\n[torque]\n')
    named = read_format(layout, PENDULUM)
    (log,) = as_logs(read_parquet(path, named), named)
    np.testing.assert_allclose(np.diff(log.t), 0.05, atol=1e-6)


def test_rows_that_are_not_finite_are_left_out_and_told(tmp_path: Path) -> None:
    log = read(tmp_path, GOOD + "0.15,nan,2,0.5\n0.2,,2,0.5\n0.25,0.5,2,0.5\n0.3,0.5,2,1e300\n")
    assert len(log.t) == 4
    left_out = "3 rows are left out, a number in them is not finite or beyond ± 1e+06; the first is line 5"
    assert left_out in log.notes


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
