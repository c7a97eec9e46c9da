"""A handler of a call with something before, after or around it, whatever streams it has."""

import inspect
import traceback
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc

Around = Callable[[grpc.aio.ServicerContext], AbstractAsyncContextManager[None]]
"""`(context) -> what the handler runs inside of`; it may abort the call."""


def wrapped(handler: Any, around: Around) -> grpc.RpcMethodHandler:
    """Return a handler of the same kind that runs inside of `around`.

    A single request is parsed in there too: one that is refused costs no more than its bytes.
    """
    kind = f"{'stream' if handler.request_streaming else 'unary'}_"
    kind += "stream" if handler.response_streaming else "unary"
    inner = getattr(handler, kind)

    parse = None if handler.request_streaming else handler.request_deserializer

    async def parsed(request: Any, context: grpc.aio.ServicerContext) -> Any:
        try:
            return parse(request) if parse else request
        except Exception as error:  # whatever a parser raises at bytes that are no message
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"the request cannot be parsed ({type(error).__name__})"
            )

    async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:
        try:
            async with around(context):
                return await inner(await parsed(request, context), context)
        except grpc.aio.AbortError as error:
            _part_from_call(error)
            del request, context
            raise

    async def answer_stream(request: Any, context: grpc.aio.ServicerContext) -> Any:
        try:
            async with around(context):
                async for response in inner(await parsed(request, context), context):
                    yield response
        except grpc.aio.AbortError as error:
            _part_from_call(error)
            del request, context
            raise

    yields = inspect.isasyncgenfunction(inner)  # others write their responses to the context themselves
    behaviour: Any = answer_stream if yields else answer
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    native = None if parse else handler.request_deserializer
    return make(behaviour, native, handler.response_serializer)


def _part_from_call(error: BaseException) -> None:
    """Let go of a call that was aborted with `error`, but for what the caller's own frame holds.

    gRPC keeps the error with the call, and the error's traceback keeps the call: thousands of them would wait
    for the garbage collector, and then all of them would be freed while nobody is answered.
    """
    traceback.clear_frames(error.__traceback__)
    error.__traceback__ = error.__context__ = None
