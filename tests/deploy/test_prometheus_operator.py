"""deploy/monitoring before the Prometheus operator's own definitions, on the local cluster.

All is tried as a dry run; of the operator there are the definitions alone.
"""

import pytest

from deploy.local import cluster, prometheus_operator
from tests.deploy.cluster_tools import SYSTEM, Kubectl, RefusedError, wait_until
from tests.deploy.manifests import BASE, DEPLOY, document

pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="kube")]

KINDS = {
    "podmonitor": "pgset-members",
    "prometheusrule": "pgset",
    "servicemonitor": "pgset-webhook",
}
"""What deploy/monitoring has of each kind."""
GROUP = "monitoring.coreos.com"
DRY = ("apply", "--dry-run=server", "--validate=strict", "--output=name")
SERVED_WITHIN = 180.0


def fields_are_known(kubectl):
    """Kinds and fields are published a moment after a definition is established."""
    try:
        for kind in KINDS:
            kubectl("explain", f"{kind}.spec")
    except RefusedError:
        return False
    return True


@pytest.fixture(scope="module")
def kubectl():
    cluster.up()
    kubectl = Kubectl(SYSTEM)
    kubectl("apply", "-f", str(BASE / "namespace.yaml"))
    definitions = str(prometheus_operator.definitions())
    try:
        kubectl("apply", "--server-side", "-f", definitions)
        wait_until(lambda: fields_are_known(kubectl), SERVED_WITHIN)
        yield kubectl
    finally:
        kubectl("delete", "-f", definitions, "--ignore-not-found", "--timeout=240s")


def test_all_of_it_is_accepted(kubectl):
    accepted = kubectl(*DRY, "-k", str(DEPLOY / "monitoring")).split()
    monitored = {f"{kind}.{GROUP}/{name}" for kind, name in KINDS.items()}
    assert set(accepted) == {"configmap/pgset-dashboard", *monitored}
    assert kubectl.warnings == []


def pod_monitor(**endpoint):
    manifest = document("monitoring/pod-monitor.yaml")
    manifest["spec"]["podMetricsEndpoints"][0] |= endpoint
    return manifest


def service_monitor(**endpoint):
    manifest = document("monitoring/service-monitor.yaml")
    manifest["spec"]["endpoints"][0] |= endpoint
    return manifest


def rules(**rule):
    manifest = document("monitoring/prometheus-rule.yaml")
    manifest["spec"]["groups"][0]["rules"][0] |= rule
    return manifest


SPOILT = {
    "spec.podMetricsEndpoints[0].metricsPath": pod_monitor(metricsPath="/metrics"),
    "spec.podMetricsEndpoints[0].interval": pod_monitor(interval="30 seconds"),
    "spec.endpoints[0].tls": service_monitor(tls={}),
    "spec.endpoints[0].interval": service_monitor(interval="every 30s"),
    "spec.groups[0].rules[0].severity": rules(severity="critical"),
    "spec.groups[0].rules[0].for": rules(**{"for": "5 min"}),
}


@pytest.mark.parametrize(("field", "manifest"), SPOILT.items(), ids=SPOILT)
def test_a_field_or_a_duration_that_the_operator_does_not_know_is_refused(kubectl, field, manifest):
    with pytest.raises(RefusedError) as refusal:
        kubectl(*DRY, "-f", "-", manifest=manifest)
    assert field in str(refusal.value)
