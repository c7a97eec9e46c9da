"""Waiting for a server that is not there yet: say so once, back off, try again."""

from collections.abc import Callable, Iterator

import grpc

from protos.operation import supervisor
from protos.operation.text import printable, shortened

LONGEST_WAIT_S = 2.0
CHANNEL_OPTIONS = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


def back_off() -> Iterator[float]:
    """Yield waits [s] that double from 0.1 to 2."""
    return supervisor.back_off(LONGEST_WAIT_S)


def reason(error: grpc.RpcError) -> str:
    """Return the status and details of `error` in one line."""
    if not isinstance(error, grpc.Call):
        return str(error)
    details = (error.details() or "").splitlines() or [""]
    return f"{error.code().name.lower()}: {printable(shortened(details[0], 500))}"


FINAL = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
"""What stays as it is however often one asks; a server that is away, overloaded or faulty comes back."""
RIGHTS = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})


def retryable(error: grpc.RpcError, was_let_in: bool = False) -> bool:
    """Return whether trying again later can help.

    Who was let in before may be again, once a token or a certificate has been renewed on both sides.
    """
    if not isinstance(error, grpc.Call):
        return False
    return error.code() not in FINAL and (was_let_in or error.code() not in RIGHTS)


class SayOnce:
    """Pass a message on unless it equals the one before it."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._last = ""

    def __call__(self, message: str) -> None:
        """Say `message` if it is new."""
        if message != self._last:
            self._last = message
            self._say(message)
