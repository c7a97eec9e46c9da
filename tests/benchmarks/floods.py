"""A rig that is served at 100 Hz while somebody floods the controller, or the trainer, with one kind of call.

    python -m tests.benchmarks.floods                    every call, with and without a token
    python -m tests.benchmarks.floods --quick            some of them

Of each call 2000 are kept open at a time, by a process of its own over 25 connections: as soon as one ends,
another begins. That process has a lower priority than the servers (nice 5), since floods come from elsewhere:
what it computes is not to be taken from them. Beside them a rig with a token of its own asks its controller
100 times a second. Told are the 99th percentile of its round trips while nobody floods, before and after, and
during the flood, their ratio, what the flood was answered, and whether the rig's stream ended.
"""

import argparse
import asyncio
import collections
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from protos.hds import v1
from protos.security.client_security import ClientSecurity
from tests.support.kinds import kinds
from tests.support.programs import Programs
from tests.support.published import TASK, publish_policy
from tests.support.sites import Site
from tests.support.streams import PLANT

AT_A_TIME, CHANNELS = 2_000, 25
HERTZ, QUIET_S, FLOOD_S, SETTLE_S = 100.0, 10.0, 12.0, 2.0
OF_CONTROLLER = ("PolicyService", "PolicyAdminService", "Health")
QUICK = ("/grpc.health.v1.Health/Watch", "/hds.v1.PolicyService/Act", "/hds.v1.PolicyService/Control",
         "/hds.v1.ExperienceService/ListEpisodes")  # fmt: skip


