"""`hds-trainer jobs` and `cancel`."""

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from protos.hds import v1
from protos.transport.access import Access
from trainer.client import TrainerClient
from trainer.commands.address import ADDRESS


@dataclass(frozen=True)
class Jobs:
    """List the jobs, oldest first.

    Example: hds-trainer jobs
    """

    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: Access = field(default_factory=Access)

    def run(self) -> None:
        """Print a line for each."""
        client = TrainerClient(self.trainer, self.access)
        response = client.call(client.training.ListJobs, v1.ListJobsRequest())
        assert isinstance(response, v1.ListJobsResponse)
        for job in response.jobs:
            kind = v1.JobKind.Name(job.kind).removeprefix("JOB_KIND_").lower()
            state = v1.JobState.Name(job.state).removeprefix("JOB_STATE_").lower()
            words = (job.id, kind, job.options.task, state, f"{job.progress:4.0%}", job.error or job.phase)
            print("  ".join(words))


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

    def run(self) -> None:
        """End it, and print its state."""
        client = TrainerClient(self.trainer, self.access)
        response = client.call(client.training.CancelJob, v1.CancelJobRequest(id=self.job))
        assert isinstance(response, v1.CancelJobResponse)
        print(f"job {self.job}: {v1.JobState.Name(response.job.state).removeprefix('JOB_STATE_').lower()}")
