"""A server's side of security: TLS, tokens, and what a public address needs."""

import logging
from dataclasses import dataclass
from pathlib import Path

import grpc

from protos.transport.address import is_loopback, joined
from protos.transport.authority import Authority
from protos.transport.tokens import TokenFile

LOG = logging.getLogger("transport")
HANDSHAKE_MS = 10_000
IDLE_CONNECTION_MS = 600_000
LARGEST_MESSAGE = 4 << 20
CALLS = 2_000


@dataclass(frozen=True)
class ServerSecurity:
    """Who may connect. Certificates and tokens are read anew when their files change."""

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

    def check(self, host: str) -> None:
        """Check the options, and that they are enough for `host`.

        Raises:
            ValueError: naming what is missing and what would help.
            OSError: a file cannot be read.
        """
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
        """Whether a client has to prove who it is."""
        return self.tokens is not None or self.client_ca is not None

    def server(
        self,
        options: tuple[tuple[str, int], ...] = (),
        interceptors: tuple[grpc.aio.ServerInterceptor, ...] = (),
    ) -> grpc.aio.Server:
        """Return a server that asks for tokens if there are any, with bounds on what clients may hold.

        `interceptors` see what the tokens let through.

        Raises:
            ValueError: the tokens cannot be used.
            OSError: the tokens cannot be read.
        """
        authority = () if self.tokens is None else (Authority(TokenFile(self.tokens)),)
        bounds = (
            ("grpc.so_reuseport", 0),  # a second server on the port is an error, not a rival
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),  # clients keep idle streams alive
            ("grpc.keepalive_time_ms", 10_000),  # a client that died without a word is noticed
            ("grpc.keepalive_timeout_ms", 5_000),
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
            ("grpc.max_connection_idle_ms", IDLE_CONNECTION_MS),
        )
        given = {"grpc.max_receive_message_length": LARGEST_MESSAGE} | dict(bounds) | dict(options)
        around = (*authority, *interceptors)
        return grpc.aio.server(
            interceptors=around, options=tuple(given.items()), maximum_concurrent_rpcs=CALLS
        )

    def bind(self, server: grpc.aio.Server, host: str, port: int) -> int:
        """Let `server` listen on host:port; return the port.

        Raises:
            OSError: the port is taken.
            ValueError: see `check`; or certificate and key are no pair in PEM.
        """
        self.check(host)
        address = joined(host, port)
        try:
            if self.certificate is None:
                return server.add_insecure_port(address)
            return server.add_secure_port(address, self._credentials())
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: the port is in use or not allowed") from error

    def _files(self) -> tuple[tuple[int, int] | None, ...]:
        stats = (path.stat() if path else None for path in (self.certificate, self.key, self.client_ca))
        return tuple((found.st_mtime_ns, found.st_size) if found else None for found in stats)

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        assert self.certificate is not None
        assert self.key is not None
        pair = (self.key.read_bytes(), self.certificate.read_bytes())
        roots = self.client_ca.read_bytes() if self.client_ca else None
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)

    def _credentials(self) -> grpc.ServerCredentials:
        """Return TLS credentials that follow their files: certificates end, and servers run for months."""
        seen = [self._files()]

        def renewed() -> grpc.ServerCertificateConfiguration | None:
            try:
                if (now := self._files()) == seen[0]:
                    return None
                seen[0] = now
                LOG.info("read the certificate %s anew", self.certificate)
                return self._configuration()
            except OSError as error:
                LOG.error("the certificate read before stays in use: %s", error)
                return None

        mutual = self.client_ca is not None
        return grpc.dynamic_ssl_server_credentials(self._configuration(), renewed, mutual)  # pyright: ignore
