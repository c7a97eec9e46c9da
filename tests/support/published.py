"""Untrained but complete policies, as a job would publish them."""

import asyncio
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from protos.hds import v1
from trainer.checkpoint.export import export
from trainer.checkpoint.metadata import PolicyMetadata
from trainer.jobs.request import Published, Verdict
from trainer.policy.network import PolicySpec
from trainer.server import Trainer
from trainer.tasks import load_task

TASK = load_task("cartpole_swingup")
SPEC = PolicySpec(TASK.features, (64, 64), 1)


def parameters(seed: int, spec: PolicySpec = SPEC) -> Any:
    """Return the network of a policy whose actions are not all near zero."""
    return jax.tree.map(lambda leaf: np.asarray(leaf) * 3.0, spec.init(jax.random.key(seed)))


def metadata(
    state_names: tuple[str, ...] = TASK.state_names,
    spec: PolicySpec = SPEC,
    task: str = TASK.name,
    control_dt: float = TASK.control_dt,
) -> PolicyMetadata:
    """Return metadata as of a policy trained in the simulator."""
    return PolicyMetadata(
        task=task,
        state_names=state_names,
        action_names=TASK.action_names,
        control_dt_s=control_dt,
        policy=spec,
        parent="",
        real_seconds=0.0,
        watermarks={},
        metrics={"simulation_success": 0.5},
        configuration={"seed": 0},
        episode_steps=TASK.episode_steps,
    )


def export_policy(root: Path, tree: Any, described: PolicyMetadata) -> str:
    """Write a checkpoint below `root` and return its version."""
    return export(root, tree, described, {"p": jnp.zeros(3)}, {"value": tree})


def publish_policy(
    state_dir: Path,
    seed: int = 0,
    label: str = "stable",
    tree: Any = None,
    state_names: tuple[str, ...] = TASK.state_names,
    spec: PolicySpec = SPEC,
    task: str = TASK.name,
    control_dt: float = TASK.control_dt,
) -> str:
    """Export a policy into the state of a trainer that does not run, and label it."""

    async def publish() -> str:
        trainer = Trainer(state_dir, "", open_to_all=True)
        try:
            chosen = parameters(seed, spec) if tree is None else tree
            version = export_policy(
                trainer.checkpoints, chosen, metadata(state_names, spec, task, control_dt)
            )
            job = v1.Job(options=v1.TrainingOptions(task=task, label=label))
            await trainer.publish(
                job, Published(version, "", 0.0, {"simulation_success": 0.5}, Verdict(True))
            )
        finally:
            trainer.close()
        return version

    return asyncio.run(publish())
