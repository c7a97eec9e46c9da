"""Minari datasets of other makers: taken by their spaces, or by a format."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from gymnasium import spaces

from protos.hds import v1
from tests.support.minari_data import BOX, buffer, dataset
from trainer.logs.log_format import LogFormat, read_format
from trainer.tasks import load_task
from trainer.transfer import minari_log
from trainer.transfer.from_log import recorded
from trainer.transfer.hdf5_sizes import check_sizes
from trainer.transfer.recording import Recording

PENDULUM = load_task("pendulum")


def box(low: Any, high: Any) -> spaces.Box:
    return spaces.Box(np.array([low], np.float32), np.array([high], np.float32))


def layout(tmp_path: Path, text: str) -> LogFormat:
    path = tmp_path / "rig.toml"
    path.write_text(text)
    return read_format(path, PENDULUM, optional=("time",))


def session_of(directory: Path, form: LogFormat | None = None) -> Recording:
    motions, terminated, _ = minari_log.read(directory, PENDULUM, form)
    return recorded(directory, PENDULUM, motions, v1.PURPOSE_COLLECT, terminated)


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def test_actions_are_scaled_from_the_bounds_of_their_space(tmp_path: Path) -> None:
    episodes = [buffer(0, column(-1.0, 1.0, 3.0, 0.0)), buffer(1, column(3.0))]
    motions, _, notes = minari_log.read(dataset(tmp_path, episodes, box(-1.0, 3.0)), PENDULUM, None)
    np.testing.assert_allclose(motions[0].u[:, 0], [-1.0, 0.0, 1.0, -0.5])
    np.testing.assert_array_equal(motions[0].x, np.asarray(episodes[0].observations))
    assert "actions are scaled from the bounds -1 to 3 to [-1, 1]" in notes


def test_rounding_beyond_the_bounds_is_cut_and_more_is_kept_and_told(tmp_path: Path) -> None:
    high = np.nextafter(np.float32(3.0), np.float32(4.0))
    motions, _, notes = minari_log.read(
        dataset(tmp_path, [buffer(0, column(high, 6.0))], box(-3.0, 3.0)), PENDULUM, None
    )
    assert motions[0].u[:, 0].tolist() == [1.0, 2.0]
    assert "actions reach 2, beyond the task's 1, and are stored so" in notes


@pytest.mark.parametrize("bounds", [(-np.inf, np.inf), (-3.0, np.inf), (1.0, 1.0), (-3.4e38, 3.4e38)])
def test_actions_without_bounds_need_a_format(tmp_path: Path, bounds: tuple[float, float]) -> None:
    theirs = dataset(tmp_path, [buffer(0, column(1.0))], box(*bounds))
    with pytest.raises(
        ValueError, match=r"can't be scaled to \[-1, 1\]; give --format, whose \[torque\] say"
    ):
        minari_log.read(theirs, PENDULUM, None)


def test_a_format_says_units_and_zeros_of_observations_and_actions_by_their_place(tmp_path: Path) -> None:
    theirs = dataset(tmp_path, [buffer(0, column(500.0, -250.0))], box(-np.inf, np.inf))
    observed = minari_log.read(theirs, PENDULUM, layout(tmp_path, "[angle]\n[velocity]\n[torque]\n"))[0][0].x
    text = '[angle]\nunit = "deg"\nzero = "hanging"\n[velocity]\nunit = "rpm"\nscale = -1\n'
    text += '[torque]\nunit = "mNm"\n'
    motions, _, notes = minari_log.read(theirs, PENDULUM, layout(tmp_path, text))
    np.testing.assert_allclose(motions[0].x[:, 0], np.pi + np.radians(observed[:, 0]), rtol=1e-6)
    np.testing.assert_allclose(motions[0].x[:, 1], -observed[:, 1] * 2.0 * math.pi / 60.0, rtol=1e-6)
    np.testing.assert_allclose(motions[0].u[:, 0], [0.25, -0.125])
    assert "torque [2 N·m] is 0.0005 × action 0" in notes
    swapped = '[angle]\ncolumn = "observation 1"\n[velocity]\ncolumn = "observation 0"\n[torque]\n'
    other = minari_log.read(theirs, PENDULUM, layout(tmp_path, swapped))[0][0].x
    np.testing.assert_array_equal(other, observed[:, ::-1])
    with pytest.raises(ValueError, match="there is no 'action 1'; there are: action 0"):
        minari_log.read(
            theirs, PENDULUM, layout(tmp_path, '[angle]\n[velocity]\n[torque]\ncolumn="action 1"\n')
        )


def test_another_format_gives_another_session(tmp_path: Path) -> None:
    theirs = dataset(tmp_path, [buffer(0, column(0.5))], box(-1.0, 1.0))
    text = "[angle]\n[velocity]\n[torque]\nscale = {}\n"
    names = {session_of(theirs, layout(tmp_path, text.format(s))).summary.session.id for s in (1.0, 2.0, 3.0)}
    assert len(names) == 3
    same = session_of(theirs, layout(tmp_path, text.format(2.0))).summary.session.id
    assert same in names
    assert same == session_of(theirs).summary.session.id, "torque [2 N·m]: 2 N·m are the bound of the space"


def test_what_terminated_stays_terminated_and_what_was_cut_is_truncated(tmp_path: Path) -> None:
    ends = [True, False, True]
    episodes = [buffer(i, column(0.1, 0.2), terminated) for i, terminated in enumerate(ends)]
    found = session_of(dataset(tmp_path, episodes, box(-1.0, 1.0)))
    assert [(row.terminated, row.truncated) for row in found.transitions] == [
        (False, False), (True, False), (False, False), (False, True), (False, False), (True, False)
    ]  # fmt: skip
    cut = [buffer(i, column(0.1, 0.2)) for i in range(3)]
    other = session_of(dataset(tmp_path, cut, box(-1.0, 1.0)))
    assert other.summary.session.id.split("-")[-1] != found.summary.session.id.split("-")[-1]


@pytest.mark.parametrize(
    ("acted", "observed", "message"),
    [
        (spaces.Discrete(3), BOX, "the action space is a Discrete; task pendulum needs a Box of 1: torque"),
        (
            box(-1, 1),
            spaces.Box(-9, 9, (3,)),
            "the observation space is a Box of shape (3,); task pendulum needs",
        ),
        (
            box(-1, 1),
            spaces.Dict({"achieved": BOX, "desired": BOX}),
            "the observation space is a Dict of achieved, desired; task pendulum needs a Box of 2: angle",
        ),
    ],
)
def test_other_spaces_are_refused_by_name(
    tmp_path: Path, acted: spaces.Space, observed: spaces.Space, message: str
) -> None:
    episode = buffer(0, column(0.0), size=3 if observed.shape == (3,) else 2)
    if isinstance(acted, spaces.Discrete):
        episode = dataclasses.replace(episode, actions=np.zeros(1, int))  # pyright: ignore[reportArgumentType]
    if isinstance(observed, spaces.Dict):
        values: Any = {name: episode.observations for name in observed.spaces}
        episode = dataclasses.replace(episode, observations=values)
    theirs = dataset(tmp_path, [episode], acted, observed)
    with pytest.raises(ValueError, match="theirs") as error:
        minari_log.read(theirs, PENDULUM, None)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_control_step_that_is_stated_is_compared(tmp_path: Path) -> None:
    made = lambda **more: dataset(tmp_path, [buffer(0, column(0.0))], box(-1.0, 1.0), **more)  # noqa: E731
    assert "its steps take 0.05 s, as the task's" in minari_log.read(made(dt=0.05), PENDULUM, None)[2]
    assumed = "it does not say how long its steps take (dt); the task's 0.05 s are assumed"
    assert assumed in minari_log.read(made(), PENDULUM, None)[2]
    with pytest.raises(
        ValueError, match=r"its steps take 0.02 s \(dt\); task pendulum has control steps of 0.05"
    ):
        minari_log.read(made(dt=0.02), PENDULUM, None)


def test_a_dataset_of_others_that_is_damaged_is_refused_in_one_line(tmp_path: Path) -> None:
    theirs = dataset(tmp_path, [buffer(0, column(0.0))], box(-1.0, 1.0))
    (metadata,) = theirs.rglob("metadata.json")
    whole = json.loads(metadata.read_text())
    for damage in (
        {"minari_version": "99"},
        {"action_space": "{}"},
        {"total_episodes": 7},
        {"data_format": "x"},
    ):
        metadata.write_text(json.dumps(whole | damage))
        with pytest.raises(ValueError, match=r"theirs.* is no Minari dataset, or a damaged one") as error:
            minari_log.read(theirs, PENDULUM, None)
        assert "\n" not in str(error.value)


def test_data_that_a_damaged_dataset_only_declares_are_refused_before_they_are_read(tmp_path: Path) -> None:
    """Reading them took 23 GB for one bit, and the kernel ended the process."""
    pushes = np.zeros((40, 1), np.float32)
    root = dataset(tmp_path, [buffer(0, pushes)], box(-2.0, 2.0))
    (file,) = root.rglob("*.hdf5")
    with h5py.File(file, "r+") as data:
        del data["episode_0/terminations"]
        data.create_dataset("episode_0/terminations", (1 << 40,), bool, chunks=(40,))
    with pytest.raises(ValueError, match="episode_0/terminations declares 1099511627776 bytes, of which the"):
        minari_log.read(root, PENDULUM, None)


def test_compressed_data_that_are_all_there_are_read(tmp_path: Path) -> None:
    file = tmp_path / "main_data.hdf5"
    with h5py.File(file, "w") as data:
        zeros = np.zeros(100 << 20, np.uint8)
        data.create_dataset("zeros", data=zeros, chunks=(1 << 20,), compression="gzip", compression_opts=9)
    assert file.stat().st_size < 1 << 20
    check_sizes(tmp_path)
