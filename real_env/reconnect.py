"""Reconnecting to a server: back-off, final statuses, and messages without repetition."""

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
"""Statuses after which retrying is useless."""
RIGHTS = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})


def retryable(error: grpc.RpcError, was_accepted: bool = False) -> bool:
    """Return whether a later retry can succeed.

    A client that was authenticated before may be again, once token or certificate have been renewed.
    """
    if not isinstance(error, grpc.Call):
        return False
    return error.code() not in FINAL and (was_accepted or error.code() not in RIGHTS)


class SayOnce:
    """Passes a message on unless it equals the previous one."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._last = ""

    def __call__(self, message: str) -> None:
        """Pass `message` on if it is new."""
        if message != self._last:
            self._last = message
            self._say(message)
