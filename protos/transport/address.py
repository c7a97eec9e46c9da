"""Addresses: host and port together, and whether a host is this machine alone."""

import ipaddress


def joined(host: str, port: int) -> str:
    """Return host:port, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host.strip("[]") else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach `host`; of names, only localhost."""
    bare = host.strip("[]")
    if bare == "localhost":
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False