async def flood(address: str, method: str, access: ClientSecurity, seconds: float) -> dict[str, int]:
    """Keep 2000 calls open; return how they ended."""
    asks, answers = kinds().get(method, (False, True))
    request = _request(method)
    ends: collections.Counter[str] = collections.Counter()
    until = time.monotonic() + seconds
    options = (("grpc.use_local_subchannel_pool", 1),)
    channels = [access.aio_channel(address, options) for _ in range(CHANNELS)]

    async def one(channel: grpc.aio.Channel) -> None:
        while time.monotonic() < until:
            try:
                if asks:
                    call: Any = channel.stream_stream(method)(iter([request]), timeout=seconds)
                elif answers:
                    call = channel.unary_stream(method)(request, timeout=seconds)
                else:
                    await channel.unary_unary(method)(request, timeout=seconds)
                    ends["OK"] += 1
                    continue
                async for _ in call:
                    pass
                ends["OK"] += 1
            except grpc.aio.AioRpcError as error:
                ends[error.code().name] += 1

    tasks = [asyncio.create_task(one(channels[k % CHANNELS])) for k in range(AT_A_TIME)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
    return dict(ends)


def _request(method: str) -> bytes:
    """Return a request that makes the server work, where the call has one; else an empty one."""
    x = [0.1] * len(TASK.state_names)
    if method.endswith("/Act"):
        return v1.ActRequest(observations=[v1.Observation(x=x)] * 256).SerializeToString()
    if method.endswith("/Control"):
        return v1.ControlRequest(hello=v1.Hello(plant=PLANT)).SerializeToString()
    return b""


async def drive(address: str, access: ClientSecurity, seconds: float) -> list[float]:
    """Ask at 100 Hz; return the round trips [s]. One that comes too late delays no other."""
    seen: list[float] = []
    async with access.aio_channel(address) as channel:
        call: Any = v1.PolicyServiceStub(channel).Control()
        await call.write(v1.ControlRequest(hello=v1.Hello(plant=PLANT, task=TASK.name)))
        if not (await call.read()).HasField("welcome"):
            raise RuntimeError("the rig was not welcomed")
        sent: dict[int, float] = {}

        async def read() -> None:
            while True:
                answer = await call.read()
                seen.append(time.perf_counter() - sent.pop(answer.action.sequence))

        reading = asyncio.create_task(read())
        start = time.perf_counter()
        for k in range(round(seconds * HERTZ)):
            await asyncio.sleep(max(0.0, start + k / HERTZ - time.perf_counter()))
            sent[k] = time.perf_counter()
            x = [0.1] * len(TASK.state_names)
            await call.write(v1.ControlRequest(observation=v1.Observation(sequence=k, x=x)))
        await asyncio.sleep(0.5)
        if reading.done():
            raise RuntimeError(f"the rig's stream ended: {await call.details()}")
        reading.cancel()
        call.cancel()
    return seen


LOOP = asyncio.Runner()
"""One loop for all that this process drives: gRPC's poller stays with the first that it sees."""


def driven(address: str, access: ClientSecurity, seconds: float) -> list[float]:
    """Do `drive` on the loop of this process."""
    return LOOP.run(drive(address, access, seconds))


def p99_ms(times: list[float]) -> float:
    """Return the 99th percentile [ms] of times [s]."""
    return 1e3 * float(np.percentile(times, 99))


def measured(
    rig: tuple[str, ClientSecurity],
    method: str,
    target: str,
    token: Path | None,
    ca: Path,
    quiet: list[float],
) -> tuple[dict[str, Any], list[float]]:
    """Return what the rig saw during a flood of `method`, beside before and after; and what it saw after."""
    words = [target, method, str(ca), str(token or ""), str(FLOOD_S + 2 * SETTLE_S)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.floods", "flood", *words], stdout=subprocess.PIPE, text=True
    ) as flooding:
        time.sleep(SETTLE_S)
        during = driven(*rig, FLOOD_S)
        assert flooding.stdout is not None
        ends = json.loads(flooding.stdout.read() or "{}")
    time.sleep(SETTLE_S)
    after = driven(*rig, QUIET_S)
    found = {
        "quiet_p99_ms": p99_ms(quiet + after),
        "flood_p99_ms": p99_ms(during),
        "ratio": p99_ms(during) / p99_ms(quiet + after),
        "answered": len(during),
        "asked": round(FLOOD_S * HERTZ),
        "ends": ends,
    }
    return found, after


def main() -> None:
    """Flood with each call in turn, and print a line for each."""
    if sys.argv[1:2] == ["flood"]:
        os.nice(5)
        target, method, ca, token, seconds = sys.argv[2:]
        access = ClientSecurity(Path(ca), token_file=Path(token) if token else None)
        print(json.dumps(asyncio.run(flood(target, method, access, float(seconds)))))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="some calls only")
    parser.add_argument("--calls", nargs="*", default=(), help="these calls only, by a part of their names")
    given = parser.parse_args()
    methods = [*kinds(), "/grpc.health.v1.Health/Watch"]
    chosen = [m for m in methods if (not given.quick or m in QUICK) and
              (not given.calls or any(part in m for part in given.calls))]  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        programs, site = Programs(Path(scratch)), Site(Path(scratch))
        publish_policy(Path(scratch) / "trainer", 1)
        try:
            _run(programs, site, chosen)
        finally:
            programs.close()


def _run(programs: Programs, site: Site, methods: list[str]) -> None:
    reader, rig = site.client("reader", "read"), site.client("rig", "act")
    known = site.client("known", "act", "log", "read", "admin")
    _, trainer = programs.trainer("0", *site.with_tokens())
    _, controller = programs.controller(trainer, *site.with_tokens(), *reader.arguments())
    ca = site.root / "certs" / "ca.pem"
    while True:
        with contextlib.suppress(RuntimeError):
            driven(controller, rig, 0.5)
            break
    found, quiet = [], driven(controller, rig, QUIET_S)
    for method in methods:
        target = controller if any(f".{name}/" in method for name in OF_CONTROLLER) else trainer
        for token in (None, known.token_file):
            one, quiet = measured((controller, rig), method, target, token, ca, quiet)
            found.append(one)
            print(
                f"{'known  ' if token else 'unknown'} {method}: p99 {one['quiet_p99_ms']:.2f} ms quiet, "
                f"{one['flood_p99_ms']:.2f} ms in the flood, ratio {one['ratio']:.2f}; the rig got "
                f"{one['answered']} of {one['asked']} answers; the flood {one['ends']}",
                flush=True,
            )
    ratios = sorted(one["ratio"] for one in found)
    above = sum(ratio > 2.0 for ratio in ratios)
    print(
        f"ratios: median {np.median(ratios):.2f}, largest {ratios[-1]:.2f}; above 2: {above} of {len(ratios)}"
    )


if __name__ == "__main__":
    main()
