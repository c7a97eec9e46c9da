"""Client of the controller: sends observations, receives actions, and reconnects."""

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import grpc

from protos.hds import v1
from protos.operation.supervisor import start_supervised_thread
from protos.security.client_security import ClientSecurity
from real_env.answers import Miss
from real_env.clock import Clock
from real_env.plant import PlantSpec
from real_env.reconnect import CHANNEL_OPTIONS, SayOnce, back_off, reason, retryable
from real_env.timing import CONTROLLER, NETWORK

FINAL = (v1.ERROR_CODE_SPEC_MISMATCH, v1.ERROR_CODE_NO_SUCH_VERSION, v1.ERROR_CODE_WRONG_TASK)
"""Errors after which retrying is useless."""
UNANSWERED = 256
"""Unanswered observations that are remembered."""


class PlantRejected(RuntimeError):
    """The controller cannot serve this plant."""


class PolicyClient:
    """One `Control` stream at a time to the controller at `address`.

    A thread owns the stream. It sends the plant's spec, receives answers, and reconnects with back-off when
    the stream breaks. Only the control loop's thread calls `act`.
    """

    def __init__(
        self, address: str, access: ClientSecurity, spec: PlantSpec, task: str, clock: Clock,
        say: Callable[[str], None], pin: str = "",
    ) -> None:  # fmt: skip
        """Connect for a policy of `task`; `pin` asks for a version, independent of the label."""
        self.address = address
        self._pin, self._task = pin, task
        self._spec = spec
        self._clock = clock
        self._say = SayOnce(say)
        self._channel = access.followed(address, CHANNEL_OPTIONS)
        self._condition = threading.Condition()
        self._answer: v1.Action | v1.Error | None = None
        self._outbox: queue.SimpleQueue[v1.ControlRequest | None] | None = None
        self._welcome: v1.PolicyDescription | None = None
        self._rejection: str | None = None
        self._stopping = threading.Event()
        self._asked: dict[int, tuple[int, int]] = {}
        """Send time and deadline [ns] of unanswered observations, by sequence number."""
        self._late: Counter[str] = Counter()
        self._thread = start_supervised_thread(
            "the stream to the controller", self._run, self._stopping, self._say
        )

    def wait_until_served(self, timeout: float) -> v1.PolicyDescription | None:
        """Return the policy once the controller has welcomed the plant, None if not within `timeout` [s].

        Raises:
            PlantRejected: the policy does not fit the plant, or the controller answered with a final status.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._welcome or self._rejection, timeout)
            if self._rejection is not None:
                raise PlantRejected(self._rejection)
            return self._welcome

    def act(self, observation: v1.Observation, until_ns: int) -> v1.Action | Miss:
        """Return the answer to `observation`, or a `Miss` if there is none by `until_ns` on the clock."""
        sequence = observation.sequence
        with self._condition:
            if self._outbox is None:
                self._clock.wait_for(self._condition, lambda: self._outbox is not None, until_ns)
            if self._outbox is None:
                return Miss("the controller is not connected")
            self._answer = None
            self._asked[sequence] = time.monotonic_ns(), observation.deadline_ns
            self._outbox.put(v1.ControlRequest(observation=observation))
            answered = self._clock.wait_for(self._condition, lambda: self._is_for(sequence), until_ns)
            if not answered:
                for forgotten in list(self._asked)[:-UNANSWERED]:
                    del self._asked[forgotten]
                return Miss("no answer came before the deadline")
            self._asked.pop(sequence, None)
            answer = self._answer
        assert answer is not None, "it is for this observation"
        return Miss(answer.message, CONTROLLER) if isinstance(answer, v1.Error) else answer

    def resolved(self) -> Counter[str]:
        """Return the causes of late answers that arrived since the last call."""
        with self._condition:
            late, self._late = self._late, Counter()
        return late

    def close(self) -> None:
        """End the stream and the thread."""
        self._stopping.set()
        with self._condition:
            if self._outbox is not None:
                self._outbox.put(None)
        self._channel.close()
        self._thread.join(timeout=1.0)

    def _is_for(self, sequence: int) -> bool:
        return self._answer is not None and self._answer.sequence == sequence

    def _run(self) -> None:
        waits = back_off()
        while not self._stopping.is_set() and self._rejection is None:
            try:
                if self._stream_once():
                    waits = back_off()
            except grpc.RpcError as error:
                if self._stopping.is_set():
                    return
                if not retryable(error, self._welcome is not None):
                    self._reject(f"the controller at {self.address} failed: {reason(error)}")
                    return
                self._say(f"waiting for the controller at {self.address} ({reason(error)})")
            except ValueError:
                return  # the channel was closed
            self._stopping.wait(next(waits))

    def _stream_once(self) -> bool:
        """Run one stream to its end; return whether the controller welcomed the plant."""
        outbox: queue.SimpleQueue[v1.ControlRequest | None] = queue.SimpleQueue()
        hello = v1.Hello(
            plant=self._spec.message(), client="real_env", policy_version=self._pin, task=self._task
        )
        outbox.put(v1.ControlRequest(hello=hello))
        try:
            for response in v1.PolicyServiceStub(self._channel.now()).Control(_until_none(outbox)):
                if not self._handle(response, outbox):
                    break
            return self._outbox is outbox
        finally:
            outbox.put(None)
            with self._condition:
                self._outbox = None
                self._condition.notify_all()

    def _handle(self, response: v1.ControlResponse, outbox: queue.SimpleQueue) -> bool:
        """Handle one response; return whether the stream continues."""
        kind = response.WhichOneof("response")
        if kind == "error" and response.error.code in FINAL:
            self._reject(response.error.message)
            return False
        if kind == "error" and response.error.code == v1.ERROR_CODE_NOT_READY and self._outbox is None:
            self._say(f"waiting for the controller at {self.address}: {response.error.message}")
            return False
        task = response.welcome.policy.task
        if kind == "welcome" and task != self._task:
            self._reject(
                f"the controller at {self.address} serves policy {response.welcome.policy.version[:12]} of "
                f"task {task!r}; this run is for task {self._task!r}: give --task {task}, or another "
                "--controller"
            )
            return False
        with self._condition:
            if kind == "welcome":
                self._welcome, self._outbox = response.welcome.policy, outbox
            else:
                self._answer = response.error if kind == "error" else response.action
                self._note_late(self._answer)
            self._condition.notify_all()
        return True

    def _note_late(self, answer: v1.Action | v1.Error) -> None:
        """Count the cause of an answer that arrived after its deadline."""
        asked_ns, deadline_ns = self._asked.get(answer.sequence, (0, 0))
        took_ns = time.monotonic_ns() - asked_ns
        if not asked_ns or took_ns <= deadline_ns:
            return
        del self._asked[answer.sequence]
        by_controller = isinstance(answer, v1.Error) or answer.served_ns > 0.5 * took_ns
        self._late[CONTROLLER if by_controller else NETWORK] += 1

    def _reject(self, message: str) -> None:
        with self._condition:
            self._rejection = message
            self._condition.notify_all()


def _until_none(items: queue.SimpleQueue) -> Iterator[v1.ControlRequest]:
    while (item := items.get()) is not None:
        yield item
