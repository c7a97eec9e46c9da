"""PolicyService: decode observations, compute actions, encode answers."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np

from controller.batcher import SLOW_S, Batcher, Stale
from controller.loaded_policies import LoadedPolicies
from controller.loader import PolicyLoader, PolicyRejected
from controller.metrics import Metrics
from controller.served_policy import ServedPolicy
from controller.shadow import Shadow
from protos.hds import v1

LOG = logging.getLogger("controller")
HELLO_S = 10.0
IDLE_S = 600.0
WATCH_S = 1.0
MOST_TOGETHER = 256
ACT_PART, ACT_SHARE = 32, 0.2
"""Observations of an `Act` in one turn, and the share of time that these may take while streams are open."""


class BadObservation(ValueError):
    """An observation that no policy may see."""


def decode_observation(observation: v1.Observation, policy: ServedPolicy) -> np.ndarray:
    """Return what the policy sees, x[n] or (x, u_last)[n + m], float32.

    Raises:
        BadObservation: naming the component, if the size is wrong or a number is not finite.
    """
    numbers = observation.x[:]
    x = np.array(numbers, np.float32)
    if x.shape != (policy.state_size,):
        raise BadObservation(f"the observation has {x.size} numbers; the policy needs {policy.state_size}")
    if not all(map(math.isfinite, numbers)):
        at = int(np.argmin(np.isfinite(x)))
        raise BadObservation(f"{policy.metadata.state_names[at]} is {x[at]}; every state must be finite")
    return x if policy.input_size == policy.state_size else np.concatenate([x, _last(observation, policy)])


def _last(observation: v1.Observation, policy: ServedPolicy) -> np.ndarray:
    """Return the action applied last [m], zero at the start of an episode."""
    last = np.asarray(observation.u_last or np.zeros(policy.action_size), np.float32)
    if last.shape != (policy.action_size,) or not np.all(np.abs(last) <= 1.0):
        raise BadObservation(
            f"u_last must be empty or {policy.action_size} numbers in [-1, 1]; got {last.tolist()}"
        )
    return last


def _error(code: v1.ErrorCode, message: str, sequence: int = 0) -> v1.ControlResponse:
    return v1.ControlResponse(error=v1.Error(code=code, message=message, sequence=sequence))


@dataclass(eq=False)
class Stream:
    """State of one plant's stream, which no other stream shares."""

    task: asyncio.Task
    seen: float
    client: str = ""
    plant: v1.PlantSpec | None = None
    pinned: ServedPolicy | None = None
    fits: ServedPolicy | None = None
    """The policy that was last checked against the plant."""
    named_task: str = ""
    """The task named in the hello; empty if none."""
    fallbacks: int = 0
    """Consecutive fallback ticks, as reported last."""
    idle: bool = False


