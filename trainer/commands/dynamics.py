"""`hds-trainer fit-dynamics` and `score-dynamics`: dynamics from log files, without a running trainer."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from trainer import compilation_cache

if TYPE_CHECKING:
    from trainer.dynamics.dynamics_model import Fit
    from trainer.dynamics.windows import Segment
    from trainer.tasks.task import Task

Logs = Annotated[tuple[Path, ...], tyro.conf.UseAppendAction]


@dataclass(frozen=True)
class FitDynamics:
    """Fit a dynamics model to logs of a rig, and print the identified parameters.

    Writes the dynamics, dynamics.json (estimates with 90 % intervals, held-out errors) and report.png.
    Example: hds-trainer fit-dynamics --task pendulum --log a.csv --log b.csv --out identified
    """

    task: str
    """Task that describes the rig, e.g. pendulum, or my_rig.py:TASK for its own geometry."""
    log: Logs
    """A CSV log; may be given more than once."""
    out: Path
    """Directory to write to."""
    model: str = "auto"
    """Dynamics model, as in 'hds-trainer refit': auto, friction, drive, physics and so on."""
    format: Path | None = None
    """A TOML file with the meaning, unit and zero of each column."""
    seed: int = 0
    """Seed of all random numbers."""

    def run(self) -> None:
        """Fit, write, and print the identified parameters."""
        compilation_cache.enable()
        from trainer.dynamics.contradictions import check
        from trainer.logs.fit import identify, load, save
        from trainer.report.identified import draw
        from trainer.report.progress import share_bar
        from trainer.tasks import load_task

        task = load_task(self.task)
        logs = tuple(sorted(self.log))  # the fit does not depend on their order
        segments = _motions(logs, task, self.format)
        check(task, segments)
        with share_bar("fitting") as progress:
            found = identify(task, self.model, segments, self.seed, progress)
        save(found, self.out, list(logs), self.seed)
        if found.why:
            print(found.why)
        _print_fit(found.dynamics.name, found.fit)
        draw(load(self.out), segments, "the logs it was fitted to", self.out / "report.png")
        print(f"{self.out}: dynamics, dynamics.json, report.png")


@dataclass(frozen=True)
class ScoreDynamics:
    """Replay measured actions open loop through fitted dynamics, and compare with what was measured.

    Example: hds-trainer score-dynamics --dynamics identified --log c.csv --horizon 0.5 --json score.json
    """

    dynamics: Path
    """Directory that 'fit-dynamics --out' wrote."""
    log: Logs
    """A CSV log that it was not fitted to; may be given more than once."""
    horizon: float = 0.5
    """How far ahead [s]."""
    json: Path | None = None
    """File to write the figures to."""
    picture: Path | None = None
    """File to draw measured beside predicted motion, and error against horizon, to (.png, .pdf, .svg)."""
    format: Path | None = None
    """As in fit-dynamics."""

    def run(self) -> None:
        """Score, print and write."""
        compilation_cache.enable()
        if not 0.0 < self.horizon < float("inf"):
            raise ValueError(f"--horizon [s] must be above 0; got {self.horizon:g}")
        from trainer.logs.fit import load
        from trainer.logs.score import score
        from trainer.report.identified import draw

        found = load(self.dynamics)
        segments = _motions(self.log, found.task, self.format)
        figures = score(found, segments, self.horizon)
        if self.json:
            self.json.parent.mkdir(parents=True, exist_ok=True)
            self.json.write_text(json.dumps(figures, indent=2) + "\n")
        if self.picture:
            self.picture.parent.mkdir(parents=True, exist_ok=True)
            draw(found, segments, ", ".join(path.name for path in self.log), self.picture)
        _print_score(figures)


def _motions(logs: Logs, task: "Task", layout: Path | None) -> "list[Segment]":
    from trainer.dynamics.contradictions import check_columns
    from trainer.dynamics.windows import Segment
    from trainer.logs.csv_log import read_csv_logs
    from trainer.logs.log_format import default_format, read_format
    from trainer.logs.resample import resample

    columns = read_format(layout, task) if layout else default_format(task)
    segments = []
    for path in logs:
        episodes, found = read_csv_logs(path, columns), list[Segment]()
        for log in episodes:
            check_columns(task, log.t, log.x)
            found += resample(log, task)
        steps = sum(len(segment.u) for segment in found)
        print(f"{path}: {steps} control steps in {len(found)} stretches", *episodes[0].notes, sep="\n  ")
        segments += found
    return segments


def _print_fit(name: str, fit: "Fit") -> None:
    print(f"model {name}")
    for what, estimate in fit.estimates.items():
        known = "" if estimate.identified else "  not identified: close to its prior"
        if estimate.at_bound:
            known = "  not identified: at a limit of the model, the truth may lie beyond"
        print(f"  {what}: {estimate.value:.4g}  (90 %: {estimate.low:.4g} to {estimate.high:.4g}){known}")
    for horizon, error in fit.errors.items():
        learned, simulator, persistence = (", ".join(f"{v:.4g}" for v in part) for part in error[:3])
        print(
            f"  held out, {horizon:g} s ahead, median error {learned}; the simulator {simulator}; "
            f"persistence {persistence}"
        )


def _print_score(figures: dict) -> None:
    print(f"{figures['windows']} windows, {figures['horizon']:g} s ahead")
    print("angle error [rad], median and 90th percentile:")
    rows = {
        "fitted": ("angle_error", "angle_error_not_upright"),
        "frictionless": ("reference", "reference_not_upright"),
        "persistence": ("reference", "reference_not_upright"),
    }
    for name, (everywhere, elsewhere) in rows.items():
        parts = [figures[key] if name == "fitted" else figures[key][name] for key in (everywhere, elsewhere)]
        shown = ["-" if p["median"] is None else f"{p['median']:.4f}, {p['p90']:.4f}" for p in parts]
        print(f"  {name:13} {shown[0]}   not from upright: {shown[1]}")
