"""The stream to the controller: observations out, actions back, reconnecting by itself."""

import queue
import threading
from collections.abc import Callable, Iterator

import grpc

from protos.hds import v1
from protos.transport.access import Access
from real_env.clock import Clock
from real_env.plant import PlantSpec
from real_env.reconnect import CHANNEL_OPTIONS, SayOnce, back_off, reason, retryable

FINAL = (v1.ERROR_CODE_SPEC_MISMATCH, v1.ERROR_CODE_NO_SUCH_VERSION)
"""Errors that asking again does not mend."""


class Refused(RuntimeError):
    """The controller answered that it can't serve this plant."""


class PolicyLink:
    """One `Control` stream at a time to the controller at `address`.

    A thread owns the stream. It greets with the plant's spec, passes answers on, and connects again
    with growing waits when the stream breaks. `ask` is called by the loop's thread only.
    """

    def __init__(
        self, address: str, access: Access, spec: PlantSpec, clock: Clock, say: Callable[[str], None],
        pin: str = "",
    ) -> None:  # fmt: skip
        """Connect; `pin` asks for one version of the policy, whatever the controller serves to others."""
        self.address = address
        self._pin = pin
        self._spec = spec
        self._clock = clock
        self._say = SayOnce(say)
        self._channel = access.channel(address, CHANNEL_OPTIONS)
        self._condition = threading.Condition()
        self._answer: v1.Action | v1.Error | None = None
        self._outbox: queue.SimpleQueue[v1.ControlRequest | None] | None = None
        self._welcome: v1.PolicyDescription | None = None
        self._refusal: str | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="policy-link", daemon=True)
        self._thread.start()

    def wait_until_served(self, timeout: float) -> v1.PolicyDescription | None:
        """Return the policy once the controller has welcomed the plant, None if not within `timeout` [s].

        Raises:
            Refused: the policy does not fit the plant, or the controller failed for good.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._welcome or self._refusal, timeout)
            if self._refusal is not None:
                raise Refused(self._refusal)
            return self._welcome

    def ask(self, observation: v1.Observation, until_ns: int) -> v1.Action | str:
        """Return the answer to `observation`, or why there is none by `until_ns` on the clock."""
        with self._condition:
            if self._outbox is None:
                self._clock.wait_for(self._condition, lambda: self._outbox is not None, until_ns)
            if self._outbox is None:
                return "the controller is not connected"
            self._answer = None
            self._outbox.put(v1.ControlRequest(observation=observation))
            answered = self._clock.wait_for(
                self._condition, lambda: self._is_for(observation.sequence), until_ns
            )
            if not answered:
                return "no answer came before the deadline"
            answer = self._answer
        return answer.message if isinstance(answer, v1.Error) else answer  # pyright: ignore[reportReturnType]

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
        while not self._stopping.is_set() and self._refusal is None:
            try:
                if self._stream_once():
                    waits = back_off()
            except grpc.RpcError as error:
                if self._stopping.is_set():
                    return
                if not retryable(error):
                    self._refuse(f"the controller at {self.address} failed: {reason(error)}")
                    return
                self._say(f"waiting for the controller at {self.address} ({reason(error)})")
            except ValueError:
                return  # the channel was closed under the stream
            self._stopping.wait(next(waits))

    def _stream_once(self) -> bool:
        """Serve one stream to its end; return whether the controller welcomed the plant."""
        outbox: queue.SimpleQueue[v1.ControlRequest | None] = queue.SimpleQueue()
        hello = v1.Hello(plant=self._spec.message(), client="real_env", policy_version=self._pin)
        outbox.put(v1.ControlRequest(hello=hello))
        try:
            for response in v1.PolicyServiceStub(self._channel).Control(_until_none(outbox)):
                if not self._take(response, outbox):
                    break
            return self._outbox is outbox
        finally:
            outbox.put(None)
            with self._condition:
                self._outbox = None
                self._condition.notify_all()

    def _take(self, response: v1.ControlResponse, outbox: queue.SimpleQueue) -> bool:
        """Take one response; return whether the stream goes on."""
        kind = response.WhichOneof("response")
        if kind == "error" and response.error.code in FINAL:
            self._refuse(response.error.message)
            return False
        if kind == "error" and response.error.code == v1.ERROR_CODE_NOT_READY and self._outbox is None:
            self._say(f"waiting for the controller at {self.address}: {response.error.message}")
            return False
        with self._condition:
            if kind == "welcome":
                self._welcome, self._outbox = response.welcome.policy, outbox
            else:
                self._answer = getattr(response, str(kind))
            self._condition.notify_all()
        return True

    def _refuse(self, message: str) -> None:
        with self._condition:
            self._refusal = message
            self._condition.notify_all()


def _until_none(items: queue.SimpleQueue) -> Iterator[v1.ControlRequest]:
    while (item := items.get()) is not None:
        yield item
