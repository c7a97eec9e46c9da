"""What the demo shows: what each policy did on the plant, as lines, a table, a picture and a replay."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from protos.hds import v1
from trainer.client import CallFailed, TrainerClient
from trainer.commands.gating import labelled
from trainer.report.picture import draw_gap
from trainer.report.replay import write_replay
from trainer.report.table import round_table


@dataclass
class Round:
    """What one policy did on the plant."""

    round: int
    policy_version: str
    real_seconds: float
    real_success: float
    real_cost: float
    simulation_success: float
    evaluation_episodes: int
    fallback_steps: int


@dataclass
class Story:
    """What is kept for the report."""

    rounds: list[Round] = field(default_factory=list)
    jobs: list[v1.Job] = field(default_factory=list)
    shown: list[tuple[str, int]] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)


def evaluated(
    trainer: TrainerClient, number: int, job: v1.Job, before: Round | None, report: dict[str, Any]
) -> Round:
    """Return what the served policy did: that of the round before, where the gate refused this one's."""
    served, simulated = job.policy_version, job.metrics["simulation_success"]
    if before is not None and not labelled(job):
        served, simulated = before.policy_version, before.simulation_success
    episodes = trainer.episodes(report["session"], v1.PURPOSE_EVALUATE)
    wanted = range(report["first_episode"], report["first_episode"] + report["episodes"])
    judged = [episode for episode in episodes if episode.episode in wanted]
    versions = {version for episode in judged for version in episode.policy_versions}
    if versions != {served} or len(judged) != report["episodes"]:
        raise CallFailed(f"round {number} was not driven by policy {served[:12]} alone: {versions}")
    return Round(
        round=number,
        policy_version=served,
        real_seconds=dict(job.metrics).get("real_seconds", 0.0),
        real_success=float(np.mean([episode.success for episode in judged])),
        real_cost=float(np.mean([episode.cost for episode in judged])),
        simulation_success=simulated,
        evaluation_episodes=len(judged),
        fallback_steps=sum(episode.fallback_steps for episode in judged),
    )


def tell(console: Console, result: Round) -> None:
    """Print what one policy did on the plant."""
    verdict = "[green]succeeds[/green]" if result.real_success >= 0.9 else "[red]fails[/red]"
    console.print(
        f"  on the plant it {verdict}: {result.real_success:.0%} of {result.evaluation_episodes} episodes, "
        f"cost {result.real_cost:.0f} (in the simulator: {result.simulation_success:.0%})"
    )


def show(trainer: TrainerClient, task: str, story: Story, out: Path, console: Console) -> None:
    """Draw the gap, write the replay, and print the table of all rounds."""
    rows = [vars(result) for result in story.rounds]
    traces = [trainer.transitions(*shown) for shown in (story.shown[0], story.shown[-1])]
    draw_gap(out / "gap.png", rows, *(np.array([row.x for row in trace]) for trace in traces))
    write_replay(out / "replay.html", traces[-1], f"{task}, last round, first evaluation episode")
    console.print()
    console.print(round_table(rows))
    console.print(f"picture: {out / 'gap.png'}\nreplay:  {out / 'replay.html'} (open it in a browser)")
