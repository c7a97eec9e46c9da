"""Write a checkpoint: save, wait, list the digests, then rename into place. Half a checkpoint is none."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from trainer.checkpoint.manifest import write_manifest
from trainer.checkpoint.metadata import PolicyMetadata, version_of


def export(root: Path, parameters: Any, metadata: PolicyMetadata, dynamics: Any, training: Any) -> str:
    """Write `root/<version>` and return the version; one that is there already stays as it is.

    The items are separate: `policy`, `metadata`, `dynamics` (parameters of the learned dynamics) and
    `training` (what the next training starts from), so that a reader touches only what it needs.
    """
    version = version_of(parameters, metadata)
    target = root / version
    if target.exists():
        return version
    root.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=root, prefix=".staging-"))
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            for item, tree in (("policy", parameters), ("dynamics", dynamics), ("training", training)):
                if jax.tree.leaves(tree):  # an algorithm may have no networks to start from
                    checkpointer.save((staging / item).resolve(), tree)
        with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as checkpointer:
            checkpointer.save((staging / "metadata").resolve(), metadata.to_json())
        write_manifest(staging)
        staging.rename(target)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return version
