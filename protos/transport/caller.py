"""Who makes the call that is being answered: for the audit trail and for what is counted by caller."""

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
        """The peer without its port: all connections of one machine."""
        return self.peer.rpartition(":")[0] or self.peer


ANYBODY = "anybody"
NOBODY = Caller("", "", True)
_CALLER: contextvars.ContextVar[Caller] = contextvars.ContextVar("caller")


def caller() -> Caller:
    """Return who makes the call that the current task answers; one without a name outside of any call."""
    return _CALLER.get(NOBODY)


def answering(one: Caller) -> None:
    """Let the current task answer `one`."""
    _CALLER.set(one)


def peer_of(told: str) -> str:
    """Return gRPC's name of a peer, which it writes as in a URL."""
    return unquote(told)
