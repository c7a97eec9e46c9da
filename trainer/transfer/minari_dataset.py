"""A Minari dataset, one episode each, with the rewards of the task: minus the cost of each step.

What Minari has no place for is in the `infos` of each step, and in the dataset's metadata under
`hds_recordings`. The first of an episode's infos belongs to the reset, as Minari has it, and holds nothing.
The metadata also hold a SHA-256 of the data and of themselves, which is checked before Minari parses any.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import gymnasium as gym
import minari
import numpy as np
from google.protobuf.json_format import ParseError
from minari.data_collector import EpisodeBuffer

from protos.hds import v1
from trainer.transfer.hdf5_sizes import check_sizes
from trainer.transfer.recording import (
    NotARecording,
    Recording,
    by_session,
    damaged,
    from_json,
    to_json,
    unverified,
)

NAMESPACE = "hds"
KEY, DIGEST = "hds_recordings", "hds_sha256"
KEY_WITHOUT_DIGEST = "hds"
"""What the key was called before there was a digest; datasets with the other key must have one."""
Rewards = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""`(x[T + 1, n], u[T, m]) -> rewards[T]`."""
_NUMBERS = ("sequence", "t_ns", "purpose", "action_source", "end")
"""The last is missing in datasets of earlier versions."""
_WORDS = ("policy_version", "reason")
_COVERED = (KEY, "observation_space", "action_space", "total_episodes", "data_format")
"""What the digest covers of the metadata: all that is read of them."""
UNREADABLE = (ParseError, ValueError, LookupError, TypeError, AttributeError, AssertionError, OSError,
              RuntimeError, OverflowError, MemoryError)  # fmt: skip
"""What Minari and HDF5 raise on data that they can't read."""


def write(root: Path, name: str, recordings: Iterable[Recording], rewards: Rewards) -> Path:
    """Write recordings of one task below the Minari datasets path `root`; return the dataset's directory.

    Raises:
        ValueError: there is nothing to write.
        FileExistsError: a dataset of that name is there.
    """
    recordings = list(recordings)
    if not any(recording.transitions for recording in recordings):
        raise ValueError("nothing is selected, and a Minari dataset can't be empty")
    directory = root.resolve() / NAMESPACE / f"{name}-v0"
    if directory.exists():
        raise FileExistsError(f"{directory} is there already; choose another directory")
    words: dict[str, int] = {}
    buffers, episodes = [], []
    for recording in recordings:
        for rows in _episodes(recording.transitions):
            buffers.append(_buffer(len(buffers), rows, rewards, words))
            episodes.append({"session": recording.summary.session.id, "episode": rows[0].episode})
    n, m = buffers[0].observations.shape[1], buffers[0].actions.shape[1]
    with mock.patch.dict(os.environ, MINARI_DATASETS_PATH=str(root.resolve())), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="minari")
        dataset = minari.create_dataset_from_buffers(
            f"{NAMESPACE}/{name}-v0",
            buffers,
            observation_space=gym.spaces.Box(-np.inf, np.inf, (n,), np.float32),
            action_space=gym.spaces.Box(-1.0, 1.0, (m,), np.float32),
            description=f"Transitions of real plants for the task {name}, recorded by HDS",
        )
    sessions = [to_json(recording.summary) for recording in recordings]
    known = {"sessions": sessions, "episodes": episodes, "words": list(words)}
    dt = recordings[0].summary.session.plant.control_dt_s
    dataset.storage.update_metadata({KEY: json.dumps(known), "dt": dt})
    data = directory / "data"
    dataset.storage.update_metadata({DIGEST: _digest(data, read_metadata(data))})
    return directory


def read(directory: Path) -> tuple[list[Recording], list[str]]:
    """Read the one dataset at or below `directory` that `write` wrote; also what is to be known of it.

    Raises:
        OSError: it cannot be read.
        NotARecording: there is none, or more than one, or something else, or it is damaged.
    """
    data = data_below(directory)
    metadata = read_metadata(data)
    if KEY in metadata or DIGEST in metadata:
        written, found = metadata.get(DIGEST), _digest(data, metadata)
        if written != found:
            raise NotARecording(
                f"{data} is damaged, or was changed after its export: its SHA-256 is {found}, and {written} "
                "was written"
            )
        key, notes = KEY, []
    elif KEY_WITHOUT_DIGEST in metadata:
        key, notes = KEY_WITHOUT_DIGEST, [unverified(data)]
    else:
        raise NotARecording(f"{directory} was not exported by HDS (its metadata lack {KEY!r}); give --task")
    try:
        check_sizes(data)
        return _recordings(data, json.loads(metadata[key])), notes
    except NotARecording:
        raise
    except UNREADABLE as error:
        raise damaged(data, "Minari dataset", error) from error


