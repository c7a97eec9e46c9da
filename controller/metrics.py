"""What the controller counts, for Prometheus."""

from typing import Any, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    start_http_server,
)

from protos.transport.address import is_loopback, joined
from protos.transport.serving import ServerSecurity

SECONDS = (2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 1.0)
STAGES = ("decode", "compute", "total")


class OfVersion(NamedTuple):
    """The counters of one policy version, looked up once."""

    actions: Counter
    late: Counter
    stale: Counter
    fallbacks: Counter
    decode: Histogram
    compute: Histogram
    total: Histogram


class Metrics:
    """Counters and histograms in a registry of their own. Versions are told by their first 12 digits."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        by_version = {"labelnames": ("version",), "registry": self.registry}
        self._actions = Counter("hds_actions", "Actions sent", **by_version)
        self._late = Counter(
            "hds_deadline_misses",
            "Actions sent later after their observation came than it allows",
            **by_version,
        )
        self._stale = Counter(
            "hds_stale_drops", "Observations dropped, their deadline past before their turn", **by_version
        )
        self._fallbacks = Counter(
            "hds_fallbacks", "Ticks at which a plant fell back to its own law, as it tells", **by_version
        )
        self._seconds = Histogram(
            "hds_answer_seconds", "Time by stage: decode, compute (with waiting for a batch), total",
            labelnames=("version", "stage"), registry=self.registry, buckets=SECONDS,
        )  # fmt: skip
        self.swaps = Counter("hds_swaps", "Policies swapped in", **by_version)
        self.refusals = Counter("hds_refusals", "Policies refused", registry=self.registry)
        self.roll_backs = Counter("hds_roll_backs", "Roll-backs", registry=self.registry)
        self.streams = Gauge("hds_streams", "Open Control streams", registry=self.registry)
        self.batch_size = Histogram(
            "hds_batch_size", "Observations computed together", registry=self.registry,
            buckets=(1, 2, 4, 8, 16, 32, 64),
        )  # fmt: skip
        self.shadow_difference = Histogram(
            "hds_shadow_difference", "Largest |u - u_shadow| of an observation", **by_version,
            buckets=(1e-6, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 2.0),
        )  # fmt: skip
        self._of: dict[str, OfVersion] = {}

    def of(self, version: str) -> OfVersion:
        """Return the counters of `version`."""
        found = self._of.get(version)
        if found is None:
            short = version[:12]
            decode, compute, total = (self._seconds.labels(short, stage) for stage in STAGES)
            found = OfVersion(
                self._actions.labels(short), self._late.labels(short), self._stale.labels(short),
                self._fallbacks.labels(short), decode, compute, total,
            )  # fmt: skip
            self._of[version] = found
        return found

    def serve(self, host: str, port: int, security: ServerSecurity) -> str:
        """Answer `GET /metrics` on `host:port` from a thread; return the URL.

        On loopback without TLS; elsewhere with the servers' TLS, which must be mutual: Prometheus has none
        of our tokens.

        Raises:
            OSError: the port is taken.
            ValueError: the address is public, and there is no mutual TLS.
        """
        tls: dict[str, Any] = {}
        if not is_loopback(host) and not security.force_public:
            if security.client_ca is None:
                raise ValueError(
                    f"--metrics-host {host} is not loopback: that needs mutual TLS (--security.client-ca)"
                )
            tls = {
                "certfile": str(security.certificate), "keyfile": str(security.key),
                "client_cafile": str(security.client_ca), "client_auth_required": True,
            }  # fmt: skip
        try:
            server, _ = start_http_server(port, addr=host, registry=self.registry, **tls)
        except OSError as error:
            raise OSError(f"metrics cannot listen on {joined(host, port)}: {error.strerror}") from error
        return f"{'https' if tls else 'http'}://{joined(host, server.server_port)}/metrics"
