"""Wrap an RPC handler of any arity in an async context manager."""

import inspect
import traceback
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc

Around = Callable[[grpc.aio.ServicerContext], AbstractAsyncContextManager[None]]
"""`(context) -> context manager` that the handler runs in; it may abort the call."""


def wrap_handler(handler: Any, around: Around) -> grpc.RpcMethodHandler:
    """Return a handler of the same arity that runs inside `around(context)`.

    A unary request is parsed inside as well, so that a rejected call costs no parsing.
    """
    kind = f"{'stream' if handler.request_streaming else 'unary'}_"
    kind += "stream" if handler.response_streaming else "unary"
    inner = getattr(handler, kind)

    parse = None if handler.request_streaming else handler.request_deserializer

    async def parsed(request: Any, context: grpc.aio.ServicerContext) -> Any:
        try:
            return parse(request) if parse else request
        except Exception as error:  # any error of a parser means that the bytes are no message
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"the request cannot be parsed ({type(error).__name__})"
            )

    async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:
        try:
            async with around(context):
                return await inner(await parsed(request, context), context)
        except grpc.aio.AbortError as error:
            _break_cycle(error)
            del request, context
            raise

    async def answer_stream(request: Any, context: grpc.aio.ServicerContext) -> Any:
        try:
            async with around(context):
                async for response in inner(await parsed(request, context), context):
                    yield response
        except grpc.aio.AbortError as error:
            _break_cycle(error)
            del request, context
            raise

    yields = inspect.isasyncgenfunction(inner)  # other handlers write to the context themselves
    behaviour: Any = answer_stream if yields else answer
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    native = None if parse else handler.request_deserializer
    return make(behaviour, native, handler.response_serializer)


def _break_cycle(error: BaseException) -> None:
    """Break the reference cycle between an aborted call and `error`; the caller's own frame is left to it.

    gRPC stores the error in the call, and the error's traceback refers to the call. Thousands of such cycles
    would be freed in one garbage collection, which stops all other work.
    """
    traceback.clear_frames(error.__traceback__)
    error.__traceback__ = error.__context__ = None
