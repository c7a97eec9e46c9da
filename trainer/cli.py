"""`hds-trainer`: run the trainer, and ask a running one."""

import os
import sys

import tyro

from protos.transport.commands import Certs, Token
from trainer.client import CallFailed
from trainer.commands.jobs import Cancel, Jobs
from trainer.commands.policies import Policies, Promote
from trainer.commands.serve import Serve
from trainer.commands.training import Refit, Train

COMMANDS = {
    "serve": Serve,
    "train": Train,
    "refit": Refit,
    "policies": Policies,
    "promote": Promote,
    "jobs": Jobs,
    "cancel": Cancel,
    "certs": Certs,
    "token": Token,
}


def main() -> None:
    """Entry point of `hds-trainer`."""
    command = tyro.extras.subcommand_cli_from_dict(
        COMMANDS, prog="hds-trainer", description="Run the trainer, and ask a running one."
    )
    status = 0
    try:
        command.run()
    except (CallFailed, OSError, ValueError) as error:
        print(f"hds-trainer: {error}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        status = 130
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # a query or a compilation under way in a thread must not delay the end
