"""TLS and authentication of a server, and what a public address requires."""

import logging
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

import grpc

from protos.security.address import check_port, format_address, is_loopback
from protos.security.auth_interceptor import AuthInterceptor, Bounds
from protos.security.tokens import TokenFile
from protos.security.trust import TrustedCertificates

LOG = logging.getLogger("security")
HANDSHAKE_MS = 10_000
IDLE_CONNECTION_MS = 600_000
LARGEST_MESSAGE = 4 << 20
CALLS = 2_000
"""Concurrent calls of all callers together; `AuthInterceptor` limits each caller."""
CONNECTIONS, CALLS_OF_CONNECTION = 1_000, 32
CALM_S = 0.25
"""Delay before a renewed certificate is handed to gRPC, which then frees the previous one [s]. Handshakes
that have just begun still use that (use after free, grpc/grpc issue 36693). gRPC holds back new handshakes
during the delay, so those that have begun are over at its end."""


@dataclass(frozen=True)
class ServerSecurity:
    """Who may connect. Certificates and tokens are read again when their files change."""

    certificate: Path | None = None
    """Serve TLS with this certificate (chain) in PEM."""
    key: Path | None = None
    """The certificate's private key in PEM."""
    client_ca: Path | None = None
    """Mutual TLS: take only clients with a certificate of this authority."""
    tokens: Path | None = None
    """Take only calls with a token of this file that has the call's right ('token' makes one)."""
    force_public: bool = False
    """Listen on a public address although TLS or authentication is missing."""

    def check(self, host: str, port: int = 0) -> None:
        """Check the options, and that they suffice for `host`.

        Raises:
            ValueError: naming what is missing and the options that add it.
            OSError: a file cannot be read.
        """
        check_port("--port", port)
        if (self.certificate is None) != (self.key is None):
            raise ValueError("--security.certificate and --security.key come together; one is missing")
        for name, path in (("client-ca", self.client_ca), ("tokens", self.tokens)):
            if path is not None and self.certificate is None:
                raise ValueError(f"--security.{name} needs TLS: --security.certificate and --security.key")
        for path in (self.certificate, self.key, self.client_ca):
            if path is not None:
                path.read_bytes()
        if is_loopback(host) or self.force_public:
            return
        missing = [] if self.certificate else ["TLS (--security.certificate and --security.key)"]
        if not self.authenticates:
            missing.append("authentication (--security.tokens or --security.client-ca)")
        if missing:
            raise ValueError(
                f"{host} is not loopback, and {' and '.join(missing)} is missing; listen on 127.0.0.1, "
                "add it, or say --security.force-public to let anybody in"
            )

    @property
    def authenticates(self) -> bool:
        """Whether clients must authenticate."""
        return self.tokens is not None or self.client_ca is not None

    def certificates(self) -> tuple[Path, ...]:
        """Return the certificate files that the server uses."""
        return tuple(path for path in (self.certificate, self.client_ca) if path is not None)

    def auth_interceptor(self, bounds: Bounds | None = None) -> AuthInterceptor:
        """Return the interceptor that authenticates calls.

        Call this inside the event loop, and run the interceptor's `watch`.

        Raises:
            ValueError: tokens or CAs are invalid.
            OSError: they cannot be read.
        """
        tokens = None if self.tokens is None else TokenFile(self.tokens)
        trusted = None if self.client_ca is None else TrustedCertificates(self.client_ca)
        return AuthInterceptor(tokens, trusted, bounds)

    def server(
        self,
        auth: AuthInterceptor,
        options: tuple[tuple[str, int], ...] = (),
        interceptors: tuple[grpc.aio.ServerInterceptor, ...] = (),
    ) -> grpc.aio.Server:
        """Return a server with limits on connections, calls and messages.

        Calls pass `auth` first, then `interceptors`.
        """
        bounds = (
            ("grpc.so_reuseport", 0),  # a second server on the port is an error
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),  # clients ping idle connections
            ("grpc.keepalive_time_ms", 10_000),  # detects dead clients
            ("grpc.keepalive_timeout_ms", 5_000),
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
            ("grpc.max_connection_idle_ms", IDLE_CONNECTION_MS),
            ("grpc.max_allowed_incoming_connections", CONNECTIONS),
            ("grpc.max_concurrent_streams", CALLS_OF_CONNECTION),
        )
        given = {"grpc.max_receive_message_length": LARGEST_MESSAGE} | dict(bounds) | dict(options)
        all_interceptors = (auth, *interceptors)
        return grpc.aio.server(
            interceptors=all_interceptors, options=tuple(given.items()), maximum_concurrent_rpcs=CALLS
        )

    def bind(self, server: grpc.aio.Server, host: str, port: int) -> int:
        """Let `server` listen on host:port; return the port.

        Raises:
            OSError: the port is taken.
            ValueError: see `check`; or certificate and key are no pair in PEM.
        """
        self.check(host, port)
        address = format_address(host, port)
        try:
            if self.certificate is None:
                return server.add_insecure_port(address)
            return server.add_secure_port(address, self._credentials())
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: the port is in use or not allowed") from error

    def stamps(self) -> tuple[tuple[int, int, int] | None, ...]:
        """Return the stamps of the TLS files."""
        stats = (path.stat() if path else None for path in (self.certificate, self.key, self.client_ca))
        return tuple((found.st_mtime_ns, found.st_size, found.st_ino) if found else None for found in stats)

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        assert self.certificate is not None
        assert self.key is not None
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key)  # whether a pair
        pair = (self.key.read_bytes(), self.certificate.read_bytes())
        roots = self.client_ca.read_bytes() if self.client_ca else None
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)

    def _credentials(self) -> grpc.ServerCredentials:
        """Return TLS credentials that are renewed when their files change."""
        seen = [self.stamps()]

        def renewed() -> grpc.ServerCertificateConfiguration | None:
            try:
                if (now := self.stamps()) == seen[0]:
                    return None
                configuration = self._configuration()
            except OSError as error:  # one of the pair may be replaced before the other
                LOG.error("the certificate read before stays in use: %s", error)
                return None
            seen[0] = now
            LOG.info("read the certificate %s anew", self.certificate)
            time.sleep(CALM_S)
            return configuration

        mutual = self.client_ca is not None
        try:
            first = self._configuration()
        except ssl.SSLError as error:
            raise ValueError(
                f"{self.certificate} and {self.key} are no certificate and its private key in PEM ({error})"
            ) from error
        return grpc.dynamic_ssl_server_credentials(first, renewed, mutual)  # pyright: ignore
