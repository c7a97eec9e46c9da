"""`hds-controller`: serve the actions of the current policy."""

import asyncio
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Serve:
    """Follow a label of the trainer's registry and serve its policy.

    Example: hds-controller serve --trainer 127.0.0.1:50051 --label stable
    """

    host: str = "127.0.0.1"
    """Address to listen on; loopback unless you say otherwise."""
    port: int = 50052
    """Port to listen on; 0 takes a free one, which is printed."""
    trainer: str = "127.0.0.1:50051"
    """host:port of hds-trainer."""
    label: str = "stable"
    """The label whose policy is served."""
    state_dir: Path = Path("hds-state/controller")
    """Where downloaded policies are kept, among them the last good one."""


@dataclass(frozen=True)
class Describe:
    """Show which policy is served now.

    Example: hds-controller describe --controller 127.0.0.1:50052
    """

    controller: str = "127.0.0.1:50052"
    """host:port of hds-controller."""
    timeout: float = 5.0
    """Give up after this long [s]."""


def _describe(command: Describe) -> int:
    import grpc

    from protos.hds import v1

    try:
        with grpc.insecure_channel(command.controller) as channel:
            stub = v1.PolicyServiceStub(channel)
            answer = stub.Describe(v1.DescribeRequest(), timeout=command.timeout, wait_for_ready=True)
    except grpc.RpcError:
        print(f"hds-controller: nothing answers at {command.controller}; is it started?", file=sys.stderr)
        return 1
    print(answer, end="")
    return 0


def _serve(command: Serve) -> int:
    from controller.server import serve

    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s", force=True
    )
    for noisy in ("absl", "jax"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        asyncio.run(serve(command.host, command.port, command.trainer, command.label, command.state_dir))
    except OSError as error:
        print(f"hds-controller: {error}", file=sys.stderr)
        return 2
    return 0


def main() -> None:
    """Entry point of `hds-controller`."""
    command = tyro.extras.subcommand_cli_from_dict(
        {"serve": Serve, "describe": Describe},
        prog="hds-controller",
        description="Serve the actions of the current policy, in real time.",
    )
    status = _serve(command) if isinstance(command, Serve) else _describe(command)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # a compilation under way in a thread must not delay the end
