"""The interceptor that lets a call through only with a token that has its right."""

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc

from protos.transport.rights import OPEN, needed
from protos.transport.tokens import TokenFile

HEADER, SCHEME = "authorization", "Bearer "


class Authority(grpc.aio.ServerInterceptor):
    """Asks each call for a token, once, as it begins; messages on a stream cost nothing more."""

    def __init__(self, tokens: TokenFile) -> None:
        self._tokens = tokens

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """Return the call's handler, or one that refuses it."""
        handler = await continuation(handler_call_details)
        refusal = self._refusal(handler_call_details)
        return handler if handler is None or refusal is None else _refusing(handler, *refusal)

    def _refusal(self, call: Any) -> tuple[grpc.StatusCode, str] | None:
        if call.method in OPEN:
            return None
        given = dict(call.invocation_metadata).get(HEADER, "")
        if not isinstance(given, str) or not given.startswith(SCHEME):
            why = "this server asks for a token (clients of HDS: --access.token-file)"
            return grpc.StatusCode.UNAUTHENTICATED, why
        grant = self._tokens.find(given.removeprefix(SCHEME))
        if grant is None:
            return grpc.StatusCode.UNAUTHENTICATED, "the token is not known here"
        rights = needed(call.method)
        if grant.rights & rights:
            return None
        has, needs = (", ".join(sorted(some)) for some in (grant.rights, rights))
        why = f"token {grant.name!r} has the rights: {has}; {call.method} needs one of: {needs}"
        return grpc.StatusCode.PERMISSION_DENIED, why


def _refusing(handler: Any, code: grpc.StatusCode, why: str) -> grpc.RpcMethodHandler:
    """Return a handler of the same kind that only refuses."""

    async def refuse(request: object, context: grpc.aio.ServicerContext) -> NoReturn:
        del request
        await context.abort(code, why)

    async def refuse_stream(request: object, context: grpc.aio.ServicerContext) -> Any:
        await refuse(request, context)
        yield

    kinds = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    kind = kinds[bool(handler.request_streaming), bool(handler.response_streaming)]
    behaviour: Any = refuse_stream if handler.response_streaming else refuse
    return kind(behaviour, handler.request_deserializer, handler.response_serializer)
