"""Answers calls with UNAVAILABLE while the database is unreachable or full."""

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc

from protos.security.wrap_handler import wrap_handler
from trainer.store.database import StoreUnavailable

log = logging.getLogger(__name__)


class UnavailableInterceptor(grpc.aio.ServerInterceptor):
    """Turns `StoreUnavailable` into the status UNAVAILABLE."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """Return the handler of the call, wrapped."""
        handler = await continuation(handler_call_details)
        return None if handler is None else wrap_handler(handler, _convert_errors)


@contextlib.asynccontextmanager
async def _convert_errors(context: grpc.aio.ServicerContext) -> AsyncIterator[None]:
    try:
        yield
    except StoreUnavailable as error:
        log.warning("%s", error)
        await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
