"""The controller's process: one gRPC server, one follower of a label."""

import asyncio
import contextlib
import signal
from pathlib import Path

import grpc

from controller.cache import PolicyCache
from controller.follower import LabelFollower
from controller.service import PolicyService
from controller.slot import PolicySlot
from protos.hds import v1

GRACE_S = 0.5
SERVER_OPTIONS = (
    ("grpc.so_reuseport", 0),  # a second server on the port is an error, not a rival
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),  # clients keep idle streams alive
)


async def serve(host: str, port: int, trainer: str, label: str, state_dir: Path) -> None:
    """Serve until SIGINT or SIGTERM; print the address once the port is bound.

    Raises:
        OSError: the port is taken, or the state directory cannot be written.
    """
    slot = PolicySlot()
    follower = LabelFollower(trainer, label, PolicyCache(state_dir), slot)
    server = grpc.aio.server(options=SERVER_OPTIONS)
    v1.add_PolicyServiceServicer_to_server(PolicyService(slot, label), server)
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise OSError(f"cannot listen on {host}:{port}: the port is in use or not allowed") from error
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.start()
    print(f"hds-controller listens on {host}:{bound}", flush=True)
    following = asyncio.create_task(follower.run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((following, stopping), return_when=asyncio.FIRST_COMPLETED)
    await server.stop(GRACE_S)
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following
