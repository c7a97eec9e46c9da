"""`hds-trainer audit`."""

import datetime
import itertools
import json
from dataclasses import dataclass, field

from protos.hds import v1
from protos.security.client_security import ClientSecurity
from trainer.client import TrainerClient
from trainer.commands.default_address import ADDRESS
from trainer.report.lines import row


@dataclass(frozen=True)
class Audit:
    """List who changed what is learned from or served, newest first: labels, policies, imports, deletions.

    Example: hds-trainer audit --last 20
    """

    last: int = 50
    """How many to list; 0: all."""
    json: bool = False
    """Write one JSON object a line, for programs."""
    trainer: str = ADDRESS
    """host:port of hds-trainer."""
    access: ClientSecurity = field(default_factory=ClientSecurity)

    def run(self) -> None:
        """Print a line for each.

        Raises:
            ValueError: `last` is negative.
        """
        if self.last < 0:
            raise ValueError(f"--last must be at least 0; got {self.last}")
        entries = TrainerClient(self.trainer, self.access).audit()
        for entry in itertools.islice(entries, self.last or None):
            print(json.dumps(_plain(entry)) if self.json else row(_parts(entry)))


def _plain(entry: v1.AuditEntry) -> dict:
    plain = {name: getattr(entry, name) for name in ("at_ns", "action", "resource", "actor", "peer")}
    return plain | {"detail": json.loads(entry.detail)}


def _parts(entry: v1.AuditEntry) -> tuple[str, ...]:
    moment = datetime.datetime.fromtimestamp(entry.at_ns / 1e9).astimezone()
    detail = ", ".join(f"{name} {value}" for name, value in json.loads(entry.detail).items() if value)
    return (
        moment.isoformat(" ", "seconds"),
        f"{entry.action} {entry.resource}",
        f"by {entry.actor or 'whoever may connect'}" + (f" from {entry.peer}" if entry.peer else ""),
        detail,
    )
