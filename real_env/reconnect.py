"""Waiting for a server that is not there yet: say so once, back off, try again."""

from collections.abc import Callable, Iterator

import grpc

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 2.0
CHANNEL_OPTIONS = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


def back_off() -> Iterator[float]:
    """Yield waits [s] that double from 0.1 to 2."""
    wait = FIRST_WAIT_S
    while True:
        yield wait
        wait = min(2.0 * wait, LONGEST_WAIT_S)


def reason(error: grpc.RpcError) -> str:
    """Return the status and details of `error` in one line."""
    if not isinstance(error, grpc.Call):
        return str(error)
    details = (error.details() or "").splitlines() or [""]
    return f"{error.code().name.lower()}: {details[0]}"


def retryable(error: grpc.RpcError) -> bool:
    """Return whether trying again later can help."""
    codes = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
    return isinstance(error, grpc.Call) and error.code() in codes


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
