"""Tokens: random secrets with names and rights. The file keeps their SHA-256 digests only.

    [[token]]
    name = "rig-1"
    rights = ["act", "log"]
    sha256 = "…"

A token has 256 random bits, so a plain digest is safe against guessing. With mutual TLS, the file may also
grant rights to the holder of a certificate, by its common name:

    [[certificate]]
    name = "rig-2"
    rights = ["act", "log"]
"""

import hashlib
import re
import secrets
import tomllib
from pathlib import Path
from typing import NamedTuple

from protos.security.followed_file import FollowedFile
from protos.security.rights import RIGHTS

_NAME = re.compile(r"[A-Za-z0-9_. -]{1,64}")


class Grant(NamedTuple):
    """The name and rights of a token or certificate."""

    name: str
    rights: frozenset[str]


class Grants(NamedTuple):
    """The grants of a file, by the digest of a token and by the common name of a certificate."""

    tokens: dict[str, Grant]
    certificates: dict[str, Grant]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _check(name: object, rights: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"a token's name is up to 64 letters, digits, spaces, dots, dashes and underscores; got {name!r}"
        )
    if not isinstance(rights, list | tuple) or not rights or not set(rights) <= set(RIGHTS):
        raise ValueError(
            f"the rights of token {name!r} must be among {', '.join(RIGHTS)}, at least one; got {rights!r}"
        )


def read_grants(path: Path) -> Grants:
    """Return the grants of a file.

    Raises:
        OSError: the file cannot be read.
        ValueError: naming the file and what is wrong.
    """
    try:
        entries = tomllib.loads(path.read_text())
        found = Grants({}, {})
        if unknown := sorted(set(entries) - {"token", "certificate"}):
            raise ValueError(f"unknown entry {unknown[0]!r}; there are [[token]] and [[certificate]]")
        for entry in entries.get("certificate", []):
            _check(entry.get("name"), entry.get("rights"))
            found.certificates[entry["name"]] = Grant(entry["name"], frozenset(entry["rights"]))
        for entry in entries.get("token", []):
            _check(entry.get("name"), entry.get("rights"))
            digest = str(entry.get("sha256", "")).lower()
            if not re.fullmatch(r"[0-9a-f]{64}", digest):
                raise ValueError(f"the sha256 of token {entry['name']!r} must be 64 hexadecimal digits")
            found.tokens[digest] = Grant(entry["name"], frozenset(entry["rights"]))
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"the tokens in {path} cannot be used: {error}") from error
    return found


def add_token(path: Path, name: str, rights: tuple[str, ...]) -> str:
    """Create a token, add its digest to the file, and return it. The file does not reveal it again.

    Raises:
        OSError: the file cannot be written.
        ValueError: a name that is taken or malformed, or an unknown right.
    """
    _check(name, rights)
    if path.exists() and name in {grant.name for grant in read_grants(path).tokens.values()}:
        raise ValueError(f"{path} has a token {name!r} already; delete its entry first, which revokes it")
    token = secrets.token_urlsafe(32)
    listed = ", ".join(f'"{right}"' for right in rights)
    if not path.exists():
        path.touch(mode=0o600)
    with path.open("a") as file:
        file.write(f'[[token]]\nname = "{name}"\nrights = [{listed}]\nsha256 = "{_digest(token)}"\n\n')
    return token


class TokenFile:
    """The grants of a file. It is read again when it changes, so tokens are revoked without a restart."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            OSError, ValueError: see `read_grants`.
        """
        self._file = FollowedFile(path, read_grants)

    def find(self, token: str) -> Grant | None:
        """Return the grant of `token`, None if it is unknown."""
        return self._file.now().tokens.get(_digest(token))

    def of_certificate(self, name: str) -> Grant | None:
        """Return the grant of certificates with this common name, None if it is not listed."""
        return self._file.now().certificates.get(name)

    def readings(self) -> int:
        """Return how often the file was read; the grants may change with each reading."""
        self._file.now()
        return self._file.readings