class PolicyService(v1.PolicyServiceServicer):
    """Actions of the current policy, or of the policy that a stream is pinned to."""

    def __init__(
        self, policies: LoadedPolicies, loader: PolicyLoader, batcher: Batcher, metrics: Metrics, label: str,
        max_streams: int, warnings: Callable[[], list[str]] = list,
    ) -> None:  # fmt: skip
        self.shadow: Shadow | None = None
        self._policies = policies
        self._loader = loader
        self._batcher = batcher
        self._metrics = metrics
        self._label = label
        self._max_streams = max_streams
        self._warnings = warnings
        self._streams: set[Stream] = set()
        self._acting = asyncio.Lock()

    async def watch(self) -> None:
        """End idle streams, forever: 10 s without a hello, 10 min without an observation."""
        while True:
            await asyncio.sleep(WATCH_S)
            now = time.perf_counter()
            for stream in self._streams:
                if now - stream.seen > (HELLO_S if stream.plant is None else IDLE_S):
                    stream.idle = True
                    stream.task.cancel()

    def dry_run(self) -> None:
        """Compute an action from request bytes to response bytes, and discard it."""
        policy = self._policies.current
        if policy is None or policy.seconds >= SLOW_S:
            return
        request = v1.Observation(x=[0.0] * policy.state_size).SerializeToString()
        observation = v1.Observation.FromString(request)
        u = policy.act(decode_observation(observation, policy)[None])[0].tolist()
        if is_valid_action(u):
            _response(observation, u, policy).SerializeToString()

    async def Control(
        self, request_iterator: AsyncIterator[v1.ControlRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[v1.ControlResponse]:
        """Serve one plant until it ends the stream."""
        if len(self._streams) >= self._max_streams:
            message = (
                f"{self._max_streams} streams are open, which is the most (--max-streams); try again later"
            )
            await context.abort(grpc.StatusCode.UNAVAILABLE, message)
        task = asyncio.current_task()
        assert task is not None
        stream = Stream(task, time.perf_counter())
        try:
            with self._open(stream):
                async for request in request_iterator:
                    stream.seen = time.perf_counter()
                    yield await self._respond(request, stream)
        except asyncio.CancelledError:
            if not stream.idle:
                raise
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the stream was idle for too long")

    async def Act(self, request: v1.ActRequest, context: grpc.aio.ServicerContext) -> v1.ActResponse:
        """Answer a batch of independent observations with one policy."""
        policy, asked = self._policies.current, len(request.observations)
        if policy is None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, self._not_ready())
        if asked > MOST_TOGETHER:
            why = f"{asked} observations came in one call; the most is {MOST_TOGETHER}: others wait meanwhile"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, why)
        if not asked:
            return v1.ActResponse()
        try:
            async with self._acting:
                parts = [
                    await self._acted(request.observations[at : at + ACT_PART], policy)
                    for at in range(0, asked, ACT_PART)
                ]
        except BadObservation as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        actions = np.concatenate(parts)
        if not is_valid_action(actions.ravel().tolist()):
            await context.abort(grpc.StatusCode.INTERNAL, _not_usable(policy, actions))
        pairs = zip(request.observations, actions.tolist(), strict=True)
        return v1.ActResponse(actions=[_fields(observation, u, policy) for observation, u in pairs])

    async def _acted(self, observations: Sequence[v1.Observation], policy: ServedPolicy) -> np.ndarray:
        """Return u[B, m] for a part of a batch. While streams are open, sleep to leave them most of the time.

        Raises:
            BadObservation: an observation is invalid.
        """
        began = time.perf_counter()
        x = np.stack([decode_observation(observation, policy) for observation in observations])
        u = await self._batcher.act_batch(policy, x)
        if self._streams:
            await asyncio.sleep((1.0 / ACT_SHARE - 1.0) * (time.perf_counter() - began))
        return u

    async def Describe(
        self, request: v1.DescribeRequest, context: grpc.aio.ServicerContext
    ) -> v1.DescribeResponse:
        """Describe the served policy."""
        del request, context
        policy, (refused, why) = self._policies.current, self._policies.refused
        return v1.DescribeResponse(
            ready=policy is not None,
            policy=policy.description() if policy else None,
            label=self._label,
            refused_version=refused,
            refusal=why,
            loaded_versions=self._policies.loaded(),
            previous_version=self._policies.previous.version if self._policies.previous else "",
            shadow=self.shadow.message() if self.shadow else None,
            streams=len(self._streams),
            troubles=self._warnings(),
        )

    @contextlib.contextmanager
    def _open(self, stream: Stream) -> Iterator[None]:
        """Register `stream`, and release its pin at the end."""
        self._streams.add(stream)
        self._metrics.streams.inc()
        try:
            with self._batcher.stream():
                yield
        finally:
            self._streams.discard(stream)
            self._metrics.streams.dec()
            if stream.pinned is not None:
                self._policies.unpin(stream.pinned.version)

    def _respond(self, request: v1.ControlRequest, stream: Stream) -> Awaitable[v1.ControlResponse]:
        kind = request.WhichOneof("request")
        if kind == "observation" and stream.plant is not None:
            return self._answer(request.observation, stream, stream.plant)
        if kind == "hello" and stream.plant is None:
            return self._greet(request.hello, stream)
        return self._out_of_order(request, stream)

    async def _out_of_order(self, request: v1.ControlRequest, stream: Stream) -> v1.ControlResponse:
        what = "a second hello" if stream.plant is not None else "an observation before a hello was welcomed"
        return _error(v1.ERROR_CODE_OUT_OF_ORDER, f"{what} came", request.observation.sequence)

    async def _greet(self, hello: v1.Hello, stream: Stream) -> v1.ControlResponse:
        policy = self._policies.current
        if hello.policy_version:
            stream.seen = math.inf  # loading may take long
            try:
                policy = await self._loader.load(hello.policy_version)
            except PolicyRejected as error:
                return _error(v1.ERROR_CODE_NO_SUCH_VERSION, str(error))
            finally:
                stream.seen = time.perf_counter()
        if policy is None:
            return _error(v1.ERROR_CODE_NOT_READY, self._not_ready())
        if wrong := _wrong_task(hello.task, policy):
            return _error(v1.ERROR_CODE_WRONG_TASK, wrong)
        if why := policy.mismatch(hello.plant):
            return _error(v1.ERROR_CODE_SPEC_MISMATCH, why)
        if not hello.task:
            LOG.warning("%r names no task; it is driven by %s's policy", hello.client, policy.metadata.task)
        if hello.policy_version:
            self._policies.pin(policy.version)
            stream.pinned = policy
        stream.plant, stream.client, stream.fits = hello.plant, hello.client, policy
        stream.named_task = hello.task
        return v1.ControlResponse(welcome=v1.Welcome(policy=policy.description()))

    async def _answer(
        self, observation: v1.Observation, stream: Stream, plant: v1.PlantSpec
    ) -> v1.ControlResponse:
        policy, received = stream.pinned or self._policies.current, stream.seen
        assert policy is not None, "a welcomed plant has a policy, and policies are never removed"
        if policy is not stream.fits:
            if wrong := _wrong_task(stream.named_task, policy):
                return _error(v1.ERROR_CODE_WRONG_TASK, wrong, observation.sequence)
            if why := policy.mismatch(plant):
                return _error(v1.ERROR_CODE_SPEC_MISMATCH, why, observation.sequence)
            stream.fits = policy
        try:
            x = decode_observation(observation, policy)
        except BadObservation as error:
            return _error(v1.ERROR_CODE_BAD_OBSERVATION, str(error), observation.sequence)
        counted, decoded = self._metrics.for_version(policy.version), time.perf_counter()
        self._batcher.note_arrival(received)
        u, deadline = self._batcher.try_act(policy, x), observation.deadline_ns * 1e-9
        if u is None:
            try:
                u = await self._batcher.act(policy, x, received, deadline)
            except Stale:
                counted.stale.inc()
                why = f"the deadline of {deadline * 1e3:g} ms passed before the observation's turn"
                return _error(v1.ERROR_CODE_STALE, why, observation.sequence)
        values = u.tolist()
        if not is_valid_action(values):
            return _error(v1.ERROR_CODE_BAD_ACTION, _not_usable(policy, u), observation.sequence)
        if self.shadow is not None:
            self.shadow.compare(stream.client, observation.sequence, x, u, policy.version)
        if observation.fallbacks != stream.fallbacks:
            told, stream.fallbacks = stream.fallbacks, observation.fallbacks
            counted.fallbacks.inc(stream.fallbacks - told if stream.fallbacks > told else stream.fallbacks)
        now = time.perf_counter()
        counted.seconds.note(decoded - received, now - decoded, now - received)
        if deadline and now - received > deadline:
            counted.late.inc()
        return _response(observation, values, policy, now - received)

    def _not_ready(self) -> str:
        version, why = self._policies.refused
        if version:
            return f"no policy is served: {version[:12]} was refused ({why})"
        return f"no policy is loaded yet; label {self._label!r} is awaited"


