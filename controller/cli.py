"""`hds-controller`: serve the actions of the current policy."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Literal

import tyro

from protos.operation import log
from protos.operation.command_line import print_version_if_asked, run_main
from protos.operation.text import printable
from protos.security.client_security import ClientSecurity
from protos.security.commands import Certs, Token
from protos.security.server_security import CALLS, ServerSecurity
from protos.state import state_dir

ADDRESS = "127.0.0.1:50052"


@dataclass(frozen=True)
class Serve:
    """Follow a label of the trainer's registry and serve its policy.

    Example: hds-controller serve --trainer 127.0.0.1:50051 --label stable
    """

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 50052
    """Port to listen on; 0 takes a free one, which is printed."""
    trainer: str = "127.0.0.1:50051"
    """host:port of hds-trainer."""
    label: str = "stable"
    """The label whose policy is served."""
    task: str = ""
    """Task of the label; empty for the only task that has it."""
    state_dir: Path = field(default_factory=lambda: state_dir("controller"))
    """Directory of downloaded policies, including the last good one."""
    batch_delay: float = 0.001
    """Longest wait of an observation for a batch [s]; 0: one turn of the event loop. At low request rates
    observations are not batched, and nothing waits."""
    max_batch: int = 64
    """Largest batch, 1 to 64; 1 switches batching off."""
    max_streams: int = 256
    """Limit of open Control streams, 1 to 1000."""
    keep_warm: float = 0.002
    """While a stream is open, do a dry run this long after the last action [s], which keeps the CPU caches
    warm; 0 switches it off."""
    cpu: int | None = None
    """Pin the event loop and gRPC's threads to this core (Linux). Loading, compiling and slow policies use
    all cores. None: no pinning."""
    metrics_port: int | None = None
    """Serve metrics for Prometheus at http://127.0.0.1:PORT/metrics; 0 takes a free port, which is
    printed."""
    metrics_host: str = "127.0.0.1"
    """Serve metrics at this address; a public one requires mutual TLS."""
    reflection: bool = True
    """Enable gRPC reflection, for clients such as grpcurl."""
    grace: float = 0.5
    """After SIGTERM, answer open streams for this long [s]."""
    log_format: log.Format = "text"
    """Format of the log on standard error."""
    security: ServerSecurity = field(default_factory=ServerSecurity)
    access: ClientSecurity = field(default_factory=ClientSecurity)
    """TLS and authentication at the trainer."""


@dataclass(frozen=True)
class Describe:
    """Show the served policy.

    Example: hds-controller describe --controller 127.0.0.1:50052
    """

    controller: str = ADDRESS
    """host:port of hds-controller."""
    timeout: float = 5.0
    """Give up after this long [s]."""
    access: ClientSecurity = field(default_factory=ClientSecurity)


@dataclass(frozen=True)
class RollBack:
    """Serve the previous policy, at once.

    The version that was left is not served again until the label moves to another one.
    Example: hds-controller roll-back
    """

    expected: str = ""
    """Roll back only if this version, or prefix of a version, is current."""
    controller: str = ADDRESS
    """host:port of hds-controller."""
    timeout: float = 5.0
    """Give up after this long [s]."""
    access: ClientSecurity = field(default_factory=ClientSecurity)


@dataclass(frozen=True)
class SetShadow:
    """Compute a policy on live observations as a shadow; its actions are logged and never applied.

    Example: hds-controller shadow candidate; 'hds-controller describe' shows how far it differs
    """

    policy: Annotated[str, tyro.conf.Positional] = ""
    """A version, a prefix of one, or a label at the trainer; leave out to end the shadow."""
    controller: str = ADDRESS
    """host:port of hds-controller."""
    timeout: float = 60.0
    """Give up after this long [s]."""
    access: ClientSecurity = field(default_factory=ClientSecurity)


@dataclass(frozen=True)
class Bench:
    """Measure a running controller beside a bare echo service with the same message sizes.

    Round trips p50, p99, p999, worst and jitter (their standard deviation) in milliseconds, rate in actions
    per second; each the median over the rounds, and the ratio controller to echo.
    Example: hds-controller bench --streams 1 8 64
    """

    controller: str = ADDRESS
    """host:port of hds-controller."""
    streams: tuple[int, ...] = (1, 8, 64)
    """Numbers of concurrent streams, one measurement each."""
    pairs: int = 10
    """Rounds of controller and echo service; ratios are medians over them."""
    seconds: float = 2.0
    """Length of each round [s]."""
    echo: Literal["bare", "tuned"] = "bare"
    """Polling of the echo service: gRPC's default, or as the controller's."""
    json: bool = False
    """Print one JSON object per measurement instead of a table."""
    access: ClientSecurity = field(default_factory=ClientSecurity)


def _ask(command: Describe | RollBack | SetShadow) -> int:
    import grpc

    from protos.hds import v1

    try:
        with command.access.channel(command.controller) as channel:
            admin, wait = (
                v1.PolicyAdminServiceStub(channel),
                {"timeout": command.timeout, "wait_for_ready": True},
            )
            if isinstance(command, Describe):
                print(v1.PolicyServiceStub(channel).Describe(v1.DescribeRequest(), **wait), end="")
            elif isinstance(command, SetShadow):
                admin.SetShadow(v1.SetShadowRequest(version=command.policy), **wait)
            else:
                answer = admin.RollBack(v1.RollBackRequest(expected_version=command.expected), **wait)
                print(f"{answer.left_version[:12]} -> {answer.version[:12]}")
    except grpc.RpcError as error:
        if isinstance(error, grpc.Call) and error.code() not in {
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED,
        }:
            what = printable(error.details() or error.code().name.lower())
        else:
            what = f"nothing answers at {command.controller}; is it started?"
        print(f"hds-controller: {what}", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"hds-controller: {error}", file=sys.stderr)
        return 2
    return 0


def _bench(command: Bench) -> int:
    from controller.bench import compare, load_target
    from controller.loop import run

    async def measure() -> None:
        target = await load_target(command.controller, command.access)
        async for found in compare(
            target, command.streams, command.pairs, command.seconds, command.echo == "tuned"
        ):
            if command.json:
                print(json.dumps(found), flush=True)
                continue
            print(f"{found['load']}, streams: {found['streams']}")
            for name in ("controller", "echo", "ratio"):
                print(f"  {name:10} " + ", ".join(f"{key} {value:.3f}" for key, value in found[name].items()))
            sys.stdout.flush()

    try:
        run(measure())
    except (RuntimeError, OSError, ValueError) as error:
        print(f"hds-controller: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        import grpc

        if not isinstance(error, grpc.aio.AioRpcError):
            raise
        print(f"hds-controller: {error.code().name.lower()}: {error.details()}", file=sys.stderr)
        return 1
    return 0


def _check(command: Serve) -> None:
    bounds = {
        "--batch-delay [s]": (command.batch_delay, 0.0, 1.0),
        "--max-batch": (command.max_batch, 1, 64),
        "--max-streams": (command.max_streams, 1, CALLS // 2),  # the others are for everything else
        "--keep-warm [s]": (command.keep_warm, 0.0, 1.0),
        "--grace [s]": (command.grace, 0.0, 3600.0),
    }
    for name, (value, low, high) in bounds.items():
        if not low <= value <= high:
            raise ValueError(f"{name} must be in [{low:g}, {high:g}]; got {value:g}")


def _serve(command: Serve) -> int:
    from controller import cpu_affinity
    from controller.follower import AmbiguousLabel
    from controller.loop import run
    from controller.server import Settings, serve

    try:
        _check(command)
        if command.cpu is not None:
            cpu_affinity.check(command.cpu)
        log.configure(command.log_format)
        aside = {"log_format", "cpu"}
        given = {f.name: getattr(command, f.name) for f in fields(command) if f.name not in aside}
        run(serve(Settings(**given)), command.cpu)
    except (OSError, ValueError, AmbiguousLabel) as error:
        print(f"hds-controller: {error}", file=sys.stderr)
        return 2
    return 0


def _make(command: Certs | Token) -> int:
    try:
        command.run()
    except (OSError, ValueError) as error:
        print(f"hds-controller: {error}", file=sys.stderr)
        return 2
    return 0


COMMANDS = {
    "serve": Serve,
    "describe": Describe,
    "roll-back": RollBack,
    "shadow": SetShadow,
    "bench": Bench,
    "certs": Certs,
    "token": Token,
}
CARRY_OUT: dict[type, Callable[..., int]] = {
    Serve: _serve, Bench: _bench, Certs: _make, Token: _make, Describe: _ask, RollBack: _ask, SetShadow: _ask,
}  # fmt: skip


def _outcome() -> int:
    if print_version_if_asked("hds-controller"):
        return 0
    command = tyro.extras.subcommand_cli_from_dict(
        COMMANDS,
        prog="hds-controller",
        description="Serve the actions of the current policy, in real time.",
    )
    return next(run for kind, run in CARRY_OUT.items() if isinstance(command, kind))(command)


def main() -> None:
    """Entry point of `hds-controller`."""
    status = run_main(_outcome)
    sys.stderr.flush()
    os._exit(status)  # a compilation under way in a thread must not delay the end
