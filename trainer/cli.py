"""`hds-trainer`: run the trainer, and ask a running one."""

import asyncio
import logging
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from protos.hds import v1
from protos.transport.access import Access
from protos.transport.commands import Certs, Token
from protos.transport.serving import ServerSecurity
from trainer import compilation_cache
from trainer.client import CallFailed, TrainerClient

ADDRESS = "127.0.0.1:50051"


@dataclass(frozen=True)
class Serve:
    """Run the trainer: store transitions, train and refit policies, publish them.

    Example: hds-trainer serve --state-dir hds-state/trainer
    """

    host: str = "127.0.0.1"
    """Address to listen on; loopback unless you say otherwise."""
    port: int = 50051
    """Port to listen on; 0 takes a free one, which is printed."""
    state_dir: Path = Path("hds-state/trainer")
    """Where the database and the checkpoints are kept."""
    database: str = ""
    """SQLAlchemy URL of another database; empty is SQLite in the state directory."""
    float64: bool = False
    """Learn in double precision; published policies are single precision either way."""
    security: ServerSecurity = field(default_factory=ServerSecurity)


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


@dataclass(frozen=True)
class Refit:
    """Fit the learned dynamics to all recorded data, train with them, and publish the policy.

    Example: hds-trainer refit --label stable
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
    """'friction', 'physics' (friction, motor gain, masses, delay), 'residual', 'friction-residual',
    'physics-residual', 'black-box', any of them with '-ensemble', or 'auto', which picks the one that
    predicts held-out data best; empty is the default of the trainer."""
    learned_fraction: float | None = None
    """Share of trajectories from the learned dynamics, in [0, 1]; the default is the trainer's."""
    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: Access = field(default_factory=Access)


@dataclass(frozen=True)
class Policies:
    """List the published policies, oldest first.

    Example: hds-trainer policies
    """

    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: Access = field(default_factory=Access)


@dataclass(frozen=True)
class Promote:
    """Point a label to a policy; controllers that follow it swap the policy in.

    Example: hds-trainer promote 3f2a --label stable
    """

    version: Annotated[str, tyro.conf.Positional]
    """The version, or its first digits."""
    label: str = "stable"
    """The label to move."""
    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: Access = field(default_factory=Access)


@dataclass(frozen=True)
class Jobs:
    """List the jobs, oldest first.

    Example: hds-trainer jobs
    """

    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: Access = field(default_factory=Access)


@dataclass(frozen=True)
class Cancel:
    """End a job that is queued or runs.

    Example: hds-trainer cancel 3
    """

    job: Annotated[str, tyro.conf.Positional]
    """The job's id, as 'hds-trainer jobs' lists it."""
    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: Access = field(default_factory=Access)


def _serve(command: Serve) -> None:
    compilation_cache.enable()
    if command.float64:
        os.environ["JAX_ENABLE_X64"] = "1"  # read by the worker process
    from trainer.server import serve

    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s", force=True
    )
    for noisy in ("absl", "jax"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    asyncio.run(serve(command.host, command.port, command.state_dir, command.database, command.security))


def _start(command: Train | Refit) -> None:
    from trainer.report.progress import job_bar

    options = v1.TrainingOptions(
        task=command.task, seed=command.seed, epochs=command.epochs, label=command.label
    )
    client = TrainerClient(command.trainer, command.access)
    if isinstance(command, Train):
        job = client.start_training(options)
    else:
        request = v1.StartRefitRequest(
            options=options,
            dynamics_model=command.dynamics_model,
            learned_fraction=command.learned_fraction,
        )
        job = client.start_refit(request)
    try:
        with job_bar(f"job {job.id}") as on_change:
            job = client.follow(job.id, on_change)
    except KeyboardInterrupt:
        print(f"job {job.id} goes on; 'hds-trainer cancel {job.id}' ends it", file=sys.stderr)
        raise
    print(f"policy {job.policy_version} has label {job.options.label!r}")
    for name in sorted(job.metrics):
        print(f"  {name}: {job.metrics[name]:.4g}")


def _policies(command: Policies) -> None:
    for policy in TrainerClient(command.trainer, command.access).policies():
        labels = ",".join(policy.labels) or "-"
        success = policy.metrics.get("simulation_success", float("nan"))
        print(
            f"{policy.version[:12]}  {policy.task}  real data {policy.real_seconds:6.1f} s  "
            f"simulation success {success:.2f}  labels {labels}  parent {policy.parent[:12] or '-'}"
        )


def _promote(command: Promote) -> None:
    client = TrainerClient(command.trainer, command.access)
    matching = [p.version for p in client.policies() if p.version.startswith(command.version)]
    if len(matching) != 1:
        found = "no policy begins" if not matching else f"{len(matching)} policies begin"
        raise CallFailed(f"{found} with {command.version!r}; see 'hds-trainer policies'")
    request = v1.SetLabelRequest(label=command.label, version=matching[0])
    previous = client.call(client.registry.SetLabel, request)
    assert isinstance(previous, v1.SetLabelResponse)
    print(f"{command.label}: {previous.previous_version[:12] or 'nothing'} -> {matching[0][:12]}")


def _jobs(command: Jobs) -> None:
    client = TrainerClient(command.trainer, command.access)
    response = client.call(client.training.ListJobs, v1.ListJobsRequest())
    assert isinstance(response, v1.ListJobsResponse)
    for job in response.jobs:
        kind = v1.JobKind.Name(job.kind).removeprefix("JOB_KIND_").lower()
        state = v1.JobState.Name(job.state).removeprefix("JOB_STATE_").lower()
        print(f"{job.id}  {kind}  {job.options.task}  {state}  {job.progress:4.0%}  {job.error or job.phase}")


def _cancel(command: Cancel) -> None:
    client = TrainerClient(command.trainer, command.access)
    response = client.call(client.training.CancelJob, v1.CancelJobRequest(id=command.job))
    assert isinstance(response, v1.CancelJobResponse)
    print(f"job {command.job}: {v1.JobState.Name(response.job.state).removeprefix('JOB_STATE_').lower()}")


COMMANDS = {
    "serve": (Serve, _serve),
    "train": (Train, _start),
    "refit": (Refit, _start),
    "policies": (Policies, _policies),
    "promote": (Promote, _promote),
    "jobs": (Jobs, _jobs),
    "cancel": (Cancel, _cancel),
    "certs": (Certs, Certs.run),
    "token": (Token, Token.run),
}


def main() -> None:
    """Entry point of `hds-trainer`."""
    command = tyro.extras.subcommand_cli_from_dict(
        {name: kind for name, (kind, _) in COMMANDS.items()},
        prog="hds-trainer",
        description="Run the trainer, and ask a running one.",
    )
    carry_out = next(run for kind, run in COMMANDS.values() if isinstance(command, kind))
    status = 0
    try:
        carry_out(command)
    except (CallFailed, OSError, ValueError) as error:
        print(f"hds-trainer: {error}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        status = 130
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # a query or a compilation under way in a thread must not delay the end
