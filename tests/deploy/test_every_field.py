"""A pod with every field that the API server knows, through the webhook, on the local cluster."""

import json
from pathlib import Path

import pytest
import yaml

from sidecar import contract
from tests.deploy.cluster_tools import SYSTEM, Kubectl, install, make_namespace
from webhook.injection import NOT_ALLOWED
from webhook.json_patch import Json

pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="kube")]

NAMESPACE = "test-every-field"
GIVEN = yaml.safe_load((Path(__file__).parent / "pod_with_every_field.yaml").read_text())
SPEC, DATABASE = GIVEN["spec"], GIVEN["spec"]["containers"][0]

NOT_HERE = {
    "PodSpec": {
        "ephemeralContainers",  # only by a subresource
        "hostPID",  # a set can't have it: the processes of a pod are shared
        "hostIPC",  # not beside that sysctl
        "nodeName",  # not beside schedulingGates
        "hostnameOverride",  # not beside setHostnameAsFQDN and hostNetwork
        "schedulingGroup",  # the API server drops it by default
    },
    "PodSecurityContext": {"windowsOptions"},  # not beside os: linux
    "SecurityContext": {"windowsOptions"},
}
"""Fields that the pod does not have."""


@pytest.fixture(scope="module")
def kubectl():
    install(restart=False)
    system = Kubectl(SYSTEM)
    runtime = {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": SPEC["runtimeClassName"]},
        "handler": "runc",
        "overhead": {"podFixed": SPEC["overhead"]},
    }
    try:
        system("apply", "-f", "-", manifest=runtime)
        kubectl = make_namespace(NAMESPACE)
        kubectl("create", "serviceaccount", SPEC["serviceAccountName"])
        yield kubectl
    finally:
        system("delete", "namespace", NAMESPACE, "--ignore-not-found")
        system("delete", "runtimeclass", SPEC["runtimeClassName"], "--ignore-not-found")


@pytest.mark.parametrize(
    ("model", "present"),
    [
        ("PodSpec", SPEC),
        ("PodSecurityContext", SPEC["securityContext"]),
        ("Container", DATABASE | SPEC["containers"][1]),
        ("SecurityContext", DATABASE["securityContext"]),
    ],
)
def test_whatever_the_api_server_knows_is_set(kubectl, model, present):
    schemas = json.loads(kubectl("get", "--raw", "/openapi/v3/api/v1"))["components"]["schemas"]
    known = set(schemas[f"io.k8s.api.core.v1.{model}"]["properties"])
    assert known - set(present) == NOT_HERE.get(model, set())


def test_it_goes_through_untouched_but_for_our_additions(kubectl):
    plain = {**GIVEN, "metadata": {**GIVEN["metadata"], "labels": {"app": "pgset"}}}
    expected, admitted = kubectl.dry_run(plain), kubectl.dry_run(GIVEN)
    for name in NOT_ALLOWED:
        expected["spec"]["containers"][0].pop(name, None)
    without_additions(admitted)
    for pod in (expected, admitted):
        for field in ("uid", "creationTimestamp"):
            del pod["metadata"][field]
        # The two were made a moment apart, perhaps in two seconds.
        for condition in pod["status"].get("conditions") or []:
            condition.pop("lastTransitionTime", None)
    assert expected == admitted


def without_additions(pod: Json) -> None:
    """Take from a pod what the webhook has added, each of which is there."""
    metadata, spec = pod["metadata"], pod["spec"]
    del metadata["labels"][contract.SET_LABEL], metadata["labels"][contract.DEFAULT_ROLE_LABEL]
    del metadata["annotations"][contract.INJECTED], metadata["annotations"][contract.SIGNS]
    containers = [spec["initContainers"].pop(index)["name"] for index in (0, -1)]
    assert containers == [contract.SIDECAR_CONTAINER, contract.BOOTSTRAP_CONTAINER]
    *spec["volumes"], handshake, token = spec["volumes"]
    assert (handshake["name"], token["name"]) == (contract.HANDSHAKE_VOLUME, contract.TOKEN_VOLUME)
    assert spec["containers"][0].pop("livenessProbe")["httpGet"]["path"] == "/liveness"
