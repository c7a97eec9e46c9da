"""Does the controller stay as it is, under swaps, beside idle clients, and over a million actions?

    python -m tests.benchmarks.endurance swaps [--count 1000]
    python -m tests.benchmarks.endurance shapes [--count 20]
    python -m tests.benchmarks.endurance idle [--clients 200]
    python -m tests.benchmarks.endurance memory [--actions 1000000]

Each starts a trainer with untrained policies and a controller: two of the usual shape, or for `shapes` one
of each of as many shapes as there are swaps, with an empty compilation cache.

swaps: 8 streams ask 50 times a second, for a while without swaps and then while the label moves; an answer
is late after 16 ms, 0.8 of the tick. Each action must be that of the version it names, and from a swap that
the controller tells on it must be the new one. shapes: the same, while each swap compiles. idle: a stream
at 100 Hz, turn by turn alone and beside clients that hold a greeted stream, a connection without a call, or
a silent one. memory: resident memory of the controller after each tenth of the actions.
"""

import argparse
import asyncio
import gc
import itertools
import os
import re
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import grpc
import jax.numpy as jnp
import numpy as np

from controller.bench import LoadTarget, load_target, paced, saturated
from protos.hds import v1
from protos.security.client_security import ClientSecurity
from tests.support.programs import Programs
from tests.support.published import SPEC, parameters, publish_policy
from trainer import compilation_cache
from trainer.policy.network import PolicySpec

STREAMS, HERTZ, LATE_S = 8, 50.0, 0.016
X = np.array([0.1, 2.0, 0.3, -1.0], np.float32)


class Site(NamedTuple):
    """What runs: addresses, versions with what they answer to X, and the controller's process id."""

    trainer: str
    controller: str
    answers: dict[str, float]
    pid: int


class Seen(NamedTuple):
    """One answer: when it was asked [s], how long it took [s], what it was."""

    asked: float
    took: float
    action: v1.Action


async def ask(site: Site, stop: asyncio.Event, offset: float) -> list[Seen]:
    """Ask at 50 Hz until `stop`."""
    asked, seen = await load_target(site.controller, ClientSecurity()), []
    async with grpc.aio.insecure_channel(site.controller) as channel:
        call = v1.PolicyServiceStub(channel).Control()
        await call.write(v1.ControlRequest(hello=asked.hello))
        await call.read()
        start = time.perf_counter() + offset
        for k in itertools.count():
            await asyncio.sleep(max(0.0, start + k / HERTZ - time.perf_counter()))
            if stop.is_set():
                break
            began = time.perf_counter()
            await call.write(v1.ControlRequest(observation=v1.Observation(sequence=k, x=X)))
            answer = await call.read()
            assert isinstance(answer, v1.ControlResponse)
            assert answer.action.sequence == k, answer
            seen.append(Seen(began, time.perf_counter() - began, answer.action))
        call.cancel()
    return seen


async def swap(site: Site, count: int) -> list[tuple[float, str]]:
    """Move the label `count` times; return when the controller told each new one, on `time.perf_counter`."""
    told = []
    async with (
        grpc.aio.insecure_channel(site.trainer) as to,
        grpc.aio.insecure_channel(site.controller) as at,
    ):
        registry, policy = v1.RegistryServiceStub(to), v1.PolicyServiceStub(at)
        for version in itertools.islice(itertools.cycle(site.answers), count):
            await registry.SetLabel(v1.SetLabelRequest(label="stable", version=version))
            while (await policy.Describe(v1.DescribeRequest())).policy.version != version:
                await asyncio.sleep(0.001)
            told.append((time.perf_counter(), version))
            await asyncio.sleep(0.02)
    return told


