"""The chart on the local cluster: installed, asked whether it is well, upgraded and removed."""

import subprocess

import pytest

from deploy.local import cluster, paths, programs
from tests.deploy.cluster_tools import SYSTEM, Kubectl, wait_until, webhook_pods
from tests.deploy.manifests import DEPLOY, document
from tests.deploy.test_admission import pod

pytestmark = [pytest.mark.cluster, pytest.mark.rarely]

NAMESPACE = "test-helm"
CHART = DEPLOY / "chart/pgset"
HEALS_WITHIN = 180.0


def helm(*words):
    command = [programs.build(programs.HELM) / "helm", *words]
    done = subprocess.run(
        [*command, f"--namespace={SYSTEM}", f"--kubeconfig={paths.kubeconfig()}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def put_manifests_away(system):
    system("delete", "mutatingwebhookconfiguration", "pgset", "--ignore-not-found")
    system("delete", "-k", str(DEPLOY), "--ignore-not-found", "--timeout=300s")


@pytest.fixture(scope="module")
def kubectl():
    cluster.up()
    system, kubectl = Kubectl(SYSTEM), Kubectl(NAMESPACE)
    put_manifests_away(system)
    kubectl("create", "namespace", NAMESPACE)
    kubectl("create", "serviceaccount", "pgset-sa")
    yield kubectl
    kubectl("delete", "namespace", NAMESPACE)
    system("apply", "-k", str(DEPLOY))
    system("rollout", "status", "deployment/pgset-webhook", "--timeout=300s")


def is_injected(kubectl):
    return "initContainers" in kubectl.dry_run(pod())["spec"]


def ca_bundles(kubectl):
    registration = kubectl.json("get", "mutatingwebhookconfiguration", "pgset")
    return [webhook["clientConfig"].get("caBundle") for webhook in registration["webhooks"]]


def members(kubectl):
    """Labels of the set's pods by their uid; nobody schedules them."""
    pods = kubectl.json("get", "pods", "--selector=pgset.dev/set=shop")["items"]
    return {pod["metadata"]["uid"]: pod["metadata"]["labels"] for pod in pods}


def statefulset():
    made = document("examples/pgset/statefulset.yaml")
    made["metadata"]["name"] = "shop"
    made["spec"]["template"]["spec"]["schedulerName"] = "nobody"
    return made


def test_it_is_installed_well_upgraded_while_nothing_rolls_and_removed_without_a_trace(kubectl):
    install = ("pgset", str(CHART), "--wait", "--timeout=300s")
    helm("install", *install, "--create-namespace")
    assert "Succeeded" in helm("test", "pgset", "--timeout=300s")
    wait_until(lambda: is_injected(kubectl), HEALS_WITHIN)
    trusted = ca_bundles(kubectl)
    assert all(trusted)
    kubectl("create", "-f", "-", manifest=statefulset())
    wait_until(lambda: len(members(kubectl)) == 2, HEALS_WITHIN)
    before = members(kubectl)

    helm("upgrade", *install, "--set=replicas=1", "--set=failurePolicy=Ignore")
    wait_until(lambda: len(webhook_pods()) == 1, HEALS_WITHIN)
    assert trusted == ca_bundles(kubectl)
    wait_until(lambda: is_injected(kubectl), HEALS_WITHIN)
    # The next change of a set goes through the new webhook.
    kubectl("scale", "statefulset/shop", "--replicas=3")
    wait_until(lambda: len(members(kubectl)) == 3, HEALS_WITHIN)
    revision = {labels["controller-revision-hash"] for labels in members(kubectl).values()}
    assert len(revision) == 1
    assert before.keys() < members(kubectl).keys()

    kubectl("delete", "mutatingwebhookconfiguration", "pgset")
    helm("uninstall", "pgset", "--wait", "--timeout=300s")
    assert not is_injected(kubectl)
    Kubectl(SYSTEM)("delete", "namespace", SYSTEM, "--timeout=300s")
