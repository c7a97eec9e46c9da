"""`hds-demo`: the whole loop on one machine, as three processes that speak gRPC.

Train in the frictionless model, fail on the plant with friction, refit from what was recorded there,
retrain, swap the policy in, succeed. The demo only starts the programs and calls their services.
"""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import tyro
from rich.console import Console

from protos.hds import v1
from protos.operation.command_line import print_version_if_asked, run_main
from trainer import compilation_cache
from trainer.client import CallFailed, TrainerClient
from trainer.commands.gating import GateRefused, check_labelled, labelled, with_gate
from trainer.demo_story import Story, evaluated, show, tell
from trainer.processes import ProcessFailed, Program, ended_together
from trainer.report.progress import bar, job_bar

LABEL = "stable"
START_S = 120.0
SWAP_S = 60.0
SILENCE_S = 120.0


@dataclass(frozen=True)
class Demo:
    """Run the whole loop and show what it closes.

    Example: hds-demo --seed 0 --rounds 3 --out my-first-gap
    """

    seed: int = 0
    """Seed of the training, and of the plant's hidden constants and start states."""
    rounds: int = 3
    """Refits from real data; 0 only shows the gap."""
    seconds_per_round: float = 5.0
    """Real data recorded before each refit [s]."""
    evaluations: int = 32
    """Evaluation episodes per policy; their data is never learned from."""
    task: str = "cartpole_swingup"
    """What to learn."""
    plant: str = "brax-friction"
    """The plant, as 'hds-real-env plants' lists it."""
    epochs: int = 0
    """Epochs of every training; 0 is the default of the trainer, less only shows the mechanics."""
    dynamics_model: str = "auto"
    """As of 'hds-trainer refit --help'."""
    gate: str = ""
    """As of 'hds-trainer refit --help'; a refit that the gate refuses leaves the policy before in place."""
    learned_fraction: float | None = None
    """Share of trajectories from the learned dynamics, in [0, 1]; the default is the trainer's."""
    out: Path | None = None
    """New directory for everything that comes out; the default is hds-demo-DATE-TIME."""
    json: Path | None = None
    """Write the figures to this file too."""


class Loop:
    """The three programs, and the calls that make them go round."""

    def __init__(self, settings: Demo, out: Path, console: Console, programs: list[Program]) -> None:
        self._settings = settings
        self._console = console
        self._programs = programs
        compilation_cache.enable()
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        start = lambda module, arguments: self._start(module, arguments, out, environment)  # noqa: E731
        trainer = start("trainer", ["serve", "--port", "0", "--state-dir", str(out / "trainer")])
        self._trainer_address = trainer.address(START_S)
        state = ["--state-dir", str(out / "controller")]
        controller = start(
            "controller",
            ["serve", "--port", "0", "--trainer", self._trainer_address, "--label", LABEL, *state],
        )
        self._controller_address = controller.address(START_S)
        self.real_env = start("real_env", self._real_env_arguments(out))
        self.trainer = TrainerClient(self._trainer_address)
        self.controller = v1.PolicyServiceStub(grpc.insecure_channel(self._controller_address))
        self._events = self.real_env.events(SILENCE_S)

    def _start(self, module: str, arguments: list[str], out: Path, environment: dict[str, str]) -> Program:
        program = Program(module, arguments, out / "logs" / f"{module}.log", environment)
        self._programs.append(program)
        self._console.print(f"  {module:<10} started, process {program.process.pid}")
        return program

    def _real_env_arguments(self, out: Path) -> list[str]:
        settings = self._settings
        servers = ["--controller", self._controller_address, "--trainer", self._trainer_address]
        plant = ["--plant", settings.plant, "--task", settings.task, "--seed", str(settings.seed)]
        spool = ["--spool", str(out / "real_env" / "spool.sqlite")]
        return ["run", *plant, *servers, *spool, "--phases", "-", "--events"]

    def train(self, round_number: int) -> v1.Job:
        """Train or refit, wait for the policy, and wait until it is served."""
        settings = self._settings
        options = v1.TrainingOptions(
            task=settings.task, seed=settings.seed, epochs=settings.epochs, label=LABEL
        )
        options = with_gate(options, settings.gate)
        if round_number == 0:
            job = self.trainer.start_training(options)
        else:
            request = v1.StartRefitRequest(
                options=options,
                dynamics_model=settings.dynamics_model,
                learned_fraction=settings.learned_fraction,
            )
            job = self.trainer.start_refit(request)
        with job_bar("  trainer", self._console) as on_change:

            def changed(now: v1.Job) -> None:
                self.real_env.check()
                on_change(now)

            job = self.trainer.follow(job.id, changed)
        for note in job.notes:
            self._console.print(f"  {note}")
        if labelled(job):
            self._wait_until_served(job.policy_version)
        elif round_number == 0:
            check_labelled(job)
        else:
            self._console.print(f"  [yellow]the gate refuses it[/yellow]: {'; '.join(job.gate.reasons)}")
            self._console.print("  the policy before stays")
        return job

    def _wait_until_served(self, version: str) -> None:
        deadline = time.monotonic() + SWAP_S
        while time.monotonic() < deadline:
            answer = self.controller.Describe(v1.DescribeRequest(), timeout=SWAP_S, wait_for_ready=True)
            if answer.policy.version == version:
                self._console.print(f"  controller serves policy {version[:12]}")
                return
            if answer.refused_version == version:
                raise CallFailed(f"the controller refuses policy {version[:12]}: {answer.refusal}")
            time.sleep(0.05)
        raise CallFailed(f"the controller does not serve policy {version[:12]} after {SWAP_S:g} s")

    def drive(self, phase: str) -> dict[str, Any]:
        """Let real_env carry out `phase`, and return its report."""
        self.real_env.tell(phase)
        with bar("  real_env", self._console) as advance:
            for event in self._events:
                if event["event"] == "progress":
                    advance(phase, event["share"])
                elif event["event"] == "phase":
                    return event
        raise AssertionError("events never end")

    def parameters(self) -> dict[str, Any]:
        """Return the plant's hidden constants, once real_env is ready."""
        for event in self._events:
            if event["event"] == "ready":
                return event["parameters"]
        raise AssertionError("events never end")


