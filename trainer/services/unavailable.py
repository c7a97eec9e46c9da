"""A database that is away or full is told to whoever calls, as UNAVAILABLE: try again."""

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc

from protos.security.wrap_handler import wrap_handler
from trainer.store.database import StoreUnavailable

log = logging.getLogger(__name__)


class TellsUnavailable(grpc.aio.ServerInterceptor):
    """Ends a call with UNAVAILABLE where the store is."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """Return the call's handler, inside of what tells it."""
        handler = await continuation(handler_call_details)
        return None if handler is None else wrap_handler(handler, _telling)


@contextlib.asynccontextmanager
async def _telling(context: grpc.aio.ServicerContext) -> AsyncIterator[None]:
    try:
        yield
    except StoreUnavailable as error:
        log.warning("%s", error)
        await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
