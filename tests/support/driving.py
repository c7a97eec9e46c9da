"""One episode of a plant, driven as a session drives it."""

import threading
from collections.abc import Callable

import numpy as np

from protos.hds import v1
from real_env.answers import ActionSource
from real_env.clock import Clock
from real_env.episode import Episode, LoopSettings, Numbering
from real_env.excitation import no_excitation
from real_env.guard import Guard
from real_env.plant import Plant, Reading
from real_env.timing import Timing


def drive_episode(
    plant: Plant | Guard,
    asker: ActionSource,
    clock: Clock,
    settings: LoopSettings,
    record: Callable[[v1.Transition], None],
    steps: int = 1000,
    numbering: Numbering | None = None,
    excite: Callable[[int], np.ndarray | float] = no_excitation,
    timing: Timing | None = None,
    stop: threading.Event | None = None,
) -> Timing:
    """Reset `plant`, until its reading is usable, and drive it for at most `steps` control steps."""
    guard = plant if isinstance(plant, Guard) else Guard(plant, clock)
    stop = stop or threading.Event()
    first = next(
        reading for reading in (guard.reset(stop) for _ in range(1000)) if isinstance(reading, Reading)
    )
    numbering = numbering or Numbering(0, 0, v1.PURPOSE_COLLECT, 0)
    episode = Episode(
        guard, asker, clock, settings, numbering, record, excite, stop, timing or Timing()
    )  # fmt: skip
    return episode.run(first, steps)
