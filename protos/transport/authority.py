"""The interceptor that lets a call through only with a token, or a certificate, that has its right."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import grpc

from protos.transport.around import wrapped
from protos.transport.rights import OPEN, needed
from protos.transport.tokens import Grant, TokenFile

HEADER, SCHEME = "authorization", "Bearer "
Refusal = tuple[grpc.StatusCode, str] | None


class Authority(grpc.aio.ServerInterceptor):
    """Asks each call for a token or a listed certificate, once, as it begins."""

    def __init__(self, tokens: TokenFile) -> None:
        self._tokens = tokens

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """Return the call's handler, or one that asks for more first and refuses without it."""
        handler, call = await continuation(handler_call_details), cast(Any, handler_call_details)
        if handler is None or call.method in OPEN:
            return handler
        given = dict(call.invocation_metadata).get(HEADER, "")
        if not isinstance(given, str) or not given.startswith(SCHEME):
            return _checking(handler, lambda context: self._by_certificate(call.method, context))
        grant = self._tokens.find(given.removeprefix(SCHEME))
        if grant is None:
            refusal = (grpc.StatusCode.UNAUTHENTICATED, "the token is not known here")
        else:
            refusal = _denied(f"token {grant.name!r}", grant, call.method)
        return handler if refusal is None else _checking(handler, lambda context: refusal)

    def _by_certificate(self, method: str, context: grpc.aio.ServicerContext) -> Refusal:
        """Return why the holder of the connection's certificate must not call `method`; None if it may."""
        names = context.auth_context().get("x509_common_name", [])
        for name in (raw.decode(errors="replace") for raw in names):
            grant = self._tokens.of_certificate(name)
            if grant is not None:
                return _denied(f"certificate {name!r}", grant, method)
        why = "this server asks for a token (clients of HDS: --access.token-file)"
        return grpc.StatusCode.UNAUTHENTICATED, why


def _denied(who: str, grant: Grant, method: str) -> Refusal:
    rights = needed(method)
    if grant.rights & rights:
        return None
    has, needs = (", ".join(sorted(some)) for some in (grant.rights, rights))
    why = f"{who} has the rights: {has}; {method} needs one of: {needs}"
    return grpc.StatusCode.PERMISSION_DENIED, why


def _checking(
    handler: grpc.RpcMethodHandler, refusal: Callable[[grpc.aio.ServicerContext], Refusal]
) -> grpc.RpcMethodHandler:
    """Return a handler of the same kind that refuses a call before its first message, or lets it through."""

    @contextlib.asynccontextmanager
    async def checked(context: grpc.aio.ServicerContext) -> AsyncIterator[None]:
        why = refusal(context)
        if why is not None:
            await context.abort(*why)
        yield

    return wrapped(handler, checked)
