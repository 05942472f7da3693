"""What a Prometheus has of us: what webhook and sidecars tell, with the labels of its targets.

Targets have the labels that the Prometheus operator gives them (v0.85.0,
pkg/prometheus/promcfg.go): a ServiceMonitor's job is the Service, a PodMonitor's is itself.
"""

from prometheus_client.parser import text_string_to_metric_families

from sidecar.decide import decide
from sidecar.observation import (
    BootstrapView,
    DataState,
    Identity,
    LeaseRecord,
    LeaseView,
    Observation,
    PostgresView,
    ServerState,
)
from sidecar.report.metrics import Metrics
from sidecar.report.snapshot import Reporter, Snapshot
from sidecar.settings import Settings
from tests.deploy.manifests import document
from tests.deploy.promql import NAME
from tests.support.clock import Clock
from tests.webhook.served_app import application

Told = list[dict[str, str]]
"""Series, each by its labels; the metric's name is one of them."""


def read(exposition: bytes) -> Told:
    families = text_string_to_metric_families(exposition.decode())
    return [it.labels | {NAME: it.name} for family in families for it in family.samples]


def told_by_the_webhook() -> Told:
    client = application.test_client()
    # A metric with labels tells nothing before there is something to count.
    client.post("/mutate/pods", data=b"no review")
    return read(client.get("/metrics").data)


def told_by_a_sidecar() -> Told:
    """In a turn in which everything is known."""
    lease = LeaseView(LeaseRecord("", 10, "7"), changed_at=0.0, renewed_at=0.0, heard_at=0.0)
    observation = Observation(
        now=0.0,
        started_at=0.0,
        me=Identity("orders-0", "uid-0"),
        lease=lease,
        pods=(),
        wanted=1,
        bootstrap=BootstrapView(DataState.PRESENT),
        postgres=PostgresView(ServerState.RECOVERY, since=0.0, timeline=1, position=1, lag=0),
    )
    reporter = Reporter(Clock())
    decision = decide(observation, Settings(set_name="orders"))._replace(situation="Following")
    reporter.publish(Snapshot(observation, decision, problem=None))
    return read(Metrics(reporter, "orders", requests=lambda: {"get": 1}).render())


def _webhook_target() -> dict[str, str]:
    service = document("service.yaml")["metadata"]
    (endpoint,) = document("monitoring/service-monitor.yaml")["spec"]["endpoints"]
    return {
        "job": service["name"],
        "namespace": service["namespace"],
        "service": service["name"],
        "endpoint": endpoint["port"],
        "pod": "pgset-webhook-0",
        "container": "webhook",
        "instance": "10.0.0.1:8443",
    }


def _sidecar_target() -> dict[str, str]:
    monitor = document("monitoring/pod-monitor.yaml")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    return {
        "job": f"{monitor['metadata']['namespace']}/{monitor['metadata']['name']}",
        "namespace": "shop",
        "endpoint": endpoint["port"],
        "pod": "orders-0",
        "container": "pgset-sidecar",
        "instance": "10.0.0.2:8008",
    }


def _scraped(told: Told, target: dict[str, str]) -> Told:
    """Prometheus itself tells of every target whether it is up."""
    return [series | target for series in [*told, {NAME: "up"}]]


TARGETS = [
    (told_by_the_webhook(), _webhook_target()),
    (told_by_a_sidecar(), _sidecar_target()),
]
"""What is told, and the labels that scraping adds to it."""

SCRAPED = [series for told, target in TARGETS for series in _scraped(told, target)]
