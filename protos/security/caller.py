"""The caller of the current RPC, for the audit trail and the rate limits."""

import contextvars
from typing import NamedTuple
from urllib.parse import unquote


class Caller(NamedTuple):
    """A client.

    Attributes:
        name: its token or certificate, "token 'rig-1'"; "anybody" where the server asks for neither.
        peer: where it calls from, "ipv4:127.0.0.1:50312".
        known: whether it proved who it is, or does not have to.
    """

    name: str
    peer: str
    known: bool

    @property
    def host(self) -> str:
        """The peer without its port, which all connections of one host share."""
        return self.peer.rpartition(":")[0] or self.peer


ANYBODY = "anybody"
NOBODY = Caller("", "", True)
_CALLER: contextvars.ContextVar[Caller] = contextvars.ContextVar("caller")


def caller() -> Caller:
    """Return the caller of the RPC that the current task answers; `NOBODY` outside of an RPC."""
    return _CALLER.get(NOBODY)


def answering(one: Caller) -> None:
    """Set the caller of the RPC that the current task answers."""
    _CALLER.set(one)


def peer_of(name: str) -> str:
    """Return a peer's address from gRPC's name of it, which is percent-encoded."""
    return unquote(name)
