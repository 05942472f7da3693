"""The webhook's Prometheus metrics."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from webhook.errors import Reason

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Metrics:
    """One application's metrics, in a registry of their own."""

    def __init__(self, leases_known: Callable[[], bool], leases_age: Callable[[], float]) -> None:
        """Register all metrics; both functions are called at every scrape."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "pgset_admission_requests",
            "Admission reviews answered, by outcome: patched, unchanged, denied or error; and by "
            "reason: annotation or object if denied, review, content-type or fault if an error.",
            ("kind", "outcome", "reason"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "pgset_admission_seconds",
            "Time from a review's last byte to its answer, in seconds.",
            ("kind",),
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5),
            registry=self._registry,
        )
        self._in_flight = Gauge(
            "pgset_admission_in_flight",
            "Admission reviews being answered right now.",
            ("kind",),
            registry=self._registry,
        )
        Gauge(
            "pgset_leases_known",
            "1 while the cache of Leases can answer; at 0 every new pod is admitted as a replica.",
            registry=self._registry,
        ).set_function(lambda: float(leases_known()))
        Gauge(
            "pgset_leases_age_seconds",
            "Seconds since the API server last confirmed the cache of Leases; +Inf before it did.",
            registry=self._registry,
        ).set_function(leases_age)

    def in_flight(self, kind: str) -> AbstractContextManager[object]:
        """Count a review while it is being answered."""
        return self._in_flight.labels(kind).track_inprogress()

    def include(self, collector: Collector) -> None:
        """Also collect from this collector at every scrape."""
        self._registry.register(collector)

    def answered(self, kind: str, outcome: str, reason: Reason, seconds: float) -> None:
        """Count one review."""
        self._requests.labels(kind, outcome, reason).inc()
        self._seconds.labels(kind).observe(seconds)

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)
