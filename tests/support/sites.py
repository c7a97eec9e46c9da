"""Certificates, tokens and clients of a secured site."""

from collections.abc import Callable
from pathlib import Path

import grpc

from protos.security.certs import make_certificates
from protos.security.client_security import ClientSecurity
from protos.security.tokens import add_token


class Site:
    """Certificates and tokens below one directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        make_certificates(root / "certs", ("localhost", "127.0.0.1"), days=1)
        self.tokens = root / "tokens.toml"

    def server(self, *more: str) -> list[str]:
        certs = self.root / "certs"
        pair = [
            "--security.certificate",
            str(certs / "server.pem"),
            "--security.key",
            str(certs / "server.key"),
        ]
        return [*pair, *more]

    def with_tokens(self) -> list[str]:
        return self.server("--security.tokens", str(self.tokens))

    def client(self, name: str = "", *rights_of: str) -> ClientSecurity:
        """Return access with a token called `name`, which is made if there are rights."""
        file = self.root / f"{name}.token"
        if rights_of:
            file.write_text(add_token(self.tokens, name, rights_of))
        return ClientSecurity(ca=self.root / "certs" / "ca.pem", token_file=file if name else None)


def code_of(call: Callable[[], object]) -> grpc.StatusCode:
    try:
        call()
    except grpc.RpcError as error:
        return error.code()  # pyright: ignore[reportAttributeAccessIssue]
    return grpc.StatusCode.OK
