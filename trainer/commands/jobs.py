"""`hds-trainer jobs` and `cancel`."""

import csv
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

import tyro

from protos.hds import v1
from protos.operation.text import printable
from protos.security.client_security import ClientSecurity
from trainer.client import TrainerClient
from trainer.commands.default_address import ADDRESS
from trainer.commands.gating import job_lines, labelled
from trainer.report.lines import row


@dataclass(frozen=True)
class Jobs:
    """List the jobs, oldest first; or show all that is known of one.

    Example: hds-trainer jobs 3
    """

    job: Annotated[str, tyro.conf.Positional] = ""
    """A job's id, to show its figures again."""
    curves: bool = False
    """Print the figures of every epoch of that job as CSV; follows it to its end."""
    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: ClientSecurity = field(default_factory=ClientSecurity)

    def run(self) -> None:
        """Print a line for each, or all of one."""
        if self.curves and not self.job:
            raise ValueError("--curves prints the epochs of one job; name it: 'hds-trainer jobs ID --curves'")
        client = TrainerClient(self.trainer, self.access)
        if self.curves:
            _print_curves(client.epochs(self.job))
            return
        if self.job:
            _show(client.job(self.job))
            return
        for job in client.jobs():
            print(_line(job))


def _print_curves(epochs: Iterable[v1.Epoch]) -> None:
    """Print a row for each epoch, with a column for each figure; a cell without a figure is empty."""
    rows = list(epochs)
    names = sorted({name for epoch in rows for name in epoch.scalars})
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("epoch", "unix_s", *names))
    for epoch in rows:
        cells = (f"{epoch.scalars[name]:.9g}" if name in epoch.scalars else "" for name in names)
        writer.writerow((epoch.number, f"{epoch.at_ns * 1e-9:.3f}", *cells))


@dataclass(frozen=True)
class Cancel:
    """End a job that is queued or runs.

    Example: hds-trainer cancel 3
    """

    job: Annotated[str, tyro.conf.Positional]
    """The job's id, as 'hds-trainer jobs' lists it."""
    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: ClientSecurity = field(default_factory=ClientSecurity)

    def run(self) -> None:
        """End it, and print its state."""
        client = TrainerClient(self.trainer, self.access)
        response = client.call(client.training.CancelJob, v1.CancelJobRequest(id=self.job))
        assert isinstance(response, v1.CancelJobResponse)
        print(f"job {self.job}: {v1.JobState.Name(response.job.state).removeprefix('JOB_STATE_').lower()}")


def _line(job: v1.Job) -> str:
    kind = v1.JobKind.Name(job.kind).removeprefix("JOB_KIND_").lower()
    state = v1.JobState.Name(job.state).removeprefix("JOB_STATE_").lower()
    refused = "" if labelled(job) else f", without label {job.options.label!r}: {'; '.join(job.gate.reasons)}"
    what = (job.error or job.phase) + refused
    return row((job.id, kind, job.options.task, state, f"{job.progress:4.0%}", what))


def _show(job: v1.Job) -> None:
    print(_line(job))
    if job.dynamics_model:
        print(f"dynamics model {job.dynamics_model}, {job.learned_fraction:.0%} of the trajectories")
    print("\n".join(map(printable, job_lines(job))))
