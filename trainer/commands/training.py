"""`hds-trainer train` and `refit`."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from protos.hds import v1
from protos.operation.text import printable
from protos.security.client_security import ClientSecurity
from trainer.client import TrainerClient
from trainer.commands.default_address import ADDRESS
from trainer.commands.gating import check_labelled, job_lines, with_gate
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
    """Epochs; 0 means those of the configuration, of the task, or the default."""
    algorithm: str = "hds"
    """'hds', 'pods' (as in the paper), or FILE.py:NAME beneath the trainer's directory."""
    config: Path | None = None
    """A TOML file with hyper-parameters; the manual lists them. They override those of the task's file."""
    label: str = "candidate"
    """Label that the new policy gets if it passes the gate; controllers follow 'stable'."""
    gate: str = ""
    """Least success in its model, in [0, 1], for the label; 'off' gives the label whatever the gate says. The
    default is the task's own, or 0.9. Where the gate refuses, the exit status is 3."""
    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: ClientSecurity = field(default_factory=ClientSecurity)

    def run(self) -> None:
        """Queue it, and follow it to its end."""
        options = with_gate(_options(self), self.gate)
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
    """Epochs; 0 means those of the configuration, of the task, or the default."""
    algorithm: str = "hds"
    """'hds', 'pods' (as in the paper), or FILE.py:NAME beneath the trainer's directory."""
    config: Path | None = None
    """A TOML file with hyper-parameters; the manual lists them. They override those of the task's file."""
    label: str = "candidate"
    """Label that the new policy gets if it passes the gate; controllers follow 'stable'."""
    gate: str = ""
    """Least success in its model, in [0, 1], for the label; 'off' gives the label whatever the gate says. The
    default is the task's own, or 0.9. Where the gate refuses, the exit status is 3."""
    dynamics_model: str = "auto"
    """'auto' picks the physics that predicts held-out data best, with a network on top where that predicts
    badly; or 'friction', 'drive' (friction, motor gain, rotor), 'physics' (friction, motor gain, masses,
    delay), 'residual', 'friction-residual', 'physics-residual', 'black-box', FILE.py:NAME beneath the
    trainer's directory, any of them with '-ensemble'."""
    mix: bool = False
    """Learn from several plants as if they were one."""
    data: Data = field(default_factory=Data)
    data_of: str = ""
    """A version, its first digits, or a label: use just the data that this policy was fitted to."""
    learned_fraction: float | None = None
    """Share of trajectories from the learned dynamics, in [0, 1]; the default is the trainer's."""
    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: ClientSecurity = field(default_factory=ClientSecurity)

    def run(self) -> None:
        """Queue it, and follow it to its end."""
        options = with_gate(_options(self), self.gate)
        request = v1.StartRefitRequest(
            options=options,
            dynamics_model=self.dynamics_model,
            learned_fraction=self.learned_fraction,
            data=self.data.selection(),
            data_of=self.data_of,
            mix=self.mix,
        )
        client = TrainerClient(self.trainer, self.access)
        job = client.start_refit(request)
        print(f"job {job.id}: {job.notes[0]}")
        _follow(client, job)


def _options(command: Train | Refit) -> v1.TrainingOptions:
    """Return the options that both commands have.

    Raises:
        OSError: the configuration cannot be read.
    """
    return v1.TrainingOptions(
        task=command.task,
        seed=command.seed,
        epochs=command.epochs,
        label=command.label,
        algorithm=command.algorithm,
        config=command.config.read_text("utf-8") if command.config else "",
    )


def _follow(client: TrainerClient, job: v1.Job) -> None:
    """Show a job until it ends, and print its figures.

    Raises:
        GateRefused: its policy did not get its label.
    """
    from trainer.report.progress import job_bar

    try:
        with job_bar(f"job {job.id}") as on_change:
            job = client.follow(job.id, on_change)
    except KeyboardInterrupt:
        print(f"job {job.id} goes on; 'hds-trainer cancel {job.id}' ends it", file=sys.stderr)
        raise
    print("\n".join(map(printable, job_lines(job))))
    check_labelled(job)
