"""Server interceptor for authentication, authorisation and rate limits.

A call needs a token or a certificate that has the right for its method. A server without tokens and client
certificates accepts every caller. Each authenticated caller has a budget of its own; all others share a small
one. `watch` ends open calls whose token or certificate is revoked.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc

from protos.security.budget import Budget, SlowRefusals, UsedUp
from protos.security.caller import ANYBODY, Caller, answering, peer_of
from protos.security.rights import OPEN, needed
from protos.security.tokens import Grant, TokenFile
from protos.security.trust import TrustedCertificates
from protos.security.wrap_handler import wrap_handler

LOG = logging.getLogger("security")
HEADER, SCHEME = "authorization", "Bearer "
WATCH_S, LOOK_S = 1.0, 3.0
TOGETHER = 10
"""Open calls that are checked in one turn of the event loop."""
KEPT = 1_000
"""Budgets kept in memory. The oldest one of a caller without an open call is dropped first."""
Refusal = tuple[grpc.StatusCode, str]


@dataclass(frozen=True)
class Bounds:
    """Limits of callers.

    Attributes:
        unknown: concurrent calls of all unauthenticated callers together.
        unknown_by_host: concurrent calls of the unauthenticated callers on one host.
        unknown_per_s: calls per second of all unauthenticated callers together.
        known: concurrent calls of one token or certificate; of all callers if the server asks for neither.
        known_per_s: calls per second of one token or certificate.
    """

    unknown: int = 64
    unknown_by_host: int = 32
    unknown_per_s: float = 20.0
    known: int = 1_000
    known_per_s: float = 200.0


@dataclass(eq=False)
class _Open:
    """An open call: `refusal()` checks it again, `ended` is the status it was ended with."""

    task: asyncio.Task[Any]
    refusal: Callable[[], Refusal | None]
    ended: Refusal | None = None


class AuthInterceptor(grpc.aio.ServerInterceptor):
    """Authenticates each call when it begins and while it is open. Belongs to one event loop."""

    def __init__(
        self,
        tokens: TokenFile | None,
        trusted: TrustedCertificates | None,
        bounds: Bounds | None = None,
    ) -> None:
        """Require `tokens`, or certificates of `trusted`; accept every caller if both are None."""
        self._tokens, self._trusted = tokens, trusted
        self._bounds = bounds or Bounds()
        b = self._bounds
        whose = "whoever shows no token"
        self._unknown = Budget(whose, b.unknown, b.unknown_per_s, b.unknown, b.unknown_by_host)
        self._known: dict[str, Budget] = {}
        self._refusals = SlowRefusals()
        self._open: set[_Open] = set()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """Return the handler of the call, wrapped in its authentication."""
        handler, call = await continuation(handler_call_details), handler_call_details
        if handler is None:
            return None
        method: str = call.method  # pyright: ignore[reportAttributeAccessIssue]
        metadata: Any = call.invocation_metadata  # pyright: ignore[reportAttributeAccessIssue]
        given = dict(metadata or ()).get(HEADER, "")
        token = given.removeprefix(SCHEME) if isinstance(given, str) and given.startswith(SCHEME) else ""
        return wrap_handler(handler, lambda context: self._around(context, method, token))

    async def watch(self) -> None:
        """End calls whose token or certificate is no longer valid, forever.

        Open calls are checked when a file has changed, and every few seconds, because certificates expire.
        """
        seen, looked = self._readings(), time.monotonic()
        while True:
            await asyncio.sleep(WATCH_S)
            now, readings = time.monotonic(), self._readings()
            if readings != seen or now - looked > LOOK_S:
                seen, looked = readings, now
                await self._end_refused()

    def _readings(self) -> list[int]:
        """Return how often each file was read; read those that have changed."""
        return [file.readings() for file in (self._tokens, self._trusted) if file is not None]

    async def _end_refused(self) -> None:
        for number, call in enumerate(list(self._open)):
            if call.ended is None and (why := call.refusal()) is not None:
                call.ended = why
                call.task.cancel()
            if number % TOGETHER == TOGETHER - 1:
                await asyncio.sleep(0)  # let other calls run

    @contextlib.asynccontextmanager
    async def _around(
        self, context: grpc.aio.ServicerContext, method: str, token: str
    ) -> AsyncIterator[None]:
        task = asyncio.current_task()
        assert task is not None, "a call is answered by a task"
        peer = peer_of(context.peer())
        name, refusal = self._judged(context, method, token)
        who = Caller(name, peer, bool(name))
        budget = self._budget(who)
        try:
            turn = budget.enter(who.host)
        except UsedUp as error:
            LOG.warning("a call of %s is refused: %s", method, error)
            await self._refuse(context, (grpc.StatusCode.RESOURCE_EXHAUSTED, str(error)))
            return
        call = _Open(task, lambda: self._judged(context, method, token)[1])
        try:
            if refusal is not None:
                await self._refuse(context, refusal)
            if turn:
                await asyncio.sleep(turn)
            answering(who)
            self._open.add(call)
            yield
        except asyncio.CancelledError:
            if call.ended is None:
                raise
            LOG.warning("a call of %s by %s is ended: %s", method, name, call.ended[1])
            await context.abort(*call.ended)
        finally:
            self._open.discard(call)
            budget.leave(who.host)

    async def _refuse(self, context: grpc.aio.ServicerContext, refusal: Refusal) -> None:
        await self._refusals.wait()
        await context.abort(*refusal)

    def _judged(
        self, context: grpc.aio.ServicerContext, method: str, token: str
    ) -> tuple[str, Refusal | None]:
        """Return the caller's name, empty if unknown, and why the call is refused, None if it is allowed."""
        if self._trusted is not None and (untrusted := self._trusted.why_not(context)):
            return "", (grpc.StatusCode.UNAUTHENTICATED, untrusted)
        if self._tokens is None:
            return _common_name(context) or ANYBODY, None
        if token:
            grant = self._tokens.find(token)
            who = f"token {grant.name!r}" if grant else ""
            unknown = "the token is not known here"
        else:
            who, grant = self._of_certificate(self._tokens, context)
            unknown = "this server asks for a token (clients of HDS: --access.token-file)"
        if method in OPEN:
            return who, None
        if grant is None:
            return "", (grpc.StatusCode.UNAUTHENTICATED, unknown)
        return who, _denied(who, grant, method)

    @staticmethod
    def _of_certificate(tokens: TokenFile, context: grpc.aio.ServicerContext) -> tuple[str, Grant | None]:
        for name in _common_names(context):
            if (grant := tokens.of_certificate(name)) is not None:
                return f"certificate {name!r}", grant
        return "", None

    def _budget(self, who: Caller) -> Budget:
        if not who.known:
            return self._unknown
        found = self._known.get(who.name)
        if found is None:
            if len(self._known) >= KEPT:
                idle = next((name for name, budget in self._known.items() if not budget.open), None)
                if idle is not None:
                    del self._known[idle]
            b = self._bounds
            found = self._known[who.name] = Budget(who.name, b.known, b.known_per_s, int(b.known_per_s))
        return found


def _common_names(context: grpc.aio.ServicerContext) -> list[str]:
    return [raw.decode(errors="replace") for raw in context.auth_context().get("x509_common_name", [])]


def _common_name(context: grpc.aio.ServicerContext) -> str:
    names = _common_names(context)
    return f"certificate {names[0]!r}" if names else ""


def _denied(who: str, grant: Grant, method: str) -> Refusal | None:
    rights = needed(method)
    if grant.rights & rights:
        return None
    has, needs = (", ".join(sorted(some)) for some in (grant.rights, rights))
    why = f"{who} has the rights: {has}; {method} needs one of: {needs}"
    return grpc.StatusCode.PERMISSION_DENIED, why
