"""PolicyService: decode, ask the current policy, encode."""

from collections.abc import AsyncIterator

import grpc
import numpy as np

from controller.served_policy import ServedPolicy
from controller.slot import PolicySlot
from protos.hds import v1


class BadObservation(ValueError):
    """An observation that no policy may see."""


def decode(observation: v1.Observation, policy: ServedPolicy) -> np.ndarray:
    """Return what the policy sees, x[n] or (x, u_last)[n + m], float32.

    Raises:
        BadObservation: naming the component, if the size is wrong or a number is not finite.
    """
    x = np.asarray(observation.x, np.float32)
    if x.shape != (policy.state_size,):
        raise BadObservation(f"the observation has {x.size} numbers; the policy needs {policy.state_size}")
    if not np.all(np.isfinite(x)):
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


class PolicyService(v1.PolicyServiceServicer):
    """Actions of the policy in `slot`; a lone call runs inline, which takes some tens of microseconds."""

    def __init__(self, slot: PolicySlot, label: str) -> None:
        self._slot = slot
        self._label = label

    def _not_ready(self) -> str:
        version, why = self._slot.refused
        if version:
            return f"no policy is served: {version[:12]} was refused ({why})"
        return f"no policy is loaded yet; label {self._label!r} is awaited"

    async def Control(
        self, request_iterator: AsyncIterator[v1.ControlRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[v1.ControlResponse]:
        """Serve one plant until it ends the stream."""
        del context
        plant: v1.PlantSpec | None = None
        async for request in request_iterator:
            kind = request.WhichOneof("request")
            if kind == "hello" and plant is None:
                response = self._greet(request.hello)
                plant = request.hello.plant if response.HasField("welcome") else None
                yield response
            elif kind == "observation" and plant is not None:
                yield self._answer(request.observation, plant)
            else:
                what = "a second hello" if plant is not None else "an observation before a hello was welcomed"
                yield _error(v1.ERROR_CODE_OUT_OF_ORDER, f"{what} came", request.observation.sequence)

    async def Act(self, request: v1.ActRequest, context: grpc.aio.ServicerContext) -> v1.ActResponse:
        """Answer a batch of independent observations with one version."""
        policy = self._slot.current
        if policy is None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, self._not_ready())
        try:
            x = [decode(observation, policy) for observation in request.observations]
        except BadObservation as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        if not x:
            return v1.ActResponse()
        actions = policy.act(np.stack(x))
        pairs = zip(request.observations, actions, strict=True)
        return v1.ActResponse(actions=[_action(observation, u, policy) for observation, u in pairs])

    async def Describe(
        self, request: v1.DescribeRequest, context: grpc.aio.ServicerContext
    ) -> v1.DescribeResponse:
        """Say which policy is served."""
        del request, context
        policy, (refused, why) = self._slot.current, self._slot.refused
        return v1.DescribeResponse(
            ready=policy is not None,
            policy=policy.description() if policy else None,
            label=self._label,
            refused_version=refused,
            refusal=why,
        )

    def _greet(self, hello: v1.Hello) -> v1.ControlResponse:
        policy = self._slot.current
        if policy is None:
            return _error(v1.ERROR_CODE_NOT_READY, self._not_ready())
        if why := policy.mismatch(hello.plant):
            return _error(v1.ERROR_CODE_SPEC_MISMATCH, why)
        return v1.ControlResponse(welcome=v1.Welcome(policy=policy.description()))

    def _answer(self, observation: v1.Observation, plant: v1.PlantSpec) -> v1.ControlResponse:
        policy = self._slot.current
        assert policy is not None, "a welcomed plant has a policy, and policies are never taken away"
        if why := policy.mismatch(plant):
            return _error(v1.ERROR_CODE_SPEC_MISMATCH, why, observation.sequence)
        try:
            x = decode(observation, policy)
        except BadObservation as error:
            return _error(v1.ERROR_CODE_BAD_OBSERVATION, str(error), observation.sequence)
        return v1.ControlResponse(action=_action(observation, policy.act(x[None])[0], policy))


def _action(observation: v1.Observation, u: np.ndarray, policy: ServedPolicy) -> v1.Action:
    return v1.Action(
        sequence=observation.sequence,
        u=u,
        policy_version=policy.version,
        deadline_ns=observation.deadline_ns,
    )
