"""Addresses: host and port together, and whether a host is this machine alone."""

import ipaddress

LARGEST_PORT = 65_535


def joined(host: str, port: int) -> str:
    """Return host:port, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host.strip("[]") else f"{host}:{port}"


def check_port(name: str, port: int, least: int = 0) -> None:
    """Check that a port can be one.

    Raises:
        ValueError: naming the option and the bounds.
    """
    if not least <= port <= LARGEST_PORT:
        raise ValueError(f"{name} must be in [{least}, {LARGEST_PORT}]; got {port}")


def check_address(address: str) -> None:
    """Check that `address` is host:port, or a target as gRPC writes it, such as dns:///host:port.

    Raises:
        ValueError: saying what is wrong with it.
    """
    if "/" in address:
        return
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal()):
        raise ValueError(f"{address!r} is no address; give host:port, for example 127.0.0.1:50051")
    check_port(f"the port of {address}", int(port), 1)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach `host`; of names, only localhost."""
    bare = host.strip("[]")
    if bare == "localhost":
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False
