"""`hds-trainer policies` and `promote`."""

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from protos.hds import v1
from protos.transport.access import Access
from protos.words import score_in_words
from trainer.client import LONG_CALL_S, CallFailed, TrainerClient
from trainer.commands.address import ADDRESS


@dataclass(frozen=True)
class Policies:
    """List the published policies, oldest first.

    Example: hds-trainer policies
    """

    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: Access = field(default_factory=Access)

    def run(self) -> None:
        """Print a line for each."""
        for policy in TrainerClient(self.trainer, self.access).policies():
            labels = ",".join(policy.labels) or "-"
            model = policy.metrics.get(
                "model_success", policy.metrics.get("simulation_success", float("nan"))
            )
            print(
                f"{policy.version[:12]}  {policy.task}  real data {policy.real_seconds:6.1f} s  "
                f"success in its model {model:.2f}  on the plant: {score_in_words(policy.plant)}  "
                f"labels {labels}  "
                f"parent {policy.parent[:12] or '-'}"
            )


@dataclass(frozen=True)
class Promote:
    """Point a label to a policy; controllers that follow it swap the policy in.

    Example: hds-trainer promote 3f2a --label stable
    """

    version: Annotated[str, tyro.conf.Positional]
    """The version, or its first digits."""
    label: str = "stable"
    """The label to move."""
    force: bool = False
    """Move it even if its present policy did significantly better on the plant."""
    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: Access = field(default_factory=Access)

    def run(self) -> None:
        """Move the label, and print where it pointed."""
        client = TrainerClient(self.trainer, self.access)
        matching = [p.version for p in client.policies() if p.version.startswith(self.version)]
        if len(matching) != 1:
            found = "no policy begins" if not matching else f"{len(matching)} policies begin"
            raise CallFailed(f"{found} with {self.version!r}; see 'hds-trainer policies'")
        request = v1.SetLabelRequest(label=self.label, version=matching[0], force=self.force)
        previous = client.call(client.registry.SetLabel, request, timeout=LONG_CALL_S)
        assert isinstance(previous, v1.SetLabelResponse)
        print(f"{self.label}: {previous.previous_version[:12] or 'nothing'} -> {matching[0][:12]}")
