"""`hds-trainer train` and `refit`."""

import sys
from dataclasses import dataclass, field

from protos.hds import v1
from protos.transport.access import Access
from trainer.client import TrainerClient
from trainer.commands.address import ADDRESS
from trainer.commands.selecting import Data


@dataclass(frozen=True)
class Train:
    """Train a policy in the simulator alone, and publish it.

    Example: hds-trainer train --task cartpole_swingup --label stable
    """

    task: str = "cartpole_swingup"
    """What to learn."""
    seed: int = 0
    """Seed of all random numbers."""
    epochs: int = 0
    """Epochs of PODS; 0 is the default of the trainer."""
    label: str = "candidate"
    """Label that the new policy gets; controllers follow 'stable'."""
    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: Access = field(default_factory=Access)

    def run(self) -> None:
        """Queue it, and follow it to its end."""
        options = v1.TrainingOptions(task=self.task, seed=self.seed, epochs=self.epochs, label=self.label)
        client = TrainerClient(self.trainer, self.access)
        _follow(client, client.start_training(options))


@dataclass(frozen=True)
class Refit:
    """Fit the learned dynamics to recorded data, train with them, and publish the policy.

    Without a selection all data for the task is used. The same data, seed and options give the same dynamics.
    Example: hds-trainer refit --label stable --data.tags cold-bearing
    """

    task: str = "cartpole_swingup"
    """What to learn."""
    seed: int = 0
    """Seed of all random numbers."""
    epochs: int = 0
    """Epochs of PODS; 0 is the default of the trainer."""
    label: str = "candidate"
    """Label that the new policy gets; controllers follow 'stable'."""
    dynamics_model: str = ""
    """'friction', 'drive' (friction, motor gain, rotor), 'physics' (friction, motor gain, masses, delay),
    'residual', 'friction-residual', 'physics-residual', 'black-box', any of them with '-ensemble', or 'auto',
    which picks the one that predicts held-out data best; empty is the default of the trainer."""
    data: Data = field(default_factory=Data)
    data_of: str = ""
    """A version, or its first digits: use just the data that it was fitted to."""
    learned_fraction: float | None = None
    """Share of trajectories from the learned dynamics, in [0, 1]; the default is the trainer's."""
    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: Access = field(default_factory=Access)

    def run(self) -> None:
        """Queue it, and follow it to its end."""
        options = v1.TrainingOptions(task=self.task, seed=self.seed, epochs=self.epochs, label=self.label)
        request = v1.StartRefitRequest(
            options=options,
            dynamics_model=self.dynamics_model,
            learned_fraction=self.learned_fraction,
            data=self.data.selection(),
            data_of=self.data_of,
        )
        client = TrainerClient(self.trainer, self.access)
        job = client.start_refit(request)
        print(f"job {job.id} uses data of {len(job.data.watermarks)} sessions")
        _follow(client, job)


def _follow(client: TrainerClient, job: v1.Job) -> None:
    """Show a job until it ends, and print its figures."""
    from trainer.report.progress import job_bar

    try:
        with job_bar(f"job {job.id}") as on_change:
            job = client.follow(job.id, on_change)
    except KeyboardInterrupt:
        print(f"job {job.id} goes on; 'hds-trainer cancel {job.id}' ends it", file=sys.stderr)
        raise
    seconds = job.metrics.get("real_seconds")
    learned = "" if seconds is None else f", learned from {seconds:.2f} s of real data"
    print(f"policy {job.policy_version} has label {job.options.label!r}{learned}")
    for name in sorted(job.metrics):
        print(f"  {name}: {job.metrics[name]:.4g}")
