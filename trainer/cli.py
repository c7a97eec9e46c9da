"""`hds-trainer`: run the trainer, and ask a running one."""

import os
import sys
from collections.abc import Sequence

import tyro

from protos.operation.command_line import print_version_if_asked, run_main
from protos.operation.text import printable_lines
from protos.security.commands import Certs, Token
from trainer.client import CallFailed
from trainer.commands.audit import Audit
from trainer.commands.backup import Backup, Restore
from trainer.commands.dynamics import FitDynamics, ScoreDynamics
from trainer.commands.experience import Experience, Forget, Tag
from trainer.commands.gating import GateRefused
from trainer.commands.jobs import Cancel, Jobs
from trainer.commands.policies import Policies, Promote, Prune
from trainer.commands.serve import Serve
from trainer.commands.training import Refit, Train
from trainer.commands.transfer import Export, Import

COMMANDS = {
    "serve": Serve,
    "train": Train,
    "refit": Refit,
    "fit-dynamics": FitDynamics,
    "score-dynamics": ScoreDynamics,
    "experience": Experience,
    "import": Import,
    "export": Export,
    "tag": Tag,
    "forget": Forget,
    "backup": Backup,
    "restore": Restore,
    "policies": Policies,
    "promote": Promote,
    "prune": Prune,
    "audit": Audit,
    "jobs": Jobs,
    "cancel": Cancel,
    "certs": Certs,
    "token": Token,
}


def outcome(words: Sequence[str] | None = None) -> int:
    """Carry out what the command line, or `words` in its place, says; return the exit status."""
    if print_version_if_asked("hds-trainer", words):
        return 0
    command = tyro.extras.subcommand_cli_from_dict(
        COMMANDS, prog="hds-trainer", description="Run the trainer, and ask a running one.", args=words
    )
    try:
        command.run()
    except GateRefused as error:
        print(f"hds-trainer: {printable_lines(str(error))}", file=sys.stderr)
        return 3
    except (CallFailed, OSError, ValueError) as error:
        print(f"hds-trainer: {printable_lines(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def main() -> None:
    """Entry point of `hds-trainer`."""
    status = run_main(outcome)
    sys.stderr.flush()
    os._exit(status)  # a query or a compilation under way in a thread must not delay the end
