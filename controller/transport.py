"""How gRPC's servers read their sockets. gRPC takes it when it is imported, so nothing here imports it."""

import os

NAME, SETTING = "GRPC_EXPERIMENTS", "-event_engine_listener"
"""The thread that waits for messages reads the sockets itself.

By gRPC's default messages pass through one more thread, often on another core. A release of gRPC that does
not know the name any more says so in the log, and does as it would without.
"""


def choose() -> None:
    """Let servers of this process read their sockets so, unless the environment says something else."""
    os.environ.setdefault(NAME, SETTING)
