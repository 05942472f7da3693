"""The installation with cert-manager, and a certificate renewed, on the local cluster.

The test does what cert-manager would: it writes the Secret and the caBundles.
"""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from kubernetes import client, config

from certs.authority import make_leaf, service_names
from certs.renewal import Trust, renewed
from deploy.local import paths
from tests.deploy.admissions import Admissions
from tests.deploy.cluster_tools import (
    SYSTEM,
    WEBHOOK_REPLICAS,
    Kubectl,
    install,
    served_certificate,
    wait_until,
    webhook_pods,
)
from tests.deploy.manifests import DEPLOY
from tests.deploy.test_rendering import rendered

pytestmark = [pytest.mark.cluster, pytest.mark.rarely]

NAMESPACE = "test-cert-manager"
OF_CERT_MANAGER = {"Issuer", "Certificate"}
NAMES = service_names("pgset-webhook", SYSTEM)
PROPAGATES_WITHIN = 300.0
"""Seconds: a kubelet brings a changed Secret into the pods in its own time, up to 90 s."""


@pytest.fixture
def namespace():
    install()
    kubectl = Kubectl(NAMESPACE)
    try:
        kubectl("create", "namespace", NAMESPACE)
        kubectl("create", "serviceaccount", "pgset-sa")
        yield
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")
        install()
        Kubectl(SYSTEM)("delete", "secret", "pgset-webhook-serving", "--ignore-not-found")


def write_secret(trust: Trust) -> None:
    content = {
        "tls.crt": trust.leaf.certificate,
        "tls.key": trust.leaf.key,
        "ca.crt": trust.authority.certificate,
    }
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "pgset-webhook-serving", "namespace": SYSTEM},
        "type": "kubernetes.io/tls",
        "data": {name: base64.b64encode(value).decode() for name, value in content.items()},
    }
    Kubectl(SYSTEM)("apply", "-f", "-", manifest=secret)


def write_ca_bundles(trust: Trust) -> None:
    bundle = base64.b64encode(trust.authority.certificate).decode()
    patch = [
        {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": bundle}
        for index in range(2)
    ]
    Kubectl(SYSTEM)(
        *("patch", "mutatingwebhookconfiguration/pgset", "--type=json"),
        *("--patch", json.dumps(patch)),
    )


def all_serve(trust: Trust) -> bool:
    served = {served_certificate(pod) for pod in webhook_pods()}
    return served == {trust.leaf.certificate.decode()}


@pytest.mark.usefixtures("namespace")
def test_a_renewed_certificate_comes_into_service_and_fails_no_admission():
    system, now = Kubectl(SYSTEM), datetime.now(UTC)
    first, _ = renewed(None, NAMES, now)
    write_secret(first)
    installation = [
        it for it in rendered(DEPLOY / "overlays/cert-manager") if it["kind"] not in OF_CERT_MANAGER
    ]
    system("apply", "-f", "-", manifest={"apiVersion": "v1", "kind": "List", "items": installation})
    write_ca_bundles(first)
    system("rollout", "status", "deployment/pgset-webhook", "--timeout=300s")
    wait_until(lambda: len(webhook_pods()) == WEBHOOK_REPLICAS and all_serve(first), 180)

    second = Trust(first.authority, make_leaf(first.authority, NAMES, now + timedelta(days=1)))
    with (
        config.new_client_from_config(str(paths.kubeconfig())) as api_client,
        Admissions(client.CoreV1Api(api_client), NAMESPACE) as admissions,
    ):
        write_secret(second)
        wait_until(lambda: all_serve(second), PROPAGATES_WITHIN)
    admissions.assert_all_well()
