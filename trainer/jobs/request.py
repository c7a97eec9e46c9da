"""What goes between the service and the worker process; everything pickles."""

from dataclasses import dataclass, field
from pathlib import Path

from trainer.store.records import EVERYTHING, Selection


@dataclass(frozen=True)
class JobRequest:
    """One training, or one refit.

    Attributes:
        refit: whether to fit dynamics to recorded data first.
        task, seed, epochs: what to train, from which random numbers, for how long (0: the default).
        dynamics_model: rung of the ladder; empty means the default.
        learned_fraction: share of trajectories from the learned dynamics; None means the default.
        parent: version to start from; empty starts from nothing.
        database: URL of the store.
        checkpoints: directory of the published policies.
        data: what a refit uses.
    """

    refit: bool
    task: str
    seed: int
    epochs: int
    dynamics_model: str
    learned_fraction: float | None
    parent: str
    database: str
    checkpoints: Path
    data: Selection = EVERYTHING


@dataclass(frozen=True)
class Progress:
    """What the job does now, the share done, and its figures so far."""

    phase: str
    share: float
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Published:
    """The checkpoint is complete on disk."""

    version: str
    parent: str
    real_seconds: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class Failed:
    """The job ended without a policy; `message` says why in one or two lines."""

    message: str
