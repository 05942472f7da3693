"""The installation with cert-manager in place of certs, as kustomize makes it."""

import pytest

from certs.authority import service_names
from tests.deploy.manifests import DEPLOY
from tests.deploy.test_rendering import of_kind, rendered

# kubectl is built with the cluster's programs; nothing else of it is needed.
pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="kube")]

ADDED = {
    ("Issuer", "pgset-webhook-self-signed"),
    ("Certificate", "pgset-webhook-ca"),
    ("Issuer", "pgset-webhook-ca"),
    ("Certificate", "pgset-webhook"),
}


@pytest.fixture(scope="module")
def manifests():
    return rendered(DEPLOY / "overlays/cert-manager")


def named(manifests):
    return {(it["kind"], it["metadata"]["name"]): it for it in manifests}


def test_it_is_the_installation_and_what_cert_manager_is_asked_for(manifests):
    ours = set(named(rendered(DEPLOY)))
    of_certs = {it for it in ours if it[1] == "pgset-certs"}
    assert set(named(manifests)) == ours - of_certs | ADDED
    assert {named(manifests)[it]["metadata"]["namespace"] for it in ADDED} == {"pgset-system"}


def test_no_container_makes_certificates_and_the_webhook_serves_cert_managers(manifests):
    deployment = named(manifests)["Deployment", "pgset-webhook"]
    pod = deployment["spec"]["template"]["spec"]
    assert not pod.get("initContainers")
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "tls"]
    secret = named(manifests)["Certificate", "pgset-webhook"]["spec"]["secretName"]
    assert volume == {"name": "tls", "secret": {"secretName": secret}}
    (webhook,) = pod["containers"]
    assert "/etc/pgset/tls" in {mount["mountPath"] for mount in webhook["volumeMounts"]}


def test_the_certificate_has_the_names_that_certs_would_give_it(manifests):
    spec = named(manifests)["Certificate", "pgset-webhook"]["spec"]
    assert tuple(spec["dnsNames"]) == service_names("pgset-webhook", "pgset-system")


def test_the_registrations_trust_who_signs_it(manifests):
    (registration,) = of_kind(manifests, "MutatingWebhookConfiguration")
    annotations = registration["metadata"]["annotations"]
    assert annotations["cert-manager.io/inject-ca-from"] == "pgset-system/pgset-webhook"
    serving = named(manifests)["Certificate", "pgset-webhook"]["spec"]
    issuer = named(manifests)["Issuer", serving["issuerRef"]["name"]]["spec"]
    authority = named(manifests)["Certificate", "pgset-webhook-ca"]["spec"]
    assert issuer == {"ca": {"secretName": authority["secretName"]}}


def test_a_renewed_ca_verifies_what_the_one_before_has_signed(manifests):
    authority = named(manifests)["Certificate", "pgset-webhook-ca"]["spec"]
    assert authority["isCA"] is True
    assert authority["privateKey"]["rotationPolicy"] == "Never"


def test_nobody_has_a_right_that_only_certs_needs(manifests):
    resources = {
        resource
        for kind in ("Role", "ClusterRole")
        for rule in named(manifests)[kind, "pgset-webhook"]["rules"]
        for resource in rule["resources"]
    }
    assert resources.isdisjoint({"secrets", "mutatingwebhookconfigurations"})
    assert {"pods", "leases"} <= resources