def run(settings: Demo, out: Path, console: Console) -> dict[str, Any]:
    """Run the loop and return the figures; everything else lands in `out`."""
    started = time.monotonic()
    console.print(f"[bold]HDS[/bold] · {settings.task} · plant {settings.plant} · everything lands in {out}")
    with ended_together() as programs:
        loop, story = Loop(settings, out, console, programs), Story()
        for number in range(settings.rounds + 1):
            console.print(_heading(number))
            job = loop.train(number)
            story.parameters = story.parameters or loop.parameters()
            report = loop.drive(f"evaluate {settings.evaluations} episodes")
            story.jobs.append(job)
            before = story.rounds[-1] if story.rounds else None
            story.rounds.append(evaluated(loop.trainer, number, job, before, report))
            story.shown.append((report["session"], report["first_episode"]))
            tell(console, story.rounds[-1])
            if number < settings.rounds:
                loop.drive(f"collect {settings.seconds_per_round:g} seconds")
        figures = _figures(settings, story, time.monotonic() - started)
        show(loop.trainer, settings.task, story, out, console)
    (out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def _heading(number: int) -> str:
    if number == 0:
        return "\n[bold]Round 0[/bold]: learn in the frictionless simulator, then try it on the plant"
    return f"\n[bold]Round {number}[/bold]: refit the dynamics from the recorded data, retrain, try again"


def _figures(settings: Demo, story: Story, wall_seconds: float) -> dict[str, Any]:
    last = story.jobs[-1]
    total = lambda name: sum(job.metrics[name] for job in story.jobs if name in job.metrics)  # noqa: E731
    return {
        "seed": settings.seed,
        "task": settings.task,
        "plant": settings.plant,
        "plant_parameters": story.parameters,
        "learned_fraction": last.learned_fraction,
        "dynamics_model": last.dynamics_model,
        "simulation_success": story.rounds[0].simulation_success,
        "rounds": [vars(result) for result in story.rounds],
        "wall_seconds": wall_seconds,
        "train_seconds": total("train_seconds"),
        "refit_seconds": total("refit_seconds"),
        "jobs": [dict(job.metrics) for job in story.jobs],
    }


@contextlib.contextmanager
def _new_directory(path: Path | None) -> Iterator[Path]:
    out = path or Path(time.strftime("hds-demo-%Y%m%d-%H%M%S"))
    if out.exists() and any(out.iterdir()):
        raise OSError(f"{out} is not empty; name a new directory with --out")
    out.mkdir(parents=True, exist_ok=True)
    yield out


def _outcome() -> int:
    if print_version_if_asked("hds-demo"):
        return 0
    settings = tyro.cli(Demo, prog="hds-demo")
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell may have started it with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    return _status(settings)


def main() -> None:
    """Entry point of `hds-demo`."""
    status = run_main(_outcome)
    sys.stderr.flush()
    os._exit(status)  # the programs have ended; a thread of gRPC's must not delay the end


def _status(settings: Demo) -> int:
    """Run the demo and return its exit status."""
    console = Console()
    try:
        _check(settings)
        with _new_directory(settings.out) as out:
            figures = run(settings, out, console)
        if settings.json is not None:
            settings.json.write_text(json.dumps(figures, indent=2) + "\n")
    except GateRefused as error:
        print(f"hds-demo: {error}", file=sys.stderr)
        return 3
    except (CallFailed, ProcessFailed, OSError, ValueError, grpc.RpcError) as error:
        print(f"hds-demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _check(settings: Demo) -> None:
    if settings.rounds < 0 or settings.seconds_per_round <= 0 or settings.evaluations < 1:
        raise ValueError("--rounds must be at least 0, --seconds-per-round above 0, --evaluations at least 1")
    if settings.json is not None and not settings.json.parent.is_dir():
        raise ValueError(f"--json {settings.json}: there is no directory {settings.json.parent}")


if __name__ == "__main__":
    main()
