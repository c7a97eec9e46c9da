"""What a checkpoint says of its policy, and the version that both together have."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import Any

import jax
import numpy as np

from trainer.policy.features import FeatureSpec
from trainer.policy.network import PolicySpec


@dataclass(frozen=True)
class PolicyMetadata:
    """Everything that a controller and a reader need besides the parameters.

    Attributes:
        task: name of the task.
        state_names, action_names: with units, as the plant must report and take them.
        control_dt_s: control step that the policy was trained for [s].
        policy: features and network; where features see more than the states, the rest is the last action.
        parent: version that training started from or followed; empty for none.
        real_seconds: real data that the policy has seen [s].
        watermarks: next sequence number per session at the time of the fit.
        metrics: figures of the training.
        configuration: what the training was asked to do.
        episode_steps: control steps of an episode of the task; 0 in checkpoints of earlier versions.
    """

    task: str
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    control_dt_s: float
    policy: PolicySpec
    parent: str
    real_seconds: float
    watermarks: dict[str, int]
    metrics: dict[str, float]
    configuration: dict[str, Any]
    episode_steps: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data, from which a version is computed.

        Fields that earlier versions lacked are left out at their defaults, so that versions stay the same.
        """
        data = json.loads(json.dumps(asdict(self)))
        if not self.episode_steps:
            del data["episode_steps"]
        if self.policy.activation == PolicySpec.activation:
            del data["policy"]["activation"]
        return data


def from_json(data: dict[str, Any]) -> PolicyMetadata:
    """Rebuild what `to_json` gave."""
    features = data["policy"]["features"]
    policy = PolicySpec(
        FeatureSpec(features["state_size"], tuple(features["angles"]), tuple(features["scale"])),
        tuple(data["policy"]["hidden"]),
        data["policy"]["action_size"],
        data["policy"].get("activation", PolicySpec.activation),
    )
    names = {key: tuple(data[key]) for key in ("state_names", "action_names")}
    fields: dict[str, Any] = {**data, **names, "policy": policy}
    return PolicyMetadata(**fields)


VERSION_DIGITS = 64
_VERSION = re.compile(f"[0-9a-f]{{{VERSION_DIGITS}}}")


def is_version(name: str) -> bool:
    """Return whether `name` can be a version of a policy; anything else may be a path, say."""
    return _VERSION.fullmatch(name) is not None


def version_of(parameters: Any, metadata: PolicyMetadata) -> str:
    """Return the digest [64 hexadecimal digits] of the canonical parameter bytes and the metadata."""
    digest = hashlib.sha256(json.dumps(metadata.to_json(), sort_keys=True).encode())
    leaves, _ = jax.tree.flatten_with_path(parameters)
    for path, leaf in sorted((jax.tree_util.keystr(path), np.asarray(leaf)) for path, leaf in leaves):
        little_endian = leaf.astype(leaf.dtype.newbyteorder("<"))
        digest.update(f"{path}:{leaf.dtype.name}:{leaf.shape}".encode())
        digest.update(little_endian.tobytes())
    return digest.hexdigest()
