"""How fast does the controller answer, beside a bare echo service, and does batching help?

    python -m tests.benchmarks.serving [--quick] [--pairs 10]

Starts a trainer with an untrained policy of the usual shape and, one after the other, controllers as they
are by default, with neither dry runs nor a delay for batches, that compute each observation for itself, and
(on Linux) that are kept on one core.
Each is measured by `hds-controller bench`: rounds of controller and echo take turns, and ratios are medians
over the pairs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.programs import Programs, ready
from tests.support.published import publish_policy
from trainer import compilation_cache

VARIANTS: dict[str, dict[str, float]] = {
    "default": {},
    "batches of one turn of the loop, no dry runs": {"batch_delay": 0, "keep_warm": 0},
    "no batches": {"max_batch": 1},
}
if hasattr(os, "sched_getaffinity"):
    VARIANTS["kept on one core"] = {"cpu": min(os.sched_getaffinity(0))}


def measure(address: str, pairs: int, seconds: float, echo: str) -> None:
    """Print a line per load."""
    command = [sys.executable, "-m", "controller", "bench", "--controller", address, "--json"]
    command += ["--pairs", str(pairs), "--seconds", str(seconds), "--echo", echo]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        found = json.loads(line)
        ours, ratio = found["controller"], found["ratio"]
        print(
            f"  {found['load']:12} streams {found['streams']:2}: p50 {ours['p50']:.2f} ms, "
            f"p99 {ours['p99']:.2f} ms, {ours['rate']:6.0f} actions/s; "
            f"to echo: p50 {ratio['p50']:.2f}, p99 {ratio['p99']:.2f}, "
            f"actions {ratio['rate']:.2f}",
            flush=True,
        )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of each round")
    parser.add_argument(
        "--echo", choices=("bare", "tuned"), default="bare",
        help="the echo service as gRPC's defaults have it, or with the controller's transport settings",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="two pairs")
    options = parser.parse_args()
    compilation_cache.enable()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        publish_policy(root / "trainer", seed=1)
        programs = Programs(root)
        try:
            _, trainer = programs.trainer()
            for number, (name, wanted) in enumerate(VARIANTS.items()):
                program, address = programs.controller(trainer, state_dir=root / str(number), **wanted)
                watch = health_pb2_grpc.HealthStub(ready(address)).Watch  # pyright: ignore[reportAttributeAccessIssue]
                serving = health_pb2.HealthCheckResponse.SERVING
                any(told.status == serving for told in watch(health_pb2.HealthCheckRequest()))
                print(name, flush=True)
                measure(address, 2 if options.quick else options.pairs, options.seconds, options.echo)
                program.end()
        finally:
            programs.close()


if __name__ == "__main__":
    main()
