"""Secure channels of a client: TLS, client certificates and tokens.

A changed token file takes effect with the next call, a changed CA or certificate with the next connection.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import grpc

from protos.security.address import check_address
from protos.security.certificate_refusal import CertificateRefusalInterceptor, refuses_certificate
from protos.security.followed_file import FollowedFile, Stamp, stamp

LOG = logging.getLogger("security")
Options = tuple[tuple[str, int], ...]
C = TypeVar("C")


@dataclass(frozen=True)
class ClientSecurity:
    """TLS and authentication of a client."""

    ca: Path | None = None
    """Use TLS, and trust servers with a certificate of this certificate authority (PEM)."""
    certificate: Path | None = None
    """Mutual TLS: this client's certificate (PEM)."""
    key: Path | None = None
    """The certificate's private key (PEM)."""
    token_file: Path | None = None
    """Send the token in this file with each call."""

    def check(self) -> None:
        """Check the options.

        Raises:
            ValueError: incompatible options; a token requires TLS.
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
        if self.token_file is not None:
            _token(self.token_file)

    def channel(self, address: str, options: Options = ()) -> grpc.Channel:
        """Open a channel to host:port.

        Raises:
            ValueError, OSError: see `check`.
        """
        self.check()
        check_address(address)
        tls = self._credentials()
        if tls is None:
            return grpc.insecure_channel(address, options)
        channel = grpc.secure_channel(address, tls, options)
        return grpc.intercept_channel(
            channel, CertificateRefusalInterceptor(address, lambda: self.refused(address))
        )

    def refused(self, address: str) -> bool:
        """Return whether the server at host:port rejects this client's certificate, or requires one."""
        try:
            return self.ca is not None and refuses_certificate(address, self.ca, self.certificate, self.key)
        except OSError:  # a file is being replaced
            return False

    def aio_channel(self, address: str, options: Options = ()) -> grpc.aio.Channel:
        """Open an asyncio channel to host:port.

        Raises:
            ValueError, OSError: see `check`.
        """
        self.check()
        check_address(address)
        tls, kind = self._credentials(), grpc.aio
        return kind.secure_channel(address, tls, options) if tls else kind.insecure_channel(address, options)

    def followed(self, address: str, options: Options = ()) -> "Followed[grpc.Channel]":
        """Return a channel to host:port that is renewed when its files change.

        Raises:
            ValueError, OSError: see `check`.
        """
        return Followed(lambda: self.channel(address, options), self._tls(), lambda channel: channel.close())

    def aio_followed(self, address: str, options: Options = ()) -> "Followed[grpc.aio.Channel]":
        """Return an asyncio channel to host:port that is renewed when its files change.

        Raises:
            ValueError, OSError: see `check`.
        """
        return Followed(lambda: self.aio_channel(address, options), self._tls(), lambda channel: None)

    def certificates(self) -> tuple[Path, ...]:
        """Return the certificate files that this client uses."""
        return tuple(path for path in (self.ca, self.certificate) if path is not None)

    def _tls(self) -> tuple[Path, ...]:
        return tuple(path for path in (self.ca, self.certificate, self.key) if path is not None)

    def arguments(self) -> list[str]:
        """Return the equivalent command-line options."""
        given = {
            "--access.ca": self.ca, "--access.certificate": self.certificate, "--access.key": self.key,
            "--access.token-file": self.token_file,
        }  # fmt: skip
        return [word for name, path in given.items() if path for word in (name, str(path))]

    def _credentials(self) -> grpc.ChannelCredentials | None:
        if self.ca is None:
            return None
        key, certificate = (path.read_bytes() if path else None for path in (self.key, self.certificate))
        tls = grpc.ssl_channel_credentials(self.ca.read_bytes(), key, certificate)
        if self.token_file is None:
            return tls
        return grpc.composite_channel_credentials(
            tls, grpc.metadata_call_credentials(_TokenOfFile(self.token_file))
        )


class Followed(Generic[C]):
    """A channel that is replaced when the files it was made from have changed. Thread-safe.

    Calls on the replaced channel go on until they end. Invalid files leave the channel in place.
    """

    def __init__(self, make: Callable[[], C], files: tuple[Path, ...], close: Callable[[C], object]) -> None:
        """Make the channel.

        Raises:
            ValueError, OSError: see `ClientSecurity.check`.
        """
        self._make, self._files, self._close = make, files, close
        self._lock = threading.Lock()
        self._stamps = _stamps(files)
        self._channel, self._before = make(), None

    def now(self) -> C:
        """Return the channel for the next call."""
        with self._lock:
            if (stamps := _stamps(self._files)) != self._stamps:
                self._renew(stamps)
            return self._channel

    def close(self) -> None:
        """Close the channel and the replaced one."""
        for channel in (self._channel, self._before):
            if channel is not None:
                self._close(channel)

    def _renew(self, stamps: tuple[Stamp, ...]) -> None:
        try:
            channel = self._make()
        except (OSError, ValueError) as error:
            LOG.error("the certificates read before stay in use: %s", error)
            return
        if self._before is not None:
            self._close(self._before)
        self._channel, self._before, self._stamps = channel, self._channel, stamps
        LOG.info("read %s anew", ", ".join(map(str, self._files)))


def _stamps(files: tuple[Path, ...]) -> tuple[Stamp, ...]:
    return tuple(map(stamp, files))


def _token(path: Path) -> str:
    """Return the token in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is empty.
    """
    if not (token := path.read_text().strip()):
        raise ValueError(f"the token file {path} is empty")
    return token


class _TokenOfFile(grpc.AuthMetadataPlugin):
    """Sends the token in a file; while the file cannot be read, the last valid one."""

    def __init__(self, path: Path) -> None:
        self._file = FollowedFile(path, _token)

    def __call__(self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback) -> None:
        """Add the token to a call."""
        del context
        callback((("authorization", f"Bearer {self._file.now()}"),), None)
