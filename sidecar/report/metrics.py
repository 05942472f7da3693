"""The member's state in Prometheus' text format, computed on request."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sidecar.contract import VERSION
from sidecar.observation import ServerState
from sidecar.report.snapshot import Reporter, Snapshot
from sidecar.report.status import is_in_sync


class _MemberCollector(Collector):
    def __init__(
        self, reporter: Reporter, set_name: str, requests: Callable[[], Mapping[str, int]]
    ) -> None:
        self._reporter = reporter
        self._requests = requests
        self._labels = {"set": set_name}

    def collect(self) -> Iterator[Metric]:
        yield self._gauge("pgset_info", "The sidecar's version", 1, version=VERSION)
        yield self._gauge(
            "pgset_loop_age_seconds", "Seconds since the last decision", self._reporter.age()
        )
        yield self._api_requests()
        snapshot = self._reporter.newest()
        if snapshot is not None:
            yield from self._member(snapshot)

    def _member(self, snapshot: Snapshot) -> Iterator[Metric]:
        postgres, lease = snapshot.observation.postgres, snapshot.observation.lease
        yield self._gauge(
            "pgset_situation",
            "1 for the situation of the last decision",
            1,
            situation=snapshot.decision.situation,
        )
        yield self._gauge(
            "pgset_postgres_up",
            "Whether PostgreSQL answers",
            postgres.state is not ServerState.DOWN,
        )
        yield self._gauge(
            "pgset_postgres_writable",
            "Whether PostgreSQL accepts writes",
            postgres.state is ServerState.WRITABLE,
        )
        yield self._gauge(
            "pgset_postgres_streaming",
            "Whether this replica streams from the primary",
            postgres.streaming,
        )
        yield self._gauge(
            "pgset_paused",
            "Whether the set is paused: no failover, no hand-over",
            snapshot.observation.paused,
        )
        yield self._gauge(
            "pgset_in_sync",
            "Whether commits wait for this standby, according to the Lease",
            is_in_sync(snapshot),
        )
        if postgres.timeline is not None:
            yield self._gauge("pgset_postgres_timeline", "The timeline", postgres.timeline)
        if postgres.position is not None:
            yield self._gauge(
                "pgset_postgres_wal_position_bytes",
                "The newest WAL position received or written",
                postgres.position,
            )
        if postgres.lag is not None:
            yield self._gauge(
                "pgset_postgres_replay_lag_bytes",
                "WAL that the primary has announced and this replica has not replayed",
                postgres.lag,
            )
        if lease is not None and lease.renewed_at is not None:
            yield self._gauge(
                "pgset_lease_renewed_age_seconds",
                "Seconds since this member last renewed the Lease",
                snapshot.observation.now - lease.renewed_at,
            )

    def _api_requests(self) -> CounterMetricFamily:
        family = CounterMetricFamily(
            "pgset_api_requests_total",
            "Requests that the sidecar sent to the API server, answered or not",
            labels=[*self._labels, "verb"],
        )
        for verb, number in self._requests().items():
            family.add_metric([*self._labels.values(), verb], number)
        return family

    def _gauge(self, name: str, text: str, value: float, **labels: str) -> GaugeMetricFamily:
        labels = self._labels | labels
        family = GaugeMetricFamily(name, text, labels=list(labels))
        family.add_metric(list(labels.values()), float(value))
        return family


SECONDS: Final = 1.0
"""How long an exposition is served again. Each takes the thread that answers the kubelet's probes a
millisecond, however many clients ask; and the loop decides only every two seconds."""


class Metrics:
    """The exposition of one member."""

    def __init__(
        self,
        reporter: Reporter,
        set_name: str,
        *,
        requests: Callable[[], Mapping[str, int]] = dict,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read from `reporter`; `requests`: to the API server so far, by verb. `clock`: monotonic
        seconds."""
        self._clock = clock
        self._rendered: bytes | None = None
        self._rendered_at = 0.0
        self._registry = prometheus_client.CollectorRegistry(auto_describe=False)
        self._registry.register(_MemberCollector(reporter, set_name, requests))

    def render(self) -> bytes:
        """Return the exposition, at most `SECONDS` old."""
        now = self._clock()
        if self._rendered is None or now - self._rendered_at >= SECONDS:
            self._rendered = prometheus_client.generate_latest(self._registry)
            self._rendered_at = now
        return self._rendered
