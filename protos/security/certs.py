"""Certificates for development: a CA, and a server's and a client's certificate that it signs.

In production, use certificates of your organisation's CA.
"""

import datetime
import ipaddress
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAMES = ("ca", "server", "client")


class _Pair(NamedTuple):
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make_certificates(directory: Path, hosts: Iterable[str], days: int) -> list[Path]:
    """Write ca, server and client, each `.pem` and `.key`; return the paths. Keys are for the owner only.

    Args:
        directory: where to; made if need be.
        hosts: names and IP addresses by which clients reach the server.
        days: how long the certificates are valid.

    Raises:
        FileExistsError: one of the files exists; nothing is overwritten.
        OSError: the directory cannot be written.
        ValueError: no days, or no host, or a host that is no name.
    """
    hosts = list(hosts)
    if not hosts or not all(hosts):
        raise ValueError(f"a server's certificate needs the names or addresses it is reached by; got {hosts}")
    if days < 1:
        raise ValueError(f"certificates must be valid for at least 1 day; got {days}")
    paths = [directory / f"{name}{ending}" for name in NAMES for ending in (".pem", ".key")]
    for path in paths:
        if path.exists():
            raise FileExistsError(f"{path} exists; choose another --out or delete it")
    directory.mkdir(parents=True, exist_ok=True)
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    ca = _issue("HDS development authority", until, None)
    server = _issue(hosts[0], until, ca, hosts, ExtendedKeyUsageOID.SERVER_AUTH)
    client = _issue("HDS client", until, ca, (), ExtendedKeyUsageOID.CLIENT_AUTH)
    for name, pair in zip(NAMES, (ca, server, client), strict=True):
        (directory / f"{name}.pem").write_bytes(pair.certificate.public_bytes(serialization.Encoding.PEM))
        _write_key(directory / f"{name}.key", pair.key)
    return paths


def _issue(
    name: str,
    until: datetime.datetime,
    ca: _Pair | None,
    hosts: Iterable[str] = (),
    usage: x509.ObjectIdentifier | None = None,
) -> _Pair:
    """Return a certificate signed by `ca`; without one, a CA that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    issuer, signer = (ca.certificate.subject, ca.key) if ca else (subject, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5))
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=ca is None, path_length=None if ca else 0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if names := [_alternative(host) for host in hosts]:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return _Pair(builder.sign(signer, hashes.SHA256()), key)


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
