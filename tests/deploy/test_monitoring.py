"""What alerts and dashboard ask for is what webhook and sidecar tell, and whom it is asked of.

The rules are checked as `promtool check rules` does, and against what is told, which it can't know.
"""

import json
import re

import pytest
from promql_parser import display_duration, parse_duration

from sidecar import contract
from tests.deploy.firing import Seen, fires
from tests.deploy.manifests import DEPLOY, document
from tests.deploy.promql import result_labels
from tests.deploy.scraped import SCRAPED, TARGETS
from tests.webhook.objects import golden
from webhook.caretaker.services import LEADS_TO_REPLICAS

GROUPS = document("monitoring/prometheus-rule.yaml")["spec"]["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
DASHBOARD = json.loads((DEPLOY / "monitoring/dashboard.json").read_text())
QUERIES = [target for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
VARIABLES = DASHBOARD["templating"]["list"]

LABEL = re.compile(r"[a-zA-Z_]\w*", re.ASCII)
ACTION = re.compile(r"\{\{ (?:\$labels\.(\w+)|\$value(?: \| (\w+))?) \}\}")
"""What our annotations have of Go's templates: a label, or the value, formatted or not."""
FORMATS = {"humanize", "humanize1024", "humanizeDuration", "humanizePercentage"}
"""Of https://prometheus.io/docs/prometheus/latest/configuration/template_reference/#numbers."""


def in_rules(function):
    return pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])(function)


def without_variables(query):
    """As Grafana asks where everything is chosen; what is no variable of the dashboard stays."""
    query = query.replace("$__rate_interval", "1m")
    for variable in VARIABLES:
        query = re.sub(rf"\${variable['name']}\b", ".*", query)
    return query


@in_rules
def test_an_alert_asks_for_what_is_told_and_speaks_of_labels_that_it_has(rule):
    labels = result_labels(rule["expr"], SCRAPED)
    for text in [*rule["annotations"].values(), *rule["labels"].values()]:
        used = ACTION.findall(text)
        assert {label for label, _ in used if label} <= labels
        assert {function for _, function in used if function} <= FORMATS
        assert not re.search(r"\{\{|\}\}", ACTION.sub("", text))


@in_rules
def test_an_alert_says_how_bad_it_is_and_what_it_means(rule):
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    for name in ("summary", "description"):
        assert rule["annotations"][name].endswith(".")


@in_rules
def test_a_rule_has_the_fields_names_and_durations_that_prometheus_takes(rule):
    assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
    assert all(LABEL.fullmatch(name) for name in [*rule["labels"], *rule["annotations"]])
    # The library takes a bare number too, which Prometheus does not; that is shown with its unit.
    assert display_duration(parse_duration(rule["for"])) == rule["for"]


def test_no_alert_and_no_group_is_there_twice():
    for names in ([rule["alert"] for rule in RULES], [group["name"] for group in GROUPS]):
        assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query["legendFormat"])
def test_the_dashboard_asks_for_what_is_told_and_its_legends_have_labels_of_that(query):
    labels = result_labels(without_variables(query["expr"]), SCRAPED)
    assert set(re.findall(r"\{\{(\w+)\}\}", query["legendFormat"])) <= labels


def test_nothing_that_may_fall_is_counted_as_if_it_only_rose():
    """Of a WAL position that falls, as by a rewind, rate() makes all the WAL there ever was."""
    expressions = [it["expr"] for it in [*RULES, *QUERIES]]
    counted = re.findall(r"(?:rate|increase)\((\w+)", " ".join(expressions))
    assert len(counted) > 3
    assert [it for it in counted if not it.endswith(("_total", "_bucket"))] == []


def test_the_dashboards_choices_are_labels_of_what_is_told():
    queries = [it["query"] for it in VARIABLES if it["type"] == "query"]
    asked = [re.fullmatch(r"label_values\((.+), (\w+)\)", query) for query in queries]
    found = [match.groups() for match in asked if match]
    assert [label for _, label in found] == ["namespace", "set"]
    for expression, label in found:
        assert label in result_labels(without_variables(expression), SCRAPED)


@pytest.mark.parametrize(("told", "target"), TARGETS, ids=["webhook", "sidecar"])
def test_what_is_told_has_no_label_that_scraping_adds(told, target):
    """Prometheus would rename it to exported_namespace, exported_pod, …"""
    assert all(target.keys().isdisjoint(series) for series in told)


