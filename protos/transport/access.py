"""A client's side of security: channels with TLS, and with a certificate or a token where asked for."""

from dataclasses import dataclass
from pathlib import Path

import grpc

from protos.transport.handshake import TellsRefusal, refuses_certificate

Options = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Access:
    """How to get in at a server that is secured."""

    ca: Path | None = None
    """Speak TLS, and trust servers with a certificate of this authority (PEM)."""
    certificate: Path | None = None
    """Mutual TLS: this client's certificate (PEM)."""
    key: Path | None = None
    """The certificate's private key (PEM)."""
    token_file: Path | None = None
    """Send the token in this file with each call."""

    def check(self) -> None:
        """Check the options before anything is started.

        Raises:
            ValueError: options that do not go together; a token travels over TLS only.
            OSError: a file cannot be read.
        """
        if (self.certificate is None) != (self.key is None):
            raise ValueError("--access.certificate and --access.key come together; one is missing")
        for name, path in (("certificate", self.certificate), ("token-file", self.token_file)):
            if path is not None and self.ca is None:
                raise ValueError(f"--access.{name} needs --access.ca, the authority of the server's TLS")
        for path in (self.ca, self.certificate, self.key):
            if path is not None:
                path.read_bytes()
        if self.token_file is not None and not self._token():
            raise ValueError(f"the token file {self.token_file} is empty")

    def channel(self, address: str, options: Options = ()) -> grpc.Channel:
        """Open a channel to host:port.

        Raises:
            ValueError, OSError: see `check`.
        """
        self.check()
        tls = self._credentials()
        if tls is None:
            return grpc.insecure_channel(address, options)
        channel = grpc.secure_channel(address, tls, options)
        return grpc.intercept_channel(channel, TellsRefusal(address, lambda: self.refused(address)))

    def refused(self, address: str) -> bool:
        """Return whether the server at host:port does not accept this client's certificate, or its lack."""
        return self.ca is not None and refuses_certificate(address, self.ca, self.certificate, self.key)

    def aio_channel(self, address: str, options: Options = ()) -> grpc.aio.Channel:
        """Open an asyncio channel to host:port.

        Raises:
            ValueError, OSError: see `check`.
        """
        self.check()
        tls, kind = self._credentials(), grpc.aio
        return kind.secure_channel(address, tls, options) if tls else kind.insecure_channel(address, options)

    def arguments(self) -> list[str]:
        """Return the command-line options that say the same."""
        given = {
            "--access.ca": self.ca, "--access.certificate": self.certificate, "--access.key": self.key,
            "--access.token-file": self.token_file,
        }  # fmt: skip
        return [word for name, path in given.items() if path for word in (name, str(path))]

    def _token(self) -> str:
        return self.token_file.read_text().strip() if self.token_file else ""

    def _credentials(self) -> grpc.ChannelCredentials | None:
        if self.ca is None:
            return None
        key, certificate = (path.read_bytes() if path else None for path in (self.key, self.certificate))
        tls = grpc.ssl_channel_credentials(self.ca.read_bytes(), key, certificate)
        token = self._token()
        if not token:
            return tls
        return grpc.composite_channel_credentials(tls, grpc.access_token_call_credentials(token))
