"""How fast does each learner solve `cartpole_swingup`: PODS and HDS beside PPO, SAC, APG and SHAC?

    python -m tests.benchmarks.learning_speed [--quick] [--algorithms hds ppo] [--seeds 0 1 2 3 4]

All run in the same Brax system from the same start states, are judged by the same success over 256
episodes, one process each and one after the other on this machine, with the same JAX. A learner has
solved the task at its first evaluation with success >= 0.95. Finished runs are kept in `--out`; the table
and the picture beside it are made from that file.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.benchmarks.one_learner import ALGORITHMS, SOLVED

ROOT = Path(__file__).parents[2]


def run(algorithm: str, seed: int, budget: float) -> list[dict]:
    """Return the evaluations of one run; nothing compiled before is used."""
    command = [sys.executable, "-m", "tests.benchmarks.one_learner", algorithm]
    command += ["--seed", str(seed), "--budget", str(budget)]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION")}
    done = subprocess.run(command, cwd=ROOT, env=kept, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{algorithm}, seed {seed}, ended with status {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def solved(lines: list[dict]) -> dict | None:
    """Return the first evaluation at which the task was solved."""
    return next((line for line in lines if line["success"] >= SOLVED), None)


def table(runs: dict[tuple[str, int], list[dict]]) -> None:
    """Print medians over seeds; a learner that did not solve it in its budget counts as infinite."""
    columns = ("seconds_without_compilation", "seconds", "steps", "evaluations")
    print(f"{'learner':8} {'solved':>7} " + " ".join(f"{'median ' + name:>34}" for name in columns))
    for algorithm in ALGORITHMS:
        firsts = [solved(lines) for (name, _), lines in runs.items() if name == algorithm]
        if not firsts:
            continue
        medians = [
            np.median([np.inf if first is None else first[name] for first in firsts]) for name in columns
        ]
        count = sum(first is not None for first in firsts)
        print(f"{algorithm:8} {count:3}/{len(firsts):<3} " + " ".join(f"{value:34.1f}" for value in medians))
        if count < len(firsts):
            best = max(
                line["success"] for (name, _), lines in runs.items() if name == algorithm for line in lines
            )
            print(f"         the highest success it reached: {best:.2f}")


def picture(runs: dict[tuple[str, int], list[dict]], path: Path) -> None:
    """Draw success against seconds and against model steps, one line per seed."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, layout="constrained")
    for axis, name, label, least in zip(
        axes,
        ("seconds_without_compilation", "steps"),
        ("seconds without compilation", "roll-out steps"),
        (0.1, 1e3),
        strict=True,
    ):
        for (algorithm, seed), lines in runs.items():
            color = f"C{ALGORITHMS.index(algorithm)}"
            words = algorithm.upper() if seed == min(s for a, s in runs if a == algorithm) else None
            axis.plot(
                [line[name] for line in lines], [line["success"] for line in lines], color=color, label=words
            )
        axis.set(xscale="log", xlabel=label)
        axis.set_xlim(left=least)
    axes[0].set_ylabel("success")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run what is missing, then print the table and draw the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--algorithms", nargs="+", default=ALGORITHMS, choices=ALGORITHMS)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--budget", type=float, default=900.0, help="seconds per run")
    parser.add_argument("--quick", action="store_true", help="one seed of HDS and PPO")
    parser.add_argument("--out", type=Path, default=Path("learning_speed.jsonl"))
    options = parser.parse_args()
    if options.quick:
        options.algorithms, options.seeds = ("hds", "ppo"), options.seeds[:1]
    runs: dict[tuple[str, int], list[dict]] = {}
    for line in options.out.read_text().splitlines() if options.out.exists() else []:
        found = json.loads(line)
        runs.setdefault((found["algorithm"], found["seed"]), []).append(found)
    for seed in options.seeds:
        for algorithm in options.algorithms:
            if (algorithm, seed) in runs:
                continue
            lines = run(algorithm, seed, options.budget)
            runs[algorithm, seed] = lines
            with options.out.open("a") as out:
                out.writelines(json.dumps(line) + "\n" for line in lines)
            print(f"{algorithm}, seed {seed}: {solved(lines) or lines[-1]}", flush=True)
    table(runs)
    picture(runs, options.out.with_suffix(".png"))


if __name__ == "__main__":
    sys.exit(main())
