"""The kinds of all calls."""

from protos.hds import v1


def kinds() -> dict[str, tuple[bool, bool]]:
    """Of every call of the wire, whether it streams requests and responses."""
    files = (v1.DescribeRequest, v1.AppendRequest, v1.StartRefitRequest, v1.ListPoliciesRequest)
    services = [service for kind in files for service in kind.DESCRIPTOR.file.services_by_name.values()]
    found = {
        f"/{service.full_name}/{method.name}": (method.client_streaming, method.server_streaming)
        for service in services
        for method in service.methods
    }
    return found | {"/grpc.health.v1.Health/Check": (False, False)}
