"""HTTP server for Prometheus: a thread for each client, with time-outs."""

import asyncio
import contextlib
import socket
import ssl
import threading
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from protos.security.server_security import ServerSecurity

PATIENCE_S = 5.0
"""How long a client may be silent [s], in the handshake too."""
LOOK_S = 2.0
CLIENTS = 16
"""Clients at a time; one more is hung up on."""


class _Handler(WSGIRequestHandler):
    timeout = PATIENCE_S

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: Prometheus asks several times a minute."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    tls: ssl.SSLContext | None = None

    def __init__(self, host: str, port: int) -> None:
        self._places = threading.BoundedSemaphore(CLIENTS)
        self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, if there is a place."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Shake hands and answer; a client that is silent or speaks something else is hung up on."""
        try:
            with contextlib.suppress(OSError):
                request.settimeout(PATIENCE_S)
                if self.tls is not None:
                    request = self.tls.wrap_socket(request, server_side=True)
                super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""


class MetricsServer:
    """`GET /metrics` at an address; with TLS, its files are followed."""

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, security: ServerSecurity | None
    ) -> None:
        """Listen; with `security`, for clients with a certificate of its authority only.

        Raises:
            OSError: the port is taken, or a file cannot be read.
        """
        self._security = security
        self._server = _Server(host.strip("[]"), port)
        self._server.set_app(make_wsgi_app(registry))
        self._server.tls = self._context()
        self._seen = security.stamps() if security else None

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_port

    def start(self) -> None:
        """Answer from a thread."""
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    async def follow(self) -> None:
        """Read the files of TLS anew when they change, for ever.

        Raises:
            OSError: they cannot be read or used; those read before stay in use.
        """
        while self._security is not None:
            if (now := self._security.stamps()) != self._seen:
                self._server.tls, self._seen = self._context(), now
            await asyncio.sleep(LOOK_S)

    def _context(self) -> ssl.SSLContext | None:
        if self._security is None:
            return None
        s = self._security
        assert s.certificate is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(s.certificate, s.key)
        context.load_verify_locations(s.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        return context
