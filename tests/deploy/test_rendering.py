"""What `kubectl kustomize` makes of the folders that users apply."""

import os
import subprocess

import pytest
import yaml

from deploy.local import programs
from tests.deploy.manifests import DEPLOY
from tests.webhook.objects import review_of
from webhook.mutate import mutate_statefulset

# kubectl is built with the cluster's programs; nothing else of it is needed.
pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="kube")]

FOLDERS = [
    ".",
    "base",
    "grant",
    "monitoring",
    "overlays/cluster-critical",
    "examples/pgset",
    "examples/pgset-nfs",
    "examples/volume-claim-templates",
    "examples/article-label",
]


def rendered(folder):
    kubectl = programs.kubernetes() / "kubectl"
    run = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(run.stdout))


def of_kind(manifests, kind):
    return [manifest for manifest in manifests if manifest["kind"] == kind]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_renders(folder):
    assert rendered(DEPLOY / folder)


def test_all_of_the_installation_is_in_its_namespace():
    namespaced = [
        manifest
        for manifest in rendered(DEPLOY)
        if not manifest["kind"].startswith(("Cluster", "Mutating", "Namespace", "Validating"))
    ]
    assert {manifest["metadata"]["namespace"] for manifest in namespaced} == {"pgset-system"}


def test_an_overlays_image_reaches_all_containers(tmp_path):
    base = os.path.relpath(DEPLOY, tmp_path.resolve())
    overlay = {
        "resources": [base],
        "images": [{"name": "pgset", "newName": "registry.example.com/pgset", "newTag": "1"}],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.dump(overlay))
    pods = [it["spec"]["template"]["spec"] for it in of_kind(rendered(tmp_path), "Deployment")]
    images = [
        container["image"]
        for pod in pods
        for container in pod.get("initContainers", []) + pod["containers"]
    ]
    assert images == ["registry.example.com/pgset:1"] * 3


def test_a_priority_class_is_all_that_cluster_critical_adds():
    """To each: nobody renews the certificate, or makes a new set's accounts, in pods that wait."""

    def without_class(folder):
        manifests = rendered(DEPLOY / folder)
        pods = [it["spec"]["template"]["spec"] for it in of_kind(manifests, "Deployment")]
        return [pod.pop("priorityClassName", None) for pod in pods], manifests

    (none, base), (critical, overlay) = map(without_class, (".", "overlays/cluster-critical"))
    assert (none, critical) == ([None] * 3, ["system-cluster-critical"] * 3)
    assert base == overlay


def test_fail_open_changes_what_happens_without_the_webhook_and_nothing_else():
    """What each of the registrations says is in test_registration.py."""
    closed, opened = rendered(DEPLOY), rendered(DEPLOY / "overlays/fail-open")
    (configuration,) = of_kind(opened, "MutatingWebhookConfiguration")
    policies = [webhook["failurePolicy"] for webhook in configuration["webhooks"]]
    assert policies == ["Ignore", "Ignore", "Ignore"]
    for webhook in configuration["webhooks"][:2]:
        webhook["failurePolicy"] = "Fail"
    assert closed == opened


def test_on_the_nodes_network_the_webhook_is_at_another_port_and_nothing_else_is_changed():
    def webhook_of(manifests):
        (it,) = [
            it
            for it in of_kind(manifests, "Deployment")
            if it["metadata"]["name"].endswith("webhook")
        ]
        return it["spec"]

    base, overlay = rendered(DEPLOY), rendered(DEPLOY / "overlays/host-network")
    (namespace,) = of_kind(overlay, "Namespace")
    labels = namespace["metadata"]["labels"]
    assert labels.pop("pod-security.kubernetes.io/enforce") == "privileged"
    labels["pod-security.kubernetes.io/enforce"] = "restricted"
    webhook = webhook_of(overlay)
    pod = webhook["template"]["spec"]
    (container,) = pod["containers"]
    assert pod.pop("hostNetwork") is True
    assert webhook["strategy"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 1}
    ports = {"https": 10260, "probes": 10261}
    assert {it["name"]: it["containerPort"] for it in container["ports"]} == ports
    assert {"name": "PGSET_PORT", "value": "10260"} in container["env"]
    assert {"name": "PGSET_PROBES_PORT", "value": "10261"} in container["env"]
    former = webhook_of(base)
    webhook["strategy"] = former["strategy"]
    for field in ("ports", "env"):
        container[field] = former["template"]["spec"]["containers"][0][field]
    assert base == overlay


def test_the_nfs_variant_differs_only_in_where_the_volumes_are():
    def other_than_volumes(folder):
        return [m for m in rendered(DEPLOY / folder) if m["kind"] != "PersistentVolume"]

    assert other_than_volumes("examples/pgset") == other_than_volumes("examples/pgset-nfs")
    for volume in of_kind(rendered(DEPLOY / "examples/pgset-nfs"), "PersistentVolume"):
        assert volume["spec"]["nfs"] == {"server": "nfs.example.com", "path": "/export/pgset"}
        assert "hostPath" not in volume["spec"]


def test_the_articles_label_selects_what_the_webhook_will_set():
    manifests = rendered(DEPLOY / "examples/article-label")
    selectors = {
        s["metadata"]["name"]: s["spec"]["selector"] for s in of_kind(manifests, "Service")
    }
    assert selectors["pgset-primary"] == {"name": "pgset-primary"}
    assert selectors["pgset-replica"] == {"name": "pgset-replica"}
    (statefulset,) = of_kind(manifests, "StatefulSet")
    assert mutate_statefulset(review_of(statefulset)).outcome == "patched"
