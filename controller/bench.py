"""Load test of a controller beside a bare echo service: latency, jitter, throughput.

Both get the same messages from the same client in alternating rounds, so that other load affects both alike.
Paced: each stream sends one observation per tick, like a plant. Saturated: each stream sends the next
observation as soon as it is answered.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import NamedTuple

import grpc
import numpy as np

from controller import grpc_polling
from protos.hds import v1
from protos.security.client_security import ClientSecurity

WARM_UP, STREAMS_OF_CHANNEL = 50, 16


class Load(NamedTuple):
    """Figures of one round.

    Attributes:
        p50, p99, p999, worst: round trips [ms].
        jitter: standard deviation of the round trips [ms].
        rate: actions per second, over all streams.
    """

    p50: float
    p99: float
    p999: float
    worst: float
    jitter: float
    rate: float


@dataclass(frozen=True)
class LoadTarget:
    """The target of a load test: address, hello, size of the state, TLS and authentication."""

    address: str
    hello: v1.Hello
    state_size: int
    access: ClientSecurity = field(default_factory=ClientSecurity)


class _Stream:
    """One Control stream to a controller or an echo service."""

    def __init__(self, channel: grpc.aio.Channel, target: LoadTarget) -> None:
        self._call = v1.PolicyServiceStub(channel).Control()
        self._target = target
        self._x = np.linspace(-1.0, 1.0, target.state_size).astype(np.float32)

    async def open(self) -> None:
        await self._call.write(v1.ControlRequest(hello=self._target.hello))
        greeting = await self._call.read()
        if not isinstance(greeting, v1.ControlResponse):
            raise RuntimeError(f"the stream to {self._target.address} ended: {await self._call.details()}")
        if greeting.HasField("error"):
            raise RuntimeError(f"{self._target.address} answers: {greeting.error.message}")
        for k in range(WARM_UP):
            await self.ask(k)

    async def ask(self, sequence: int) -> float:
        """Return the round trip [s]."""
        began = time.perf_counter()
        observation = v1.Observation(sequence=sequence, t_ns=sequence * 10_000_000, x=self._x, u_last=(0.5,))
        await self._call.write(v1.ControlRequest(observation=observation))
        response = await self._call.read()
        took = time.perf_counter() - began
        if not isinstance(response, v1.ControlResponse) or not response.HasField("action"):
            raise RuntimeError(f"{self._target.address} answers {response}")
        return took

    def close(self) -> None:
        self._call.cancel()


async def paced(target: LoadTarget, streams: int, hertz: float, seconds: float) -> Load:
    """Send observations at a fixed rate."""

    async def drive(stream: _Stream, offset: float) -> list[float]:
        start, seen = time.perf_counter() + offset, []
        for k in range(round(seconds * hertz)):
            await asyncio.sleep(max(0.0, start + k / hertz - time.perf_counter()))
            seen.append(await stream.ask(k))
        return seen

    return await _load(target, streams, drive, 1.0 / hertz)


async def saturated(target: LoadTarget, streams: int, seconds: float) -> Load:
    """Send each observation when the one before is answered."""

    async def drive(stream: _Stream, offset: float) -> list[float]:
        del offset
        until, seen, k = time.perf_counter() + seconds, [], 0
        while time.perf_counter() < until:
            seen.append(await stream.ask(k))
            k += 1
        return seen

    return await _load(target, streams, drive, 0.0)


async def _load(target: LoadTarget, count: int, drive, period: float) -> Load:
    async with contextlib.AsyncExitStack() as opened:
        options = (("grpc.use_local_subchannel_pool", 1),)  # a connection of its own for each channel
        channels = [
            await opened.enter_async_context(target.access.aio_channel(target.address, options))
            for _ in range(-(-count // STREAMS_OF_CHANNEL))
        ]
        streams = [_Stream(channels[k // STREAMS_OF_CHANNEL], target) for k in range(count)]
        try:
            await asyncio.gather(*(stream.open() for stream in streams))
            began = time.perf_counter()
            offsets = np.arange(count) * period / count
            seen = await asyncio.gather(*(drive(s, o) for s, o in zip(streams, offsets, strict=True)))
            elapsed = time.perf_counter() - began
        finally:
            for stream in streams:
                stream.close()
    times = 1e3 * np.concatenate(seen)
    p50, p99, p999 = np.percentile(times, (50.0, 99.0, 99.9))
    return Load(p50, p99, p999, times.max(), times.std(), len(times) / elapsed)


async def load_target(address: str, access: ClientSecurity) -> LoadTarget:
    """Return the controller at `address` as a target.

    Raises:
        RuntimeError: it serves no policy.
    """
    async with access.aio_channel(address) as channel:
        answer = await v1.PolicyServiceStub(channel).Describe(v1.DescribeRequest(), timeout=5.0)
    if not answer.ready:
        raise RuntimeError(f"the controller at {address} serves no policy yet")
    policy = answer.policy
    plant = v1.PlantSpec(
        name="bench", state_names=policy.state_names, action_names=policy.action_names,
        control_dt_s=policy.control_dt_s,
    )  # fmt: skip
    return LoadTarget(
        address, v1.Hello(plant=plant, client="bench", task=policy.task), len(policy.state_names), access
    )


class EchoProcess:
    """An echo service in a process of its own; `tuned` gives it the controller's polling of sockets."""

    def __init__(self, tuned: bool) -> None:
        self._tuned = tuned

    async def __aenter__(self) -> str:
        """Start it; return its address."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "controller.echo", stdout=asyncio.subprocess.PIPE,
            env={**os.environ, grpc_polling.NAME: grpc_polling.SETTING if self._tuned else ""},
        )  # fmt: skip
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().split()[-1]

    async def __aexit__(self, *_: object) -> None:
        """End it."""
        self._process.terminate()
        await self._process.wait()


async def compare(
    target: LoadTarget, streams: tuple[int, ...], pairs: int, seconds: float, tuned: bool = False
) -> AsyncIterator[dict]:
    """Yield the comparisons of controller and echo service, each over alternating rounds."""
    async with EchoProcess(tuned) as echo_address:
        echo = LoadTarget(echo_address, target.hello, target.state_size)
        plan = [("paced 100 Hz", 1)] + [("saturated", count) for count in streams]
        for kind, count in plan:
            runs: dict[str, list[Load]] = {"controller": [], "echo": []}
            for pair in range(pairs):
                order = [("controller", target), ("echo", echo)]
                for name, one in order if pair % 2 else reversed(order):
                    if kind == "saturated":
                        runs[name].append(await saturated(one, count, seconds))
                    else:
                        runs[name].append(await paced(one, count, 100.0, seconds))
            yield {"load": kind, "streams": count, "pairs": pairs, **_summary(runs)}


def _summary(runs: dict[str, list[Load]]) -> dict:
    controller, echo = (np.array(runs[name]) for name in ("controller", "echo"))
    found: dict = {
        name: Load(*np.median(np.array(loads), axis=0).tolist())._asdict() for name, loads in runs.items()
    }
    found["ratio"] = Load(*np.median(controller / echo, axis=0).tolist())._asdict()
    return found