async def under_load(site: Site, work: Callable[[], Awaitable]) -> tuple[list[Seen], object]:
    """Do `work` while 8 streams ask; return what they saw, and what the work returns."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(ask(site, stop, k / HERTZ / STREAMS)) for k in range(STREAMS)]
    await asyncio.sleep(1.0)
    done = await work()
    stop.set()
    return [one for seen in await asyncio.gather(*tasks) for one in seen], done


async def swaps(site: Site, options: argparse.Namespace) -> None:
    """Print late answers with and without swaps, and wrong versions."""
    for round_ in ("without swaps", f"{options.count} swaps", "without swaps"):
        told: list[tuple[float, str]] = []
        if round_ == "without swaps":
            seen, _ = await under_load(site, lambda: asyncio.sleep(options.seconds))
        else:
            seen, result = await under_load(site, lambda: swap(site, options.count))
            told = result if isinstance(result, list) else []
        wrong = sum(abs(one.action.u[0] - site.answers[one.action.policy_version]) > 1e-5 for one in seen)
        times = np.array([moment for moment, _ in told])
        for one in seen if told else []:
            before, after = np.searchsorted(times, one.asked), np.searchsorted(times, one.asked + 0.02)
            if before == after and before > 0:  # no swap was under way
                wrong += one.action.policy_version != told[before - 1][1]
        late = sum(one.took > LATE_S for one in seen)
        took = 1e3 * np.array([one.took for one in seen])
        versions = {one.action.policy_version for one in seen}
        print(
            f"{round_:14} {len(seen)} answers of {len(versions)} versions: {late} late "
            f"({late / len(seen):.2e}), {wrong} of a wrong version; p50 {np.median(took):.2f} ms, "
            f"p99 {np.percentile(took, 99):.2f} ms, worst {took.max():.1f} ms",
            flush=True,
        )


async def idle(site: Site, options: argparse.Namespace) -> None:
    """Print the p99 of a working client beside idle ones, to that without them."""
    asked, ratios = await load_target(site.controller, ClientSecurity()), []
    for pair in range(options.pairs):
        loads = {}
        for beside in (True, False) if pair % 2 else (False, True):
            async with Idlers(asked, options.clients if beside else 0):
                loads[beside] = await paced(asked, 1, 100.0, options.seconds)
        ratios.append((loads[True].p50 / loads[False].p50, loads[True].p99 / loads[False].p99))
        print(
            f"pair {pair}: p99 {loads[False].p99:.2f} ms alone, "
            f"{loads[True].p99:.2f} ms beside {options.clients}"
        )
    p50, p99 = np.median(ratios, axis=0)
    print(
        f"{options.clients} idle clients: p50 {p50:.2f} and p99 {p99:.2f} times that without, "
        f"medians of {options.pairs} pairs"
    )


class Idlers:
    """Clients that hold on to a server: a third each greeted, without a call, and silent from the start."""

    def __init__(self, asked: LoadTarget, count: int) -> None:
        self._asked, self._count = asked, count
        self._channels: list[grpc.aio.Channel] = []
        self._calls: list = []
        self._sockets: list[socket.socket] = []

    async def __aenter__(self) -> "Idlers":
        """Connect them."""
        host, port = self._asked.address.rsplit(":", 1)
        for k in range(self._count):
            if k % 3 == 2:
                self._sockets.append(socket.create_connection((host, int(port))))
                continue
            own = (("grpc.use_local_subchannel_pool", 1),)  # a connection of its own
            channel = grpc.aio.insecure_channel(self._asked.address, options=own)
            self._channels.append(channel)
            if k % 3 == 0:
                call = v1.PolicyServiceStub(channel).Control()
                self._calls.append(call)
                await call.write(v1.ControlRequest(hello=self._asked.hello))
                await call.read()
            else:
                await channel.channel_ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let them go."""
        for call in self._calls:
            call.cancel()
        for channel in self._channels:
            await channel.close()
        for one in self._sockets:
            one.close()


async def memory(site: Site, options: argparse.Namespace) -> None:
    """Print the controller's memory over many actions."""
    asked, done, first = await load_target(site.controller, ClientSecurity()), 0, 0.0
    step = options.actions / 10
    while done < options.actions:
        wanted = done + step
        while done < wanted:
            load = await saturated(asked, STREAMS, 5.0)
            done += round(load.rate * 5.0)
        now = resident_mb(site.pid)
        first = first or now
        print(f"{done:9} actions: {now:.1f} MB, {now / first - 1.0:+.1%} since the first tenth", flush=True)


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process [MB]."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("swaps", "shapes", "idle", "memory"))
    parser.add_argument("--count", type=int, default=0, help="swaps; 0: 1000, of shapes 20")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--actions", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=0.0, help="length of each round; 0: 30 s, idle 5 s")
    options = parser.parse_args()
    options.count = options.count or (20 if options.what == "shapes" else 1000)
    options.seconds = options.seconds or (5.0 if options.what == "idle" else 30.0)
    compilation_cache.enable()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        specs = [SPEC, SPEC]
        if options.what == "shapes":
            os.environ["XDG_CACHE_HOME"] = str(root / "cache")  # nothing has been compiled before
            specs = [PolicySpec(SPEC.features, (32 + k, 64), 1) for k in range(options.count)]
        answers = dict(published(root / "trainer", seed, spec) for seed, spec in enumerate(specs))
        programs = Programs(root)
        try:
            _, trainer = programs.trainer()
            program, controller = programs.controller(trainer)
            site = Site(trainer, controller, answers, program.process.pid)
            gc.freeze()  # a collection of all that JAX holds would look like a late answer
            asyncio.run(run(site, options))
        finally:
            programs.close()


def published(state_dir: Path, seed: int, spec: PolicySpec) -> tuple[str, float]:
    """Publish an untrained policy; return its version and what it answers to X."""
    version = publish_policy(state_dir, seed=seed, spec=spec)
    return version, float(spec.apply(parameters(seed, spec), jnp.asarray(X[None]))[0, 0])


async def run(site: Site, options: argparse.Namespace) -> None:
    """Wait for a policy, and measure."""
    async with grpc.aio.insecure_channel(site.controller) as channel:
        describe = v1.PolicyServiceStub(channel).Describe
        while not (await describe(v1.DescribeRequest(), wait_for_ready=True)).ready:
            await asyncio.sleep(0.05)
    await {"swaps": swaps, "shapes": swaps, "idle": idle, "memory": memory}[options.what](site, options)


if __name__ == "__main__":
    main()
