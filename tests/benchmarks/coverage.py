"""How often do the 90 % intervals of identified parameters hold the truth?

    python -m tests.benchmarks.coverage [--quick] [--draws 100] [--first 0] [--task NAME …]
        [--source own|mujoco …] [--noise 0|1 …] [--model friction]

For each draw a plant is redrawn, 10 s of excited motion are recorded on it (four episodes) and the dynamics
model is fitted. Every parameter that the fit calls identified, and that has a truth, is compared with it:
break-away excess and Stribeck velocity have one in the project's own law only. Printed per case: how many
were identified, how many intervals held the truth and which share that is (with its 95 % interval, in which
each draw counts as one, since the parameters of a fit err together), the median width of the intervals as a
share of the truth, and every parameter's own share. 0.85 to 0.95 is right.
"""

import argparse
import itertools
import time
from collections import defaultdict
from typing import NamedTuple

import jax
import numpy as np

from tests.benchmarks.coverage_plants import record
from trainer import compilation_cache
from trainer.dynamics.catalogue import load_dynamics
from trainer.tasks import load_task
from trainer.tasks.task import Task

TASKS, SOURCES = ("cartpole_swingup", "pendulum"), ("own", "mujoco")
VARIED = {"physics": frozenset({"gain", "mass"}), "drive": frozenset({"gain"})}
"""What is redrawn besides friction, by dynamics model; own source only."""
BOOTSTRAPS = 2000


class Compared(NamedTuple):
    """One interval beside the truth; `off` in units of the truth, `width` too."""

    name: str
    draw: int
    identified: bool
    inside: bool
    off: float
    width: float


def compare(
    task: Task, source: str, noisy: bool, model: str, varied: frozenset[str], draw: int
) -> list[Compared]:
    """Return every parameter with a truth of one draw."""
    motions, truth = record(task, source, noisy, varied, draw)
    estimates = load_dynamics(model).fit(task, motions, jax.random.key(draw), lambda share: None).estimates
    return [
        Compared(
            name,
            draw,
            estimates[name].identified,
            estimates[name].low <= true <= estimates[name].high,
            estimates[name].value / true - 1.0,
            (estimates[name].high - estimates[name].low) / true,
        )
        for name, true in truth.items()
        if name in estimates
    ]


def interval(found: list[Compared]) -> tuple[float, float]:
    """Return the 95 % interval of the share inside, from draws drawn again."""
    by_draw = defaultdict(list)
    for one in found:
        by_draw[one.draw].append(one.inside)
    inside, of = np.array([(sum(part), len(part)) for part in by_draw.values()]).T
    again = np.random.default_rng(0).integers(0, len(of), (BOOTSTRAPS, len(of)))
    low, high = np.percentile(inside[again].sum(axis=1) / of[again].sum(axis=1), [2.5, 97.5])
    return float(low), float(high)


def report(case: str, found: list[Compared], seconds: list[float]) -> None:
    """Print one case."""
    known = [one for one in found if one.identified]
    if not known:
        print(f"{case}: nothing identified")
        return
    inside, width = sum(one.inside for one in known), np.median([one.width for one in known])
    low, high = interval(known)
    share = f"{inside / len(known):.3f} ({low:.3f} to {high:.3f})"
    print(
        f"{case}: {len(found)} with a truth, {len(known)} identified, {inside} inside: {share}, "
        f"median width {width:.0%}, {np.median(seconds):.2f} s a draw",
        flush=True,
    )
    for name in dict.fromkeys(one.name for one in found):
        part = [one for one in known if one.name == name]
        if part:
            print(
                f"    {name}: {sum(one.inside for one in part)} of {len(part)}, off by "
                f"{np.median([one.off for one in part]):+.1%} in the median, width "
                f"{np.median([one.width for one in part]):.1%}"
            )


def main() -> None:
    """Print every case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first draw")
    parser.add_argument("--task", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--source", nargs="+", default=list(SOURCES), choices=SOURCES)
    parser.add_argument("--noise", nargs="+", type=int, default=[0, 1], choices=[0, 1])
    parser.add_argument("--model", default="friction")
    parser.add_argument("--quick", action="store_true", help="ten draws")
    options = parser.parse_args()
    compilation_cache.enable()
    for name, source, noise in itertools.product(options.task, options.source, options.noise):
        task, found, seconds = load_task(name), [], []
        varied = VARIED.get(options.model, frozenset())
        for draw in range(options.first, options.first + (10 if options.quick else options.draws)):
            began = time.monotonic()
            found += compare(task, source, bool(noise), options.model, varied, draw)
            seconds.append(time.monotonic() - began)
        report(f"{name}, {source}, {'noise' if noise else 'no noise'}, {options.model}", found, seconds)


if __name__ == "__main__":
    main()
