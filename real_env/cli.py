"""`hds-real-env`: drive a plant with the served policy, and record what it does."""

import sys
from dataclasses import dataclass

import tyro

from protos.operation.command_line import print_version_if_asked, run_main
from real_env.check import Check, check
from real_env.options import Run
from real_env.plants import DESCRIPTIONS
from real_env.run import run
from real_env.shutdown import run_with_shutdown
from real_env.spool_command import SpoolCommand, spool


@dataclass(frozen=True)
class Plants:
    """List the plants that --plant knows."""


def _outcome() -> int:
    if print_version_if_asked("hds-real-env"):
        return 0
    command = tyro.extras.subcommand_cli_from_dict(
        {"run": Run, "check": Check, "plants": Plants, "spool": SpoolCommand},
        prog="hds-real-env",
        description="Drive a plant with the served policy, and record what it does.",
    )
    if isinstance(command, Plants):
        print("\n".join(f"{name:26} {words}" for name, words in DESCRIPTIONS.items()))
        return 0
    if isinstance(command, SpoolCommand):
        return spool(command)
    if isinstance(command, Check):
        return run_with_shutdown(lambda shutdown: check(command, shutdown))
    return run_with_shutdown(lambda shutdown: run(command, shutdown))


def main() -> None:
    """Entry point of `hds-real-env`."""
    sys.exit(run_main(_outcome))
