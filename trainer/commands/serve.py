"""`hds-trainer serve`."""

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path

from protos.operation import log
from protos.security.server_security import ServerSecurity
from protos.state import state_dir
from trainer import compilation_cache


@dataclass(frozen=True)
class Serve:
    """Run the trainer: store transitions, train and refit policies, publish them.

    Example: hds-trainer serve --state-dir hds-state/trainer
    """

    host: str = "127.0.0.1"
    """Address to listen on; loopback unless you say otherwise."""
    port: int = 50051
    """Port to listen on; 0 takes a free one, which is printed."""
    state_dir: Path = field(default_factory=lambda: state_dir("trainer"))
    """Where the database and the checkpoints are kept."""
    database: str = ""
    """SQLAlchemy URL of another database; empty is SQLite in the state directory."""
    float64: bool = False
    """Learn in double precision; published policies are single precision either way."""
    worker_patience: float = 120.0
    """A job whose process says nothing for this long [s] fails, and the process is ended; it says every two
    seconds that it goes on."""
    log_format: log.Format = "text"
    """How the log on standard error is written."""
    security: ServerSecurity = field(default_factory=ServerSecurity)

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM."""
        compilation_cache.enable()
        if self.float64:
            os.environ["JAX_ENABLE_X64"] = "1"  # read by the worker process
        from trainer.server import serve

        log.configure(self.log_format)
        if not 5.0 <= self.worker_patience <= 86_400.0:
            raise ValueError(f"--worker-patience [s] must be in [5, 86400]; got {self.worker_patience:g}")
        patience = self.worker_patience
        asyncio.run(serve(self.host, self.port, self.state_dir, self.database, self.security, patience))
