"""Why a TLS connection does not come about, told to the client.

A gRPC server in Python can only require a client's certificate, not look at one and answer. One of another
authority therefore ends in the handshake: the server hangs up, before any call, and gRPC calls that
UNAVAILABLE, as if the server were away. Here it is told as what it is, UNAUTHENTICATED, so that nobody waits
for a server that will never let them in.
"""

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc

PROBE_S = 2.0
PROBES = 2
"""A server that is being restarted hangs up, too; it does not twice."""


def refuses_certificate(address: str, ca: Path, certificate: Path | None, key: Path | None) -> bool:
    """Return whether the server at host:port takes part in the handshake and then hangs up, each time.

    A gRPC server that accepts the client speaks first: with the settings of HTTP/2.
    """
    return all(_hangs_up(address, ca, certificate, key) for _ in range(PROBES))


def _hangs_up(address: str, ca: Path, certificate: Path | None, key: Path | None) -> bool:
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["h2"])
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    name = host.strip("[]")
    try:
        with (
            socket.create_connection((name, int(port)), timeout=PROBE_S) as raw,
            context.wrap_socket(raw, server_hostname=name) as connection,
        ):
            return connection.recv(1) == b""
    except ssl.SSLError as error:
        return "ALERT" in str(error) and "CERTIFICATE" in str(error)
    except (OSError, ValueError):
        return False


class CertificateRefused(grpc.RpcError, grpc.Call):
    """A call that never was: the server does not accept this client's certificate, or it has none."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._details = (
            f"the server at {address} asks for a client's certificate of an authority that it trusts: "
            "--access.certificate and --access.key"
        )

    def code(self) -> grpc.StatusCode:
        """Return UNAUTHENTICATED."""
        return grpc.StatusCode.UNAUTHENTICATED

    def details(self) -> str:
        """Return what to do."""
        return self._details

    def __str__(self) -> str:
        return self._details

    def initial_metadata(self) -> tuple:
        """Return nothing."""
        return ()

    def trailing_metadata(self) -> tuple:
        """Return nothing."""
        return ()

    def is_active(self) -> bool:
        """Return False."""
        return False

    def time_remaining(self) -> float:
        """Return 0 [s]."""
        return 0.0

    def cancel(self) -> bool:
        """Return False."""
        return False

    def add_callback(self, callback: Callable) -> bool:
        """Return False: it is over."""
        del callback
        return False


class TellsRefusal(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Turns the UNAVAILABLE of a call into `CertificateRefused` where `refused` says so."""

    def __init__(self, address: str, refused: Callable[[], bool]) -> None:
        self._address, self._refused = address, refused

    def intercept_unary_unary(self, continuation: Callable, client_call_details: Any, request: Any) -> Any:
        """Return the outcome of a call, or raise."""
        outcome = continuation(client_call_details, request)
        if outcome.code() == grpc.StatusCode.UNAVAILABLE and self._refused():
            raise CertificateRefused(self._address)
        return outcome

    def intercept_unary_stream(self, continuation: Callable, client_call_details: Any, request: Any) -> Any:
        """Return the call, whose iteration tells."""
        return _Told(continuation(client_call_details, request), self._retold)

    def intercept_stream_stream(
        self, continuation: Callable, client_call_details: Any, request_iterator: Iterator
    ) -> Any:
        """Return the call, whose iteration tells."""
        return _Told(continuation(client_call_details, request_iterator), self._retold)

    def _retold(self, error: grpc.RpcError) -> grpc.RpcError:
        unavailable = isinstance(error, grpc.Call) and error.code() == grpc.StatusCode.UNAVAILABLE
        return CertificateRefused(self._address) if unavailable and self._refused() else error


class _Told:
    """A call with answers to iterate over; all else is the call's own."""

    def __init__(self, call: Any, retold: Callable[[grpc.RpcError], grpc.RpcError]) -> None:
        self._call, self._retold = call, retold

    def __iter__(self) -> "_Told":
        return self

    def __next__(self) -> Any:
        try:
            return next(self._call)
        except grpc.RpcError as error:
            told = self._retold(error)
            if told is error:
                raise
            raise told from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)
