"""`python -m controller.echo`: a bare gRPC service beside which the controller's speed is judged.

It answers each message of a Control stream with the same bytes, of the size of an action, and does nothing
else: no parsing, no policy, no counting.
"""

import contextlib
from collections.abc import AsyncIterator

import grpc

from protos.hds import v1

VERSION_DIGITS = 64


class _Echo(grpc.GenericRpcHandler):
    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Answer every call the same way."""
        del handler_call_details
        return grpc.stream_stream_rpc_method_handler(self._stream)

    async def _stream(
        self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[bytes]:
        del context
        async for _ in requests:
            yield self._answer


async def _serve() -> None:
    action = v1.Action(sequence=1000, u=[0.5], policy_version="0" * VERSION_DIGITS, deadline_ns=8_000_000)
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers((_Echo(v1.ControlResponse(action=action).SerializeToString()),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"echo listens on 127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    from controller.loop import run

    with contextlib.suppress(KeyboardInterrupt):
        run(_serve())
