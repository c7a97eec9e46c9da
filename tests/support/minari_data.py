"""Minari datasets."""

import warnings
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer

BOX = spaces.Box(-9.0, 9.0, (2,))


def buffer(number: int, actions: Any, terminated: bool = False, size: int = 2) -> EpisodeBuffer:
    steps, chance = len(actions), np.random.default_rng(number)
    return EpisodeBuffer(
        id=number,
        observations=chance.normal(size=(steps + 1, size)).astype(np.float32),  # pyright: ignore[reportArgumentType]
        actions=actions,
        rewards=[0.0] * steps,
        terminations=[False] * (steps - 1) + [terminated],
        truncations=[False] * (steps - 1) + [not terminated],
    )


def dataset(
    tmp_path: Path,
    episodes: list[EpisodeBuffer],
    acted: spaces.Space,
    observed: spaces.Space = BOX,
    **more: Any,
) -> Path:
    root = tmp_path / f"theirs-{len(list(tmp_path.iterdir()))}"
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        warnings.simplefilter("ignore")
        made = minari.create_dataset_from_buffers(
            "swing-v0", episodes, observation_space=observed, action_space=acted
        )
    made.storage.update_metadata(more)
    return root
