"""Metrics of the controller, for Prometheus."""

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
ROWS = 1024
"""Rows that are binned at a time, in some 0.1 ms."""


class DeferredHistogram:
    """Histograms whose values are recorded now and binned later: recording takes 0.1 µs."""

    def __init__(self, edges: tuple[float, ...], columns: int) -> None:
        self._edges = np.asarray(edges)
        self._counts = np.zeros((columns, len(edges) + 1), np.int64)
        self._sums = np.zeros(columns)
        self._rows: list[tuple[float, ...]] = []
        self._lock = threading.Lock()

    def note(self, *row: float) -> None:
        """Record a row. Call this from one thread only."""
        self._rows.append(row)
        if len(self._rows) >= ROWS:
            self._bin()

    def histogram(self, column: int) -> tuple[list[tuple[str, float]], float]:
        """Return the cumulative buckets of a column, with Prometheus' names, and its sum."""
        self._bin()
        names = [*map(floatToGoString, self._edges.tolist()), "+Inf"]
        seen = np.cumsum(self._counts[column]).tolist()
        return list(zip(names, seen, strict=True)), float(self._sums[column])

    def count(self) -> int:
        """Return the number of rows."""
        self._bin()
        return int(self._counts[0].sum())

    def _bin(self) -> None:
        with self._lock:
            count = len(self._rows)  # more rows may be appended meanwhile
            rows = np.array(self._rows[:count], float).reshape(count, len(self._sums))
            del self._rows[:count]
            for column, values in enumerate(rows.T):
                at = np.searchsorted(self._edges, values)
                self._counts[column] += np.bincount(at, minlength=len(self._edges) + 1)
                self._sums[column] += values.sum()


class VersionMetrics(NamedTuple):
    """The metrics of one policy version; `seconds` has rows (decode, compute, total)."""

    late: Counter
    stale: Counter
    fallbacks: Counter
    seconds: DeferredHistogram


class _DeferredCollector(Collector):
    """Exports the deferred histograms to Prometheus."""

    def __init__(self, of: dict[str, VersionMetrics], batch_size: DeferredHistogram) -> None:
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


class _ExpiryCollector(Collector):
    """Exports the expiry of certificates to Prometheus."""

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
    """Counters and histograms in a registry of their own. Versions are labelled by their first 12 digits."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        by_version = {"labelnames": ("version",), "registry": self.registry}
        self._late = Counter(
            "hds_deadline_misses",
            "Actions sent after the deadline of their observation",
            **by_version,
        )
        self._stale = Counter(
            "hds_stale_drops",
            "Observations dropped because their deadline passed before they were computed",
            **by_version,
        )
        self._fallbacks = Counter(
            "hds_fallbacks",
            "Ticks at which a plant used its fallback law, as reported by the plant",
            **by_version,
        )
        self._swaps = Counter("hds_swaps", "Policies swapped in", **by_version)
        self.refusals = Counter("hds_refusals", "Policies refused", registry=self.registry)
        self.roll_backs = Counter("hds_roll_backs", "Roll-backs", registry=self.registry)
        self.streams = Gauge("hds_streams", "Open Control streams", registry=self.registry)
        self.background_failures = Counter(
            "hds_background_failures", "Failures of background tasks, which were restarted",
            labelnames=("work",), registry=self.registry,
        )  # fmt: skip
        self.batch_size = DeferredHistogram(BATCH_SIZES, 1)
        self._shadow_difference = Histogram(
            "hds_shadow_difference", "Largest |u - u_shadow| of an observation", **by_version,
            buckets=(1e-6, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 2.0),
        )  # fmt: skip
        self._of: dict[str, VersionMetrics] = {}
        self._versions: dict[str, str] = {}
        """Versions with series of their own, oldest first, by their first 12 digits."""
        self._lock = threading.Lock()
        self.registry.register(_DeferredCollector(self._of, self.batch_size))

    def for_version(self, version: str) -> VersionMetrics:
        """Return the metrics of `version`."""
        found = self._of.get(version)
        if found is None:
            short = self._with_series(version)
            late, stale, fallbacks = (c.labels(short) for c in (self._late, self._stale, self._fallbacks))
            found = VersionMetrics(late, stale, fallbacks, DeferredHistogram(SECONDS, len(STAGES)))
            self._of[version] = found
        return found

    def swapped(self, version: str) -> None:
        """Count a swap to `version`."""
        self._swaps.labels(self._with_series(version)).inc()

    def shadowed(self, version: str, difference: float) -> None:
        """Record the largest |u - u_shadow| of an observation for the shadow `version`."""
        self._shadow_difference.labels(self._with_series(version)).observe(difference)

    def _with_series(self, version: str) -> str:
        """Return the label of `version`. A new version replaces the series of the oldest one."""
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
        """Answer `GET /metrics` on `host:port` from a thread.

        Return the URL, and a task that follows the files of certificates. A public address requires mutual
        TLS, because Prometheus has no token of HDS. Loopback has no TLS.

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

    def export_expiry(self, watch: ExpiryWatch) -> None:
        """Export the expiry of the certificates that `watch` checks."""
        self.registry.register(_ExpiryCollector(watch))
