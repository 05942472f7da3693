"""What alerts and dashboard ask for is what webhook and sidecar tell, and whom it is asked of."""

import json
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sidecar import contract
from sidecar.action import Attention, Decision
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
from tests.deploy.manifests import DEPLOY, document
from tests.deploy.promql import metric_names
from tests.webhook.clock import Clock
from tests.webhook.objects import golden
from tests.webhook.served_app import application

BY_PROMETHEUS = {"up"}
"""Metrics that a Prometheus makes itself, of every target."""

RULES = [
    rule
    for group in document("monitoring/prometheus-rule.yaml")["spec"]["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((DEPLOY / "monitoring/dashboard.json").read_text())
TARGETS = [target for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]


def told(exposition: bytes) -> set[str]:
    families = text_string_to_metric_families(exposition.decode())
    return {sample.name for family in families for sample in family.samples}


def told_by_the_webhook() -> set[str]:
    client = application.test_client()
    # A metric with labels tells nothing before there is something to count.
    client.post("/mutate/pods", data=b"no review")
    return told(client.get("/metrics").data)


def told_by_a_sidecar() -> set[str]:
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
    decision = Decision("Following", "It follows.", Attention.NONE, ())
    reporter.publish(Snapshot(observation, decision, problem=None))
    return told(Metrics(reporter, "orders", requests=lambda: {"get": 1}).render())


TOLD = told_by_the_webhook() | told_by_a_sidecar() | BY_PROMETHEUS


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("up == 0", {"up"}),
        ('absent(up{job="x"} == 1)', {"up"}),
        ("sum by (kind) (rate(a_total[5m])) > 1e3", {"a_total"}),
        ("histogram_quantile(0.99, sum by (le) (rate(b_bucket[5m])))", {"b_bucket"}),
        ("a and on (pod) b{c=~'x'} unless ignoring(d) e offset 5m", {"a", "b", "e"}),
        ("sum(a) without (x) / count (b)", {"a", "b"}),
    ],
)
def test_the_names_in_an_expression_are_found(expression, names):
    assert names == metric_names(expression)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_is_told(rule):
    assert metric_names(rule["expr"])
    assert metric_names(rule["expr"]) <= TOLD


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target["legendFormat"])
def test_the_dashboard_asks_for_what_is_told(target):
    assert metric_names(target["expr"])
    assert metric_names(target["expr"]) <= TOLD


def test_the_dashboards_choices_are_labels_of_what_is_told():
    queries = [it["query"] for it in DASHBOARD["templating"]["list"] if it["type"] == "query"]
    asked = [re.fullmatch(r"label_values\((\w+).*, (\w+)\)", query) for query in queries]
    assert {(match[1], match[2]) for match in asked if match} == {
        ("pgset_info", "namespace"),
        ("pgset_info", "set"),
    }
    assert "pgset_info" in TOLD


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_what_it_means(rule):
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    for name in ("summary", "description"):
        assert rule["annotations"][name].endswith(".")


def test_the_webhook_is_scraped_at_its_service_by_the_certificate_that_certs_keeps():
    (endpoint,) = document("monitoring/service-monitor.yaml")["spec"]["endpoints"]
    service = document("service.yaml")
    selector = document("monitoring/service-monitor.yaml")["spec"]["selector"]["matchLabels"]
    assert selector.items() <= service["metadata"]["labels"].items()
    assert endpoint["port"] == service["spec"]["ports"][0]["name"]
    metadata = service["metadata"]
    assert endpoint["tlsConfig"]["serverName"] == f"{metadata['name']}.{metadata['namespace']}.svc"
    assert endpoint["tlsConfig"]["ca"]["secret"]["name"] == "pgset-webhook-tls"


def test_every_sidecar_is_scraped_at_the_port_that_it_names():
    spec = document("monitoring/pod-monitor.yaml")["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]
    sidecar = golden("article", "pod.admitted")["spec"]["initContainers"][0]
    assert endpoint["port"] == sidecar["ports"][0]["name"]
    (expression,) = spec["selector"]["matchExpressions"]
    assert expression == {"key": contract.SET_LABEL, "operator": "Exists"}
    assert spec["namespaceSelector"] == {"any": True}
