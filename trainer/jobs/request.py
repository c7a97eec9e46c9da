"""What goes between the service and the worker process; everything pickles."""

from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from trainer.store.records import EVERYTHING, Epoch, Selection

LEARNED_FRACTION = 1.0
"""Shares of 0.9 and 1 have the lowest cost on the plant, without a significant difference (benchmarks)."""


class NoData(ValueError):
    """A refit without stored data for `task` to learn from."""

    def __init__(self, task: str) -> None:
        super().__init__(
            f"there is no such data to refit from for task {task!r}; record some with 'hds-real-env run "
            "--collect SECONDS', or see what there is with 'hds-trainer experience'"
        )


@dataclass(frozen=True)
class JobRequest:
    """One training, or one refit.

    Attributes:
        refit: whether to fit dynamics to recorded data first.
        task, seed, epochs: what to train, from which random numbers, for how long (0: the default).
        dynamics_model: name of the dynamics model; empty means `auto`.
        learned_fraction: share of trajectories from the learned dynamics; None means the default.
        parent: version to start from; empty starts from nothing.
        database: URL of the store.
        checkpoints: directory of the published policies.
        data: what a refit uses.
        gate: least success in its model; None for the task's own or the default.
        algorithm: `hds`, `pods` or `FILE.py:NAME`; empty is the default.
        config: hyper-parameters, as the text of a TOML file.
    """

    refit: bool
    task: str
    seed: int
    epochs: int
    dynamics_model: str
    learned_fraction: float | None
    parent: str
    database: str | sa.URL
    checkpoints: Path
    data: Selection = EVERYTHING
    gate: float | None = None
    algorithm: str = ""
    config: str = ""


@dataclass(frozen=True)
class Progress:
    """The phase of a job, the share done, its figures so far, and the epoch that has just ended."""

    phase: str
    share: float
    metrics: dict[str, float] = field(default_factory=dict)
    epoch: Epoch | None = None


@dataclass(frozen=True)
class Alive:
    """The worker is alive; sent every two seconds."""


@dataclass(frozen=True)
class Verdict:
    """Whether a policy gets its label; otherwise the reasons, each with what to try.

    `notes` name what was not validated, and why.
    """

    passed: bool
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Published:
    """The checkpoint is complete on disk; `verdict` says whether it may have its label, `notes` the rest."""

    version: str
    parent: str
    real_seconds: float
    metrics: dict[str, float]
    verdict: Verdict
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failed:
    """The job ended without a policy; `message` says why in one or two lines."""

    message: str
