"""The programs of HDS as processes, for tests."""

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import grpc

from trainer.cli import outcome
from trainer.processes import Program

START_S = 60.0
STILL = f"{Path(__file__).parents[1] / 'plants' / 'still.py'}:Still"
"""A plant for --plant that costs nothing."""


class Programs:
    """Programs below one directory; `close` ends them all."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._started: list[Program] = []

    def start(self, module: str, *arguments: str) -> Program:
        """Start `python -m module arguments`."""
        log = self.root / "logs" / f"{module}-{len(self._started)}.log"
        program = Program(module, list(arguments), log, dict(os.environ))
        self._started.append(program)
        return program

    def trainer(self, port: str = "0", *words: str) -> tuple[Program, str]:
        """Start a trainer with further words on its command line; return it and its address."""
        program = self._trainer(port, *words)
        return program, program.address(START_S)

    def controller(self, trainer: str, *words: str, **options: object) -> tuple[Program, str]:
        """Start a controller with further words or options on its command line; return it and its address."""
        program = self._controller(trainer, *words, **options)
        return program, program.address(START_S)

    def said(self, module: str) -> str:
        """Return what programs of `module` wrote to standard error so far."""
        return "".join(path.read_text() for path in sorted((self.root / "logs").glob(f"{module}-*.log")))

    def both(self, **options: object) -> tuple[str, Program, str]:
        """Start a trainer and, at the same time, a controller that follows it, with further options.

        Return the trainer's address, the controller and its address.
        """
        port = str(free_port())
        trainer = self._trainer(port)
        controller = self._controller(f"127.0.0.1:{port}", **options)
        return trainer.address(START_S), controller, controller.address(START_S)

    def close(self) -> None:
        """End everything."""
        for program in reversed(self._started):
            program.ask_to_end()
        for program in reversed(self._started):
            program.end()

    def _trainer(self, port: str, *words: str) -> Program:
        given = ["--port", port, "--state-dir", str(self.root / "trainer"), *words]
        return self.start("trainer", "serve", *given)

    def _controller(self, trainer: str, *words: str, **options: object) -> Program:
        given = {"port": 0, "trainer": trainer, "state_dir": self.root / "controller", **options}
        pairs = [(f"--{name.replace('_', '-')}", str(value)) for name, value in given.items()]
        return self.start("controller", "serve", *(word for pair in pairs for word in pair), *words)


def run(module: str, *arguments: str, timeout: float = 120.0) -> subprocess.CompletedProcess:
    """Run a program to its end."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def driven(*arguments: str) -> subprocess.CompletedProcess:
    """Run `hds-real-env` on a plant of the wall clock.

    A computer that stands still for 0.1 s makes a plant's watchdog trip, and the rig stops, as it should.
    Then the run is repeated, with the stop reset.
    """
    done = run("real_env", *arguments)
    for _ in range(2):
        if done.returncode != 1 or "stopped, since" not in done.stderr:
            break
        done = run("real_env", *arguments, "--reset-stop")
    return done


def asked(*words: str) -> subprocess.CompletedProcess[str]:
    """Carry out a command of `hds-trainer` in this process, which has long imported what it needs."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = outcome(words)
        except SystemExit as ended:  # of --help, and of options that do not exist
            status = ended.code if isinstance(ended.code, int) else 0
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())


def kill(program: Program) -> None:
    """End a program as a power cut would."""
    program.process.send_signal(signal.SIGKILL)
    program.process.wait()


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ready(address: str) -> grpc.Channel:
    """Return a channel to a server that answers."""
    channel = grpc.insecure_channel(address)
    grpc.channel_ready_future(channel).result(timeout=START_S)
    return channel