def test_the_webhook_is_scraped_at_its_service_by_the_certificate_that_certs_keeps():
    (endpoint,) = document("monitoring/service-monitor.yaml")["spec"]["endpoints"]
    service = document("service.yaml")
    selector = document("monitoring/service-monitor.yaml")["spec"]["selector"]["matchLabels"]
    assert selector.items() <= service["metadata"]["labels"].items()
    assert endpoint["port"] == service["spec"]["ports"][0]["name"]
    metadata = service["metadata"]
    assert endpoint["tlsConfig"]["serverName"] == f"{metadata['name']}.{metadata['namespace']}.svc"
    assert endpoint["tlsConfig"]["ca"]["secret"]["name"] == "pgset-webhook-serving"


def test_every_sidecar_is_scraped_at_the_port_that_it_names():
    spec = document("monitoring/pod-monitor.yaml")["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]
    sidecar = golden("article", "pod.admitted")["spec"]["initContainers"][0]
    assert endpoint["port"] == sidecar["ports"][0]["name"]
    (expression,) = spec["selector"]["matchExpressions"]
    assert expression == {"key": contract.SET_LABEL, "operator": "Exists"}
    assert spec["namespaceSelector"] == {"any": True}


# ── Alerts that fire ──────────────────────────────────────────────────────────────────────

HOUR = 3600.0
LOST = 10 * HOUR
"""When the last members were scraped."""


def member_of(name, ends, *, up=1.0, writable=0.0):
    """What a Prometheus has of a member; None: it is scraped to this day."""
    target = TARGETS[1][1] | {"pod": name}
    until = ends if ends is not None else float("inf")
    of_set = target | {"set": name.rpartition("-")[0]}
    told = [
        Seen(of_set | {"__name__": "pgset_postgres_up"}, up, 0.0, until),
        Seen(of_set | {"__name__": "pgset_postgres_writable"}, writable, 0.0, until),
        Seen(target | {"__name__": "up"}, 1.0, 0.0, until),
    ]
    unreachable = Seen(target | {"__name__": "up"}, 0.0, until + 15.0, float("inf"))
    return told if ends is None else [*told, unreachable]


def firing(alert, series, now):
    (rule,) = [rule for rule in RULES if rule["alert"] == alert]
    return fires(rule, series, now)


def test_an_alert_tells_of_a_set_of_which_nobody_can_be_asked_when_no_other_can():
    lost = [*member_of("orders-0", LOST, writable=1.0), *member_of("orders-1", LOST)]
    well = member_of("shop-0", None, writable=1.0)
    expected = {"namespace": "shop", "set": "orders"}
    assert firing("PgsetSetUnreachable", [*lost, *well], LOST + 200) == [expected]
    assert firing("PgsetSetUnreachable", [*lost, *well], LOST + HOUR / 3) == [expected]
    assert firing("PgsetNoPrimary", [*lost, *well], LOST + 200) == []


@pytest.mark.parametrize(
    ("of_other", "after"),
    [(None, 200.0), (LOST, 60.0), (LOST, 0.6 * HOUR)],
    ids=["one is left", "a moment", "long ago"],
)
def test_it_is_silent_where(of_other, after):
    series = [*member_of("orders-0", LOST), *member_of("orders-1", of_other)]
    assert firing("PgsetSetUnreachable", series, LOST + after) == []


def test_what_an_opt_out_looks_like_too_wakes_nobody_and_says_so():
    """No member of such a set can be asked any more, either."""
    (rule,) = [rule for rule in RULES if rule["alert"] == "PgsetSetUnreachable"]
    assert rule["labels"]["severity"] == "warning"
    assert "opted out, deleted or scaled to 0" in rule["annotations"]["description"]


def test_a_webhook_that_is_down_is_told_with_what_it_takes_from_services():
    (rule,) = [rule for rule in RULES if rule["alert"] == "PgsetWebhookDown"]
    assert f"a Service with {contract.SELECTS}" in rule["annotations"]["description"]
    assert LEADS_TO_REPLICAS in rule["annotations"]["description"]


def test_an_alert_tells_of_each_member_that_cannot_be_asked():
    series = [*member_of("orders-0", LOST), *member_of("orders-1", None)]
    (labels,) = firing("PgsetMemberUnreachable", series, LOST + 400)
    assert (labels["namespace"], labels["pod"]) == ("shop", "orders-0")
    assert firing("PgsetMemberUnreachable", series, LOST + 200) == []


def test_a_set_without_a_primary_is_told_of():
    series = [*member_of("orders-0", None), *member_of("orders-1", None)]
    assert firing("PgsetNoPrimary", series, LOST) == [{"namespace": "shop", "set": "orders"}]
    assert (
        firing("PgsetNoPrimary", [*series, *member_of("orders-2", None, writable=1.0)], LOST) == []
    )
