"""The commands `certs` and `token`, which trainer and controller share."""

import sys
from dataclasses import dataclass
from pathlib import Path

from protos.security.tokens import add_token


@dataclass(frozen=True)
class Certs:
    """Make certificates for development: an authority, a server's and a client's.

    Example: hds-controller certs --out certs --hosts rig-server 192.168.1.20
    """

    out: Path = Path("certs")
    """Directory to write ca, server and client to, each .pem and .key; nothing is overwritten."""
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1")
    """Names and addresses by which clients reach the server."""
    days: int = 365
    """How long they are valid."""

    def run(self) -> None:
        """Write them, and say how they are used."""
        from protos.security.certs import make_certificates

        for path in make_certificates(self.out, self.hosts, self.days):
            print(path)
        print(
            f"server: --security.certificate {self.out}/server.pem --security.key {self.out}/server.key\n"
            f"client: --access.ca {self.out}/ca.pem\n"
            f"mutual TLS, server: --security.client-ca {self.out}/ca.pem; client: "
            f"--access.certificate {self.out}/client.pem --access.key {self.out}/client.key"
        )


@dataclass(frozen=True)
class Token:
    """Make a token, and add its digest to the file that servers read; the token itself is printed once.

    Example: hds-controller token --name rig-1 --rights act log > rig-1.token
    """

    name: str
    """Who uses it, for messages and for revoking it."""
    rights: tuple[str, ...]
    """Some of: act (be served with actions), log (store transitions), read (see policies, episodes and jobs;
    a controller needs it of its trainer), admin (train, move labels, roll back, shadow; and read)."""
    tokens: Path = Path("tokens.toml")
    """The servers' file (--security.tokens); deleting an entry revokes its token for every new call."""

    def run(self) -> None:
        """Print the token."""
        print(add_token(self.tokens, self.name, self.rights))
        print(f"{self.tokens} has its digest; keep the token: it cannot be had again", file=sys.stderr)
