"""How gRPC servers poll their sockets. Choose before gRPC is imported; nothing here imports it."""

import os

NAME, SETTING = "GRPC_EXPERIMENTS", "-event_engine_listener"
"""The thread that waits for messages reads the sockets itself.

By default, gRPC passes messages through one more thread, often on another core. A release of gRPC without
this experiment logs a warning and uses its default.
"""


def choose() -> None:
    """Set the experiment for this process, unless the environment sets it."""
    os.environ.setdefault(NAME, SETTING)
