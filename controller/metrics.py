"""What the controller counts, for Prometheus."""

import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from controller.metrics_server import MetricsServer
from protos.security.address import format_address, is_loopback
from protos.security.expiry import ExpiryWatch
from protos.security.server_security import ServerSecurity

SECONDS = (2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 1.0)
STAGES = ("decode", "compute", "total")
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
MOST_VERSIONS = 50
"""Versions with series of their own. A year brings thousands, each with some fifty lines in every scrape."""
NOTED = 1024
"""Rows that are sorted in at once, in some 0.1 ms."""


class Tally:
    """Histograms of rows of numbers that are noted now and sorted in later: noting takes a tenth of a µs."""

    def __init__(self, edges: tuple[float, ...], columns: int) -> None:
        self._edges = np.asarray(edges)
        self._counts = np.zeros((columns, len(edges) + 1), np.int64)
        self._sums = np.zeros(columns)
        self._noted: list[tuple[float, ...]] = []
        self._lock = threading.Lock()

    def note(self, *row: float) -> None:
        """Note a row; called by one thread."""
        self._noted.append(row)
        if len(self._noted) >= NOTED:
            self._sort_in()

    def histogram(self, column: int) -> tuple[list[tuple[str, float]], float]:
        """Return the cumulative buckets of a column, as Prometheus names them, and its sum."""
        self._sort_in()
        names = [*map(floatToGoString, self._edges.tolist()), "+Inf"]
        seen = np.cumsum(self._counts[column]).tolist()
        return list(zip(names, seen, strict=True)), float(self._sums[column])

    def count(self) -> int:
        """Return how many rows there were."""
        self._sort_in()
        return int(self._counts[0].sum())

    def _sort_in(self) -> None:
        with self._lock:
            count = len(self._noted)  # more may be noted meanwhile, behind these
            rows = np.array(self._noted[:count], float).reshape(count, len(self._sums))
            del self._noted[:count]
            for column, values in enumerate(rows.T):
                at = np.searchsorted(self._edges, values)
                self._counts[column] += np.bincount(at, minlength=len(self._edges) + 1)
                self._sums[column] += values.sum()


class OfVersion(NamedTuple):
    """The counters of one policy version, looked up once; `seconds` has rows (decode, compute, total)."""

    late: Counter
    stale: Counter
    fallbacks: Counter
    seconds: Tally


class _Tallies(Collector):
    """Tells Prometheus of the tallies."""

    def __init__(self, of: dict[str, OfVersion], batch_size: Tally) -> None:
        self._of, self._batch_size = of, batch_size

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        actions = CounterMetricFamily("hds_actions", "Actions sent", labels=["version"])
        seconds = HistogramMetricFamily(
            "hds_answer_seconds", "Time by stage: decode, compute (with waiting for a batch), total",
            labels=["version", "stage"],
        )  # fmt: skip
        for version, counted in list(self._of.items()):
            for column, stage in enumerate(STAGES):
                buckets, total = counted.seconds.histogram(column)
                seconds.add_metric([version[:12], stage], buckets, total)
            actions.add_metric([version[:12]], counted.seconds.count())
        sizes = HistogramMetricFamily("hds_batch_size", "Observations computed together")
        sizes.add_metric([], *self._batch_size.histogram(0))
        yield from (actions, seconds, sizes)


class _Ends(Collector):
    """Tells Prometheus when certificates end."""

    def __init__(self, watch: ExpiryWatch) -> None:
        self._watch = watch

    def collect(self) -> Iterator[Metric]:
        """Yield the metric."""
        ends = GaugeMetricFamily(
            "hds_certificate_ends_timestamp_seconds",
            "When a certificate of this program ends, in seconds since 1970-01-01 UTC",
            labels=["file"],
        )
        for one in self._watch.found:
            ends.add_metric([str(one.path)], one.until_s)
        yield ends


class Metrics:
    """Counters and histograms in a registry of their own. Versions are told by their first 12 digits."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        by_version = {"labelnames": ("version",), "registry": self.registry}
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
        self._swaps = Counter("hds_swaps", "Policies swapped in", **by_version)
        self.refusals = Counter("hds_refusals", "Policies refused", registry=self.registry)
        self.roll_backs = Counter("hds_roll_backs", "Roll-backs", registry=self.registry)
        self.streams = Gauge("hds_streams", "Open Control streams", registry=self.registry)
        self.background_failures = Counter(
            "hds_background_failures", "Failures of background work, which was begun anew",
            labelnames=("work",), registry=self.registry,
        )  # fmt: skip
        self.batch_size = Tally(BATCH_SIZES, 1)
        self._shadow_difference = Histogram(
            "hds_shadow_difference", "Largest |u - u_shadow| of an observation", **by_version,
            buckets=(1e-6, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 2.0),
        )  # fmt: skip
        self._of: dict[str, OfVersion] = {}
        self._versions: dict[str, str] = {}
        """Those with series of their own, oldest first, by the first 12 digits."""
        self._lock = threading.Lock()
        self.registry.register(_Tallies(self._of, self.batch_size))

    def of(self, version: str) -> OfVersion:
        """Return the counters of `version`."""
        found = self._of.get(version)
        if found is None:
            short = self._with_series(version)
            late, stale, fallbacks = (c.labels(short) for c in (self._late, self._stale, self._fallbacks))
            found = OfVersion(late, stale, fallbacks, Tally(SECONDS, len(STAGES)))
            self._of[version] = found
        return found

    def swapped(self, version: str) -> None:
        """Count that `version` was swapped in."""
        self._swaps.labels(self._with_series(version)).inc()

    def shadowed(self, version: str, difference: float) -> None:
        """Count an observation that the shadow `version` was asked too: largest |u - u_shadow|."""
        self._shadow_difference.labels(self._with_series(version)).observe(difference)

    def _with_series(self, version: str) -> str:
        """Return the label of `version`; the series of the oldest ones make room for a new one's."""
        short = version[:12]
        with self._lock:
            if short not in self._versions:
                while len(self._versions) >= MOST_VERSIONS:
                    self._forget(next(iter(self._versions)))
                self._versions[short] = version
        return short

    def _forget(self, short: str) -> None:
        self._of.pop(self._versions.pop(short), None)
        for series in (self._late, self._stale, self._fallbacks, self._swaps, self._shadow_difference):
            series.remove(short)

    def serve(
        self, host: str, port: int, security: ServerSecurity
    ) -> tuple[str, Callable[[], Awaitable[None]]]:
        """Answer `GET /metrics` on `host:port` from a thread; return the URL, and what follows its files.

        On loopback without TLS; elsewhere with the servers' TLS, which must be mutual: Prometheus has none
        of our tokens.

        Raises:
            OSError: the port is taken.
            ValueError: the address is public, and there is no mutual TLS.
        """
        public = not is_loopback(host) and not security.force_public
        if public and security.client_ca is None:
            raise ValueError(
                f"--metrics-host {host} is not loopback: that needs mutual TLS (--security.client-ca)"
            )
        try:
            server = MetricsServer(host, port, self.registry, security if public else None)
        except OSError as error:
            raise OSError(
                f"metrics cannot listen on {format_address(host, port)}: {error.strerror}"
            ) from error
        server.start()
        return f"{'https' if public else 'http'}://{format_address(host, server.port)}/metrics", server.follow

    def tell_expiry(self, watch: ExpiryWatch) -> None:
        """Tell when the certificates that `watch` looks at end."""
        self.registry.register(_Ends(watch))
