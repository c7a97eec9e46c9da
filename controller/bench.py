"""Load on a controller, and the same on a bare echo service: latency, jitter, throughput.

Both get the same messages from the same client, turn by turn, so that what else the machine does meets
both. Paced: one observation per tick of each stream, as a plant asks. Saturated: each stream asks again as
soon as it is answered.
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

from controller import transport
from protos.hds import v1
from protos.security.client_security import ClientSecurity

WARM_UP, STREAMS_OF_CHANNEL = 50, 16


class Load(NamedTuple):
    """What one round of load saw.

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
class Asked:
    """Who is asked what: an address, the hello and the state to send, and how to get in."""

    address: str
    hello: v1.Hello
    state_size: int
    access: ClientSecurity = field(default_factory=ClientSecurity)


class _Stream:
    """One Control stream; the messages are the wire's, whoever answers."""

    def __init__(self, channel: grpc.aio.Channel, asked: Asked) -> None:
        self._call = v1.PolicyServiceStub(channel).Control()
        self._asked = asked
        self._x = np.linspace(-1.0, 1.0, asked.state_size).astype(np.float32)

    async def open(self) -> None:
        await self._call.write(v1.ControlRequest(hello=self._asked.hello))
        greeting = await self._call.read()
        if not isinstance(greeting, v1.ControlResponse):
            raise RuntimeError(f"the stream to {self._asked.address} ended: {await self._call.details()}")
        if greeting.HasField("error"):
            raise RuntimeError(f"{self._asked.address} answers: {greeting.error.message}")
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
            raise RuntimeError(f"{self._asked.address} answers {response}")
        return took

    def close(self) -> None:
        self._call.cancel()


async def paced(asked: Asked, streams: int, hertz: float, seconds: float) -> Load:
    """Ask at absolute ticks."""

    async def drive(stream: _Stream, offset: float) -> list[float]:
        start, seen = time.perf_counter() + offset, []
        for k in range(round(seconds * hertz)):
            await asyncio.sleep(max(0.0, start + k / hertz - time.perf_counter()))
            seen.append(await stream.ask(k))
        return seen

    return await _load(asked, streams, drive, 1.0 / hertz)


async def saturated(asked: Asked, streams: int, seconds: float) -> Load:
    """Ask as fast as it answers."""

    async def drive(stream: _Stream, offset: float) -> list[float]:
        del offset
        until, seen, k = time.perf_counter() + seconds, [], 0
        while time.perf_counter() < until:
            seen.append(await stream.ask(k))
            k += 1
        return seen

    return await _load(asked, streams, drive, 0.0)


async def _load(asked: Asked, count: int, drive, spread: float) -> Load:
    async with contextlib.AsyncExitStack() as opened:
        options = (("grpc.use_local_subchannel_pool", 1),)  # a connection of its own for each channel
        channels = [
            await opened.enter_async_context(asked.access.aio_channel(asked.address, options))
            for _ in range(-(-count // STREAMS_OF_CHANNEL))
        ]
        streams = [_Stream(channels[k // STREAMS_OF_CHANNEL], asked) for k in range(count)]
        try:
            await asyncio.gather(*(stream.open() for stream in streams))
            began = time.perf_counter()
            offsets = np.arange(count) * spread / count
            seen = await asyncio.gather(*(drive(s, o) for s, o in zip(streams, offsets, strict=True)))
            elapsed = time.perf_counter() - began
        finally:
            for stream in streams:
                stream.close()
    times = 1e3 * np.concatenate(seen)
    p50, p99, p999 = np.percentile(times, (50.0, 99.0, 99.9))
    return Load(p50, p99, p999, times.max(), times.std(), len(times) / elapsed)


async def asked_of(address: str, access: ClientSecurity) -> Asked:
    """Return what to send to the controller at `address`.

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
    return Asked(
        address, v1.Hello(plant=plant, client="bench", task=policy.task), len(policy.state_names), access
    )


class EchoProcess:
    """An echo service in a process of its own, bare or on the controller's transport settings."""

    def __init__(self, tuned: bool) -> None:
        self._tuned = tuned

    async def __aenter__(self) -> str:
        """Start it; return its address."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "controller.echo", stdout=asyncio.subprocess.PIPE,
            env={**os.environ, transport.NAME: transport.SETTING if self._tuned else ""},
        )  # fmt: skip
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().split()[-1]

    async def __aexit__(self, *_: object) -> None:
        """End it."""
        self._process.terminate()
        await self._process.wait()


async def compare(
    asked: Asked, streams: tuple[int, ...], pairs: int, seconds: float, tuned: bool = False
) -> AsyncIterator[dict]:
    """Yield one comparison after the other: the controller's and the echo's loads, pair by pair."""
    async with EchoProcess(tuned) as echo_address:
        echo = Asked(echo_address, asked.hello, asked.state_size)
        plan = [("paced 100 Hz", 1)] + [("saturated", count) for count in streams]
        for kind, count in plan:
            runs: dict[str, list[Load]] = {"controller": [], "echo": []}
            for pair in range(pairs):
                order = [("controller", asked), ("echo", echo)]
                for name, whom in order if pair % 2 else reversed(order):
                    if kind == "saturated":
                        runs[name].append(await saturated(whom, count, seconds))
                    else:
                        runs[name].append(await paced(whom, count, 100.0, seconds))
            yield {"load": kind, "streams": count, "pairs": pairs, **_summary(runs)}


def _summary(runs: dict[str, list[Load]]) -> dict:
    controller, echo = (np.array(runs[name]) for name in ("controller", "echo"))
    found: dict = {
        name: Load(*np.median(np.array(loads), axis=0).tolist())._asdict() for name, loads in runs.items()
    }
    found["ratio"] = Load(*np.median(controller / echo, axis=0).tolist())._asdict()
    return found
