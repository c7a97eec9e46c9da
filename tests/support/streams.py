"""A Control stream, driven step by step, and waiting for a condition."""

import queue
import time
from collections.abc import Callable

import numpy as np

from protos.hds import v1
from tests.support.published import TASK
from trainer.client import TrainerClient

WAIT_S = 30.0


PLANT = v1.PlantSpec(
    name="test", state_names=TASK.state_names, action_names=TASK.action_names, control_dt_s=TASK.control_dt
)


def eventually(condition: Callable[[], bool]) -> None:
    """Return once `condition` holds; fail after 30 s."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"


class Stream:
    """One Control stream, driven step by step."""

    def __init__(
        self, stub: v1.PolicyServiceStub, plant: v1.PlantSpec = PLANT, pin: str = "", task: str = TASK.name
    ) -> None:
        self._requests: queue.SimpleQueue[v1.ControlRequest | None] = queue.SimpleQueue()
        self._responses = stub.Control(iter(self._requests.get, None))
        self.greeting = self.send(
            v1.ControlRequest(hello=v1.Hello(plant=plant, client="test", policy_version=pin, task=task))
        )

    def send(self, request: v1.ControlRequest) -> v1.ControlResponse:
        self._requests.put(request)
        return next(self._responses)

    def observe(self, sequence: int, x: np.ndarray) -> v1.ControlResponse:
        return self.send(v1.ControlRequest(observation=v1.Observation(sequence=sequence, x=x)))

    def close(self) -> None:
        self._requests.put(None)


def served(stub: v1.PolicyServiceStub, version: str) -> bool:
    return stub.Describe(v1.DescribeRequest()).policy.version == version


def move(trainer: str, version: str) -> None:
    client = TrainerClient(trainer)
    client.call(client.registry.SetLabel, v1.SetLabelRequest(label="stable", version=version))
