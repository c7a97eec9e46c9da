"""`hds-trainer policies` and `promote`."""

import sys
from dataclasses import dataclass, field
from typing import Annotated

import tyro

from protos.format_score import format_score
from protos.hds import v1
from protos.operation.text import printable, printable_lines
from protos.security.client_security import ClientSecurity
from trainer.client import LONG_CALL_S, TrainerClient
from trainer.commands.default_address import ADDRESS
from trainer.report.lines import row


@dataclass(frozen=True)
class Policies:
    """List the published policies, oldest first, or show how one was trained.

    Example: hds-trainer policies
    Example: hds-trainer policies stable --config > stable.toml
    """

    policy: Annotated[str, tyro.conf.Positional] = ""
    """Only this policy: its version, the first digits of that, or a label that points to it."""
    config: bool = False
    """Print the configuration of that policy as TOML, for --config of 'train' and 'refit'."""
    task: str = ""
    """The task whose policy is meant, where several have the label."""
    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: ClientSecurity = field(default_factory=ClientSecurity)

    def run(self) -> None:
        """Print a line for each policy, or a configuration."""
        if self.config and not self.policy:
            raise ValueError(
                "--config shows how one policy was trained; name it: 'hds-trainer policies NAME'"
            )
        client = TrainerClient(self.trainer, self.access)
        if self.config:
            print(_training_of(client.configuration_of(self.policy, self.task)), end="")
            return
        only = client.policy_named(self.policy, self.task).version if self.policy else ""
        for policy in client.policies():
            if only not in {"", policy.version}:
                continue
            labels = ",".join(policy.labels) or "-"
            pruned = "checkpoint pruned" if policy.pruned else ""
            model = policy.metrics.get(
                "model_success", policy.metrics.get("simulation_success", float("nan"))
            )
            parts = (
                policy.version[:12],
                policy.task,
                f"real data {policy.real_seconds:6.1f} s",
                f"success in its model {model:.2f}",
                f"on the plant: {format_score(policy.plant)}",
                f"labels {labels}",
                f"parent {policy.parent[:12] or '-'}",
                pruned,
            )
            print(row(parts))


def _training_of(found: v1.GetConfigurationResponse) -> str:
    """Return the configuration as TOML, after the command that repeats the training, as a comment.

    Raises:
        ValueError: the policy's checkpoint has none.
    """
    if not found.config:
        raise ValueError(
            f"policy {found.version[:12]} was trained by an earlier version, which kept no configuration"
        )
    options = f"--task {found.task} --seed {found.seed} --algorithm {found.algorithm} --config FILE"
    command = f"train {options}"
    if found.dynamics_model != "none":
        command = f"refit {options} --dynamics-model {found.dynamics_model} --data-of {found.version[:12]}"
        command += f" --learned-fraction {found.learned_fraction:g}"
    notes = [f"# policy {found.version}, trained by HDS {found.code} with", f"# hds-trainer {command}"]
    if found.parent:
        notes.append(f"# from policy {found.parent}")
    return "\n".join(map(printable, notes)) + "\n" + printable_lines(found.config)


@dataclass(frozen=True)
class Promote:
    """Point a label to a policy; controllers that follow it swap the policy in.

    Example: hds-trainer promote 3f2a --label stable
    """

    policy: Annotated[str, tyro.conf.Positional]
    """The policy: its version, the first digits of that, or a label that points to it."""
    task: str = ""
    """The task whose policy is meant, where several have the label."""
    label: str = "stable"
    """The label to move."""
    force: bool = False
    """Move it even if its present policy did significantly better on the plant."""
    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: ClientSecurity = field(default_factory=ClientSecurity)

    def run(self) -> None:
        """Move the label, and print where it pointed."""
        client = TrainerClient(self.trainer, self.access)
        version = client.policy_named(self.policy, self.task).version
        request = v1.SetLabelRequest(label=self.label, version=version, force=self.force)
        previous = client.call(client.registry.SetLabel, request, timeout=LONG_CALL_S)
        assert isinstance(previous, v1.SetLabelResponse)
        print(f"{self.label}: {previous.previous_version[:12] or 'nothing'} -> {version[:12]}")


@dataclass(frozen=True)
class Prune:
    """Delete the checkpoints of old policies. What each did, in its model and on the plant, stays recorded.

    Kept are those with a label, the newest of each task, those that a job uses, and the parents of all these.
    Example: hds-trainer prune --keep 20 --yes
    """

    keep: int = 20
    """How many of each task are kept, the newest."""
    task: str = ""
    """Only policies of this task."""
    yes: bool = False
    """Delete; without it, only what would be deleted is shown."""
    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: ClientSecurity = field(default_factory=ClientSecurity)

    def run(self) -> None:
        """Delete, or say what would be."""
        if self.keep < 0:
            raise ValueError(f"--keep must be at least 0; got {self.keep}")
        client = TrainerClient(self.trainer, self.access)
        request = v1.PrunePoliciesRequest(keep=self.keep, task=self.task, delete=self.yes)
        pruned = client.call(client.registry.PrunePolicies, request, timeout=LONG_CALL_S)
        assert isinstance(pruned, v1.PrunePoliciesResponse)
        for version in pruned.versions:
            print(version[:12])
        size = f"{len(pruned.versions)} checkpoints of {pruned.bytes / 1e6:.1f} MB"
        if self.yes:
            print(f"deleted {size}; their records stay")
        else:
            print(f"nothing was deleted; --yes deletes {size}", file=sys.stderr)
