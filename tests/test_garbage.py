"""Calls leave nothing for the garbage collector that takes long to free."""

import asyncio
import collections
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import grpc
import pytest

from protos.hds import v1
from protos.operation import garbage_collection
from protos.security.auth_interceptor import Bounds
from protos.security.client_security import ClientSecurity
from protos.security.server_security import ServerSecurity
from trainer.services.unavailable import UnavailableInterceptor

CALLS = 20
OF_A_CALL = {"RPCState", "_ServicerContext", "frame", "traceback"}


class Service(v1.PolicyServiceServicer):
    async def Describe(self, request: v1.DescribeRequest, context: Any) -> v1.DescribeResponse:
        del request
        await context.abort(grpc.StatusCode.NOT_FOUND, "nothing is here")
        raise AssertionError("an aborted call goes on")

    async def Act(self, request: v1.ActRequest, context: Any) -> v1.ActResponse:
        del request, context
        await asyncio.sleep(3600.0)
        return v1.ActResponse()

    async def Control(
        self, request_iterator: AsyncIterator[v1.ControlRequest], context: Any
    ) -> AsyncIterator[v1.ControlResponse]:
        async for _ in request_iterator:
            yield v1.ControlResponse()
            await context.abort(grpc.StatusCode.ABORTED, "enough")


async def _describe(stub: Any) -> None:
    await stub.Describe(v1.DescribeRequest())


async def _act(stub: Any) -> None:
    await stub.Act(v1.ActRequest(), timeout=0.02)


async def _control(stub: Any) -> None:
    async for _ in stub.Control(iter([v1.ControlRequest()] * 2)):
        pass


@pytest.fixture
def kept() -> Iterator[list[Any]]:
    """Keep what the garbage collector finds."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield gc.garbage
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


async def _served(bounds: Bounds, call: Callable[[Any], Awaitable[None]]) -> None:
    security = ServerSecurity()
    server = security.server(security.auth_interceptor(bounds), interceptors=(UnavailableInterceptor(),))
    v1.add_PolicyServiceServicer_to_server(Service(), server)
    port = security.bind(server, "127.0.0.1", 0)
    await server.start()
    async with ClientSecurity().aio_channel(f"127.0.0.1:{port}") as channel:
        for _ in range(CALLS):
            with pytest.raises(grpc.aio.AioRpcError):
                await call(v1.PolicyServiceStub(channel))
    await server.stop(None)


@pytest.mark.parametrize("call", [_describe, _act, _control], ids=["aborts", "takes too long", "streams"])
@pytest.mark.parametrize("bounds", [Bounds(), Bounds(known=0)], ids=["taken", "refused"])
def test_a_call_that_fails_is_freed_at_once(
    kept: list[Any], call: Callable[[Any], Awaitable[None]], bounds: Bounds
) -> None:
    """Thousands of them, left to the collector, were freed together, for which every rig waited."""
    asyncio.run(_served(bounds, call))
    gc.collect()
    found = collections.Counter(type(one).__name__ for one in kept)
    assert max(found[name] for name in OF_A_CALL) < CALLS, found


def test_what_is_there_before_a_server_settles_is_not_looked_through_again() -> None:
    before = gc.get_threshold()
    try:
        garbage_collection.collect_young_only()
        garbage_collection.freeze()
        assert gc.get_freeze_count() > 10_000
        young, *older = gc.get_threshold()
        assert young < 1_000
        assert min(older) > 1_000_000
        assert len(gc.get_objects()) < 10_000
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
