"""Check the certificates of clients again while their connections are open.

The TLS handshake checks a certificate once. Without further checks, open streams would survive the removal of
a CA from the file and the expiry of the certificate. gRPC keeps the certificate of each connection.
"""

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from protos.security.followed_file import FollowedFile

if TYPE_CHECKING:
    from cryptography import x509


class TrustedCertificates:
    """The certificate authorities (CAs) in a file, which is read again when it changes."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            OSError: it cannot be read.
            ValueError: it holds no certificate in PEM.
        """
        self._file = FollowedFile(path, _read)
        self._judged_after = 1
        self._judged: dict[bytes, tuple[bool, datetime.datetime]] = {}
        """By a certificate's PEM: whether its CA is trusted, and when it expires."""

    def why_not(self, context: grpc.aio.ServicerContext) -> str:
        """Return why the certificate of the call's connection is not valid; empty if it is."""
        authorities = self._file.now()
        if self._judged_after != self._file.readings:
            self._judged_after = self._file.readings
            self._judged.clear()
        shown = context.auth_context()
        told = shown.get("x509_pem_cert_chain") or shown.get("x509_pem_cert")
        if not told:
            return ""  # there is no certificate, and the handshake required none
        pem = bytes(next(iter(told)))
        if pem not in self._judged:
            if len(self._judged) > 1_000:
                self._judged.clear()
            self._judged[pem] = self._judge(pem, authorities)
        trusted, until = self._judged[pem]
        if not trusted:
            return f"the client's certificate is of no authority in {self._file.path.name} any more"
        if datetime.datetime.now(datetime.UTC) > until:
            return f"the client's certificate ended at {until:%Y-%m-%d %H:%M UTC}"
        return ""

    @staticmethod
    def _judge(pem: bytes, authorities: "list[x509.Certificate]") -> tuple[bool, datetime.datetime]:
        from cryptography import x509
        from cryptography.exceptions import InvalidSignature

        chain = x509.load_pem_x509_certificates(pem)
        for certificate in chain:  # the client's own first, then intermediate ones
            for authority in authorities:
                try:
                    certificate.verify_directly_issued_by(authority)
                except (ValueError, TypeError, InvalidSignature):
                    continue
                return True, chain[0].not_valid_after_utc
        return False, chain[0].not_valid_after_utc

    def readings(self) -> int:
        """Return how often the file was read; the trusted CAs may change with each reading."""
        self._file.now()
        return self._file.readings


def _read(path: Path) -> "list[x509.Certificate]":
    from cryptography import x509

    return x509.load_pem_x509_certificates(path.read_bytes())
