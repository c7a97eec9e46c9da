"""Read a published policy: verify every file, restore, and check that the version is what it says."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from trainer.checkpoint.manifest import CorruptCheckpoint, verify
from trainer.checkpoint.metadata import PolicyMetadata, from_json, version_of


class PublishedPolicy(NamedTuple):
    """A verified policy; `parameters` are numpy arrays."""

    version: str
    metadata: PolicyMetadata
    parameters: Any


def read_policy(directory: Path, version: str) -> PublishedPolicy:
    """Return the policy `version` from its checkpoint in `directory`.

    Raises:
        CorruptCheckpoint: a file is damaged, or the content is not that of `version`.
    """
    verify(directory)
    metadata = from_json(read_item(directory, "metadata"))
    parameters = read_item(directory, "policy")
    found = version_of(parameters, metadata)
    if found != version:
        raise CorruptCheckpoint(f"{directory} holds version {found[:12]}, not {version[:12]}")
    return PublishedPolicy(version, metadata, parameters)


def read_item(directory: Path, item: str) -> Any:
    """Return one item of a checkpoint: JSON data, or a tree of numpy arrays on no device."""
    path = (directory / item).resolve()
    if item == "metadata":
        with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as checkpointer:
            return checkpointer.restore(path)
    with ocp.PyTreeCheckpointer() as checkpointer:
        structure = checkpointer.metadata(path).item_metadata.tree
        as_numpy = jax.tree.map(lambda leaf: ocp.RestoreArgs(restore_type=np.ndarray), structure)
        return checkpointer.restore(path, restore_args=as_numpy)