def is_valid_action(u: Iterable[float]) -> bool:
    """Return whether all components of u are finite and in [-1, 1]."""
    for component in u:  # noqa: SIM110 - a generator takes three times as long, at every action
        if not -1.0 <= component <= 1.0:
            return False
    return True


def _not_usable(policy: ServedPolicy, u: np.ndarray) -> str:
    return f"policy {policy.version[:12]} answers {u.tolist()}, which is not in [-1, 1]"


def _wrong_task(named: str, policy: ServedPolicy) -> str:
    """Return why `policy` does not serve a stream for the task `named`; empty if it does."""
    if not named or named == policy.metadata.task:
        return ""
    return (
        f"policy {policy.version[:12]} is of task {policy.metadata.task!r}, and the plant is driven for task "
        f"{named!r}; 'hds-controller serve --task {named}' serves that"
    )


def _fields(
    observation: v1.Observation, u: list[float], policy: ServedPolicy, seconds: float = 0.0
) -> dict[str, Any]:
    """Return the fields of an action. Passing them to the response saves one message."""
    return {
        "sequence": observation.sequence,
        "u": u,
        "policy_version": policy.version,
        "deadline_ns": observation.deadline_ns,
        "served_ns": int(1e9 * seconds),
    }


def _response(
    observation: v1.Observation, u: list[float], policy: ServedPolicy, seconds: float = 0.0
) -> v1.ControlResponse:
    return v1.ControlResponse(action=_fields(observation, u, policy, seconds))
