"""A handler of a call with something before, after or around it, whatever streams it has."""

import inspect
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc

Around = Callable[[grpc.aio.ServicerContext], AbstractAsyncContextManager[None]]
"""`(context) -> what the handler runs inside of`; it may abort the call."""


def wrapped(handler: Any, around: Around) -> grpc.RpcMethodHandler:
    """Return a handler of the same kind that runs inside of `around`."""
    kind = f"{'stream' if handler.request_streaming else 'unary'}_"
    kind += "stream" if handler.response_streaming else "unary"
    inner = getattr(handler, kind)

    async def answer(request: object, context: grpc.aio.ServicerContext) -> Any:
        async with around(context):
            return await inner(request, context)

    async def answer_stream(request: object, context: grpc.aio.ServicerContext) -> Any:
        async with around(context):
            async for response in inner(request, context):
                yield response

    yields = inspect.isasyncgenfunction(inner)  # others write their responses to the context themselves
    behaviour: Any = answer_stream if yields else answer
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(behaviour, handler.request_deserializer, handler.response_serializer)
