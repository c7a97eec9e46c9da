"""Addresses of servers: host and port, loopback or public."""

import ipaddress

LARGEST_PORT = 65_535


def format_address(host: str, port: int) -> str:
    """Return host:port, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host.strip("[]") else f"{host}:{port}"


def check_port(name: str, port: int, least: int = 0) -> None:
    """Check that a port number is valid.

    Raises:
        ValueError: naming the option and the bounds.
    """
    if not least <= port <= LARGEST_PORT:
        raise ValueError(f"{name} must be in [{least}, {LARGEST_PORT}]; got {port}")


def check_address(address: str) -> None:
    """Check that `address` is host:port, or a gRPC target such as dns:///host:port.

    Raises:
        ValueError: saying what is wrong.
    """
    if "/" in address:
        return
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal()):
        raise ValueError(f"{address!r} is no address; give host:port, for example 127.0.0.1:50051")
    check_port(f"the port of {address}", int(port), 1)


def is_loopback(host: str) -> bool:
    """Return whether `host` is a loopback address or `localhost`; other names are not resolved."""
    bare = host.strip("[]")
    if bare == "localhost":
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False
