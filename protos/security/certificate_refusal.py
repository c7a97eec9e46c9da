"""Report a client certificate that a server rejects as UNAUTHENTICATED.

A gRPC server in Python rejects an untrusted client certificate in the TLS handshake: it closes the
connection, and gRPC reports UNAVAILABLE, as if the server were down. A client would retry forever. This
module probes the handshake after UNAVAILABLE, and raises UNAUTHENTICATED if the certificate is the reason.
"""

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc

PROBE_S = 2.0
PROBES = 2
"""A server that restarts closes a connection too, but not twice."""


def refuses_certificate(address: str, ca: Path, certificate: Path | None, key: Path | None) -> bool:
    """Return whether the server at host:port begins the handshake and then closes the connection, each time.

    A gRPC server that accepts the client sends its HTTP/2 settings first.
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
    """Raised in place of UNAVAILABLE when the server rejects the client's certificate, or requires one."""

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


class CertificateRefusalInterceptor(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Turns UNAVAILABLE into `CertificateRefused` if `refused()` confirms it."""

    def __init__(self, address: str, refused: Callable[[], bool]) -> None:
        self._address, self._refused = address, refused

    def intercept_unary_unary(self, continuation: Callable, client_call_details: Any, request: Any) -> Any:
        """Return the outcome of a call, or raise."""
        outcome = continuation(client_call_details, request)
        if outcome.code() == grpc.StatusCode.UNAVAILABLE and self._refused():
            raise CertificateRefused(self._address)
        return outcome

    def intercept_unary_stream(self, continuation: Callable, client_call_details: Any, request: Any) -> Any:
        """Return the call, whose iteration raises."""
        return _CheckedCall(continuation(client_call_details, request), self._checked)

    def intercept_stream_stream(
        self, continuation: Callable, client_call_details: Any, request_iterator: Iterator
    ) -> Any:
        """Return the call, whose iteration raises."""
        return _CheckedCall(continuation(client_call_details, request_iterator), self._checked)

    def _checked(self, error: grpc.RpcError) -> grpc.RpcError:
        unavailable = isinstance(error, grpc.Call) and error.code() == grpc.StatusCode.UNAVAILABLE
        return CertificateRefused(self._address) if unavailable and self._refused() else error


class _CheckedCall:
    """A streaming call whose errors pass `check`; everything else is delegated."""

    def __init__(self, call: Any, check: Callable[[grpc.RpcError], grpc.RpcError]) -> None:
        self._call, self._checked = call, check

    def __iter__(self) -> "_CheckedCall":
        return self

    def __next__(self) -> Any:
        try:
            return next(self._call)
        except grpc.RpcError as error:
            checked = self._checked(error)
            if checked is error:
                raise
            raise checked from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)
