"""Arbitrary messages and bytes at every call of both servers; afterwards valid ones still work."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protos.hds import v1
from tests.fuzzing import messages
from tests.support.programs import Programs, ready
from tests.support.published import TASK, publish_policy
from tests.support.streams import PLANT, Stream, eventually, served

FILES = (v1.DescribeRequest, v1.AppendRequest, v1.StartRefitRequest, v1.ListPoliciesRequest)
METHODS: dict[str, Any] = {
    f"{service.name}.{method.name}": method
    for kind in FILES
    for service in kind.DESCRIPTOR.file.services_by_name.values()
    for method in service.methods
}
KNOWN = {
    "state_names": list(TASK.state_names),
    "action_names": list(TASK.action_names),
    "control_dt_s": [TASK.control_dt],
    "session": [""],
    "sequence": [0, 1],
    "purpose": [1, 2],
    "label": ["stable"],
}
QUICK, THOROUGH = 100, 6_000
GREETING = v1.ControlRequest(hello=v1.Hello(plant=PLANT))
X = np.array([0.1, 2.0, 0.3, -1.0], np.float32)
CALL_S = 20.0


class Servers:
    """A trainer and a controller, and what they answer to anything."""

    def __init__(self, trainer: grpc.Channel, controller: grpc.Channel) -> None:
        self.trainer, self.controller = trainer, controller

    def send(self, method: MethodDescriptor, requests: list[bytes]) -> grpc.StatusCode:
        """Send bytes to a method and read all it answers; fail if it neither answers nor ends."""
        service = method.containing_service
        channel = self.controller if service.name.startswith("Policy") else self.trainer
        kind = f"{'stream' if method.client_streaming else 'unary'}_"
        kind += "stream" if method.server_streaming else "unary"
        answer = GetMessageClass(method.output_type).FromString
        call = getattr(channel, kind)(f"/{service.full_name}/{method.name}", lambda data: data, answer)
        for request in [iter(requests)] if method.client_streaming else requests:
            try:
                found = call(request, timeout=CALL_S)
                if method.server_streaming:
                    if method.name.startswith("Watch"):
                        next(found, None)
                        found.cancel()
                    else:
                        list(found)
            except grpc.RpcError as error:
                code = error.code()  # pyright: ignore[reportAttributeAccessIssue]
                if code == grpc.StatusCode.DEADLINE_EXCEEDED and not method.name.startswith("Watch"):
                    pytest.fail(f"{method.name} hangs at {request!r}")
                if code == grpc.StatusCode.UNAVAILABLE and "no policy" not in str(error.details()):  # pyright: ignore
                    pytest.fail(f"{method.name} ended the server at {request!r}: {error}")
        return grpc.StatusCode.OK

    def still_work(self) -> None:
        """Fail unless valid messages are answered as before, and nothing is left of the others."""
        stream = Stream(v1.PolicyServiceStub(self.controller))
        assert stream.greeting.HasField("welcome")
        assert stream.observe(7, X).action.sequence == 7
        stream.close()
        describe = v1.PolicyServiceStub(self.controller).Describe
        eventually(lambda: describe(v1.DescribeRequest()).streams == 0)
        session = v1.Session(id="valid", task=TASK.name, plant=PLANT)
        stub = v1.ExperienceServiceStub(self.trainer)
        stored = stub.GetWatermark(v1.GetWatermarkRequest(session="valid")).next_sequence
        row = v1.Transition(
            sequence=stored, x=[0.0] * 4, x_next=[0.0] * 4, u_applied=[0.0], purpose=v1.PURPOSE_COLLECT,
            action_source=v1.ACTION_SOURCE_POLICY,
        )  # fmt: skip
        batch = v1.AppendRequest(session=session, transitions=[row])
        assert next(iter(stub.Append(iter([batch])))).next_sequence == stored + 1


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    root: Path = tmp_path_factory.mktemp("fuzzing")
    programs = Programs(root)
    version = publish_policy(root / "trainer", seed=1)
    try:
        trainer, _, controller = programs.both()
        channels = ready(trainer), ready(controller)
        eventually(lambda: served(v1.PolicyServiceStub(channels[1]), version))
        yield Servers(*channels)
    finally:
        programs.close()


def requests_of(method: MethodDescriptor) -> st.SearchStrategy[list[bytes]]:
    """Return lists of messages as bytes, some damaged; streams of actions often begin with a hello."""
    whole = messages(method.input_type, KNOWN).map(lambda message: message.SerializeToString())
    anything = st.lists(st.one_of(whole, whole, whole, st.binary(max_size=60)), min_size=1, max_size=3)
    if method.name != "Control":
        return anything
    greeting = GREETING.SerializeToString()
    return st.tuples(st.booleans(), anything).map(lambda t: [greeting] * t[0] + t[1])


def examples(count: int) -> Callable:
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return settings(max_examples=count, deadline=None, suppress_health_check=slow, database=None)


@pytest.mark.parametrize("name", METHODS)
def test_anything_at_any_call_is_answered_and_valid_messages_still_work(name: str, servers: Servers) -> None:
    fuzz(name, servers, QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_a_hundred_thousand_messages_end_nothing(name: str, servers: Servers) -> None:
    fuzz(name, servers, THOROUGH)


def fuzz(name: str, servers: Servers, count: int) -> None:
    method, sent = METHODS[name], []

    @examples(count)
    @given(requests=requests_of(method))
    def send(requests: list[bytes]) -> None:
        servers.send(method, requests)
        sent.append(len(requests))

    send()
    assert len(sent) >= count // 10
    servers.still_work()