def data_below(directory: Path) -> Path:
    """Return where the data are of the one dataset at or below `directory`.

    Raises:
        NotARecording: there is none, or more than one.
    """
    found = sorted(directory.rglob("data/metadata.json"))
    if directory.name == "data":
        found = [directory / "metadata.json"]
    if len(found) != 1:
        raise NotARecording(f"{directory} holds {len(found)} Minari datasets; name the directory of one")
    return found[0].parent


def read_metadata(data: Path) -> dict[str, Any]:
    """Return a dataset's metadata as they are in the file.

    Raises:
        OSError: it cannot be read.
        NotARecording: it is damaged.
    """
    path = data / "metadata.json"
    try:
        metadata = json.loads(path.read_bytes())
    except ValueError as error:
        raise damaged(path, "Minari metadata", error) from error
    if not isinstance(metadata, dict):
        raise damaged(path, "Minari metadata", "it holds no object")
    return metadata


def _recordings(data: Path, known: dict[str, Any]) -> list[Recording]:
    episodes = minari.MinariDataset(data).iterate_episodes()
    transitions = (
        (place["session"], transition)
        for place, episode in zip(known["episodes"], episodes, strict=True)
        for transition in _transitions(episode, place["episode"], known["words"])
    )
    return by_session(map(from_json, known["sessions"]), transitions, str(data))


def _digest(data: Path, metadata: dict[str, Any]) -> str:
    """Return the SHA-256 of the data, and of what is read of the metadata."""
    with (data / "main_data.hdf5").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(json.dumps([metadata.get(name) for name in _COVERED]).encode())
    return digest.hexdigest()


def _episodes(transitions: list[v1.Transition]) -> list[list[v1.Transition]]:
    found: dict[int, list[v1.Transition]] = {}
    for transition in transitions:
        found.setdefault(transition.episode, []).append(transition)
    return list(found.values())


def _buffer(number: int, rows: list[v1.Transition], rewards: Rewards, words: dict[str, int]) -> EpisodeBuffer:
    x_next = np.array([row.x_next for row in rows], np.float32)
    observations = np.concatenate([np.array([row.x for row in rows], np.float32), x_next[-1:]])
    u: Any = np.array([row.u_applied for row in rows], np.float32)
    return EpisodeBuffer(
        id=number,
        observations=observations,  # pyright: ignore[reportArgumentType]
        actions=u,
        rewards=list(rewards(observations, u)),
        terminations=[row.terminated for row in rows],
        truncations=[row.truncated for row in rows],
        infos=_infos(rows, words) | {"x_next": _from_first_step(x_next)},
    )


def _infos(rows: list[v1.Transition], words: dict[str, int]) -> dict[str, np.ndarray]:
    """Return what Minari has no place for; texts are numbers, by their place in `words`."""
    size = len(rows[0].u_applied)
    requested = [row.u_requested or [np.nan] * size for row in rows]
    infos: dict[str, Any] = {name: np.array([getattr(row, name) for row in rows]) for name in _NUMBERS}
    for name in _WORDS:
        infos[name] = np.array([words.setdefault(getattr(row, name), len(words)) for row in rows], np.int64)
    infos["was_requested"] = np.array([len(row.u_requested) > 0 for row in rows])
    infos["u_requested"] = np.array(requested, np.float32)
    return {name: _from_first_step(values) for name, values in infos.items()}


def _from_first_step(values: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros_like(values[:1]), values])


def _transitions(episode: Any, number: int, words: list[str]) -> Iterable[v1.Transition]:
    infos = {name: np.asarray(values)[1:] for name, values in episode.infos.items()}
    for k in range(len(episode.actions)):
        named: dict[str, Any] = {name: int(infos[name][k]) for name in _NUMBERS if name in infos}
        named |= {name: words[int(infos[name][k])] for name in _WORDS}
        yield v1.Transition(
            episode=number,
            x=episode.observations[k],
            u_requested=infos["u_requested"][k] if infos["was_requested"][k] else (),
            u_applied=episode.actions[k],
            x_next=infos["x_next"][k],
            terminated=bool(episode.terminations[k]),
            truncated=bool(episode.truncations[k]),
            **named,
        )
