"""Admission by the installed webhook, on the local cluster.

All is tried as a dry run: the API server does everything but store it.
"""

import base64

import pytest

from sidecar import contract
from tests.deploy.cluster_tools import (
    SYSTEM,
    Kubectl,
    RefusedError,
    install,
    make_namespace,
    reviews_answered,
    served_certificate,
    wait_until,
    webhook_pods,
)
from tests.deploy.manifests import document
from tests.webhook import objects

pytestmark = pytest.mark.cluster

NAMESPACE = "test-admission"
SECRETS = ("pgset-webhook-tls", "pgset-webhook-serving")
HEALS_WITHIN = 180.0


@pytest.fixture(scope="module")
def kubectl():
    install()
    kubectl = make_namespace(NAMESPACE)
    kubectl("create", "serviceaccount", "pgset-sa")
    yield kubectl
    kubectl("delete", "namespace", NAMESPACE)


def without_namespace(manifest):
    del manifest["metadata"]["namespace"]
    return manifest


def statefulset():
    return document("examples/pgset/statefulset.yaml")


def pod(case="article"):
    return without_namespace(objects.golden(case, "pod"))


def plain_pod(**metadata):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "plain", **metadata},
        "spec": {"containers": [{"name": "postgres", "image": "postgres:15"}]},
    }


def is_admitted(kubectl):
    """Whether such a pod becomes a member: API servers and kube-proxies learn of what has changed
    a moment later."""
    return "pgset-sidecar" in str(kubectl.dry_run(pod()))


def test_what_has_not_opted_in_is_untouched_and_does_not_reach_the_webhook(kubectl):
    before = reviews_answered()
    plain = statefulset()
    del plain["metadata"]["annotations"]
    template = kubectl.dry_run(plain)["spec"]["template"]
    assert template["metadata"]["labels"] == {"app": "pgset"}
    admitted = kubectl.dry_run(plain_pod())
    assert "initContainers" not in admitted["spec"]
    assert "labels" not in admitted["metadata"]
    assert before == reviews_answered()


def test_the_counter_would_have_told(kubectl):
    before = reviews_answered()
    kubectl.dry_run(statefulset())
    assert before < reviews_answered()


def test_what_is_not_ours_to_decide_does_not_reach_the_webhook(kubectl):
    """A pod without ordinal would be denied."""
    before = reviews_answered()
    ours = {contract.SET_LABEL: "pgset"}
    Kubectl("kube-system").dry_run(plain_pod(labels=ours))
    kubectl.dry_run(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "pgset-pgset", "labels": ours},
        }
    )
    assert before == reviews_answered()


def test_an_opted_in_statefulset_is_stamped(kubectl):
    metadata = kubectl.dry_run(statefulset())["spec"]["template"]["metadata"]
    assert metadata["labels"] == {"app": "pgset", "pgset.dev/set": "pgset"}
    assert metadata["annotations"] == {
        "pgset.dev/enabled": "true",
        "pgset.dev/container": "postgres",
    }


@pytest.mark.parametrize("case", ["article", "user-init-containers", "run-as-user-guaranteed"])
def test_a_pod_of_a_set_is_a_member_when_the_api_server_stores_it(kubectl, case):
    given, admitted = pod(case), kubectl.dry_run(pod(case))
    names = [container["name"] for container in admitted["spec"]["initContainers"]]
    theirs = [container["name"] for container in given["spec"].get("initContainers", [])]
    assert names == ["pgset-sidecar", *theirs, "pgset-bootstrap"]
    assert admitted["metadata"]["labels"][contract.DEFAULT_ROLE_LABEL] == "primary"
    assert admitted["metadata"]["annotations"][contract.INJECTED] == contract.VERSION
    mounts = [
        (container["name"], mount["name"])
        for container in admitted["spec"]["initContainers"] + admitted["spec"]["containers"]
        for mount in container.get("volumeMounts", [])
        if mount["mountPath"] == contract.TOKEN_DIRECTORY
    ]
    assert mounts == [("pgset-sidecar", "pgset-token")]


def test_a_guaranteed_pod_is_guaranteed_in_the_api_servers_eyes_too(kubectl):
    assert kubectl.dry_run(pod("run-as-user-guaranteed"))["status"]["qosClass"] == "Guaranteed"


def test_what_is_injected_meets_pod_security_restricted(kubectl):
    enforced = "pod-security.kubernetes.io/enforce"
    kubectl("label", "namespace", NAMESPACE, f"{enforced}=restricted")
    refusals = []

    def is_enforced():
        try:
            kubectl.dry_run(pod("article"))  # whose user starts it as root
        except RefusedError as refusal:
            refusals.append(str(refusal))
        return any("PodSecurity" in it for it in refusals)

    try:
        wait_until(is_enforced, HEALS_WITHIN)
        assert "pgset-sidecar" not in refusals[-1]
        kubectl.dry_run(pod("run-as-user-guaranteed"))
    finally:
        kubectl("label", "namespace", NAMESPACE, f"{enforced}-")
        wait_until(lambda: is_admitted(kubectl), HEALS_WITHIN)


def test_sidecars_run_the_webhooks_own_image(kubectl):
    (container,) = Kubectl(SYSTEM).json("get", "deployment/pgset-webhook")["spec"]["template"][
        "spec"
    ]["containers"]
    sidecar = kubectl.dry_run(pod())["spec"]["initContainers"][0]
    assert sidecar["image"] == container["image"]


def test_a_pod_is_admitted_as_replica_once_its_sets_lease_exists(kubectl):
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": contract.lease_name("pgset"),
            "labels": {contract.SET_LABEL: "pgset"},
        },
    }

    def role():
        return kubectl.dry_run(pod())["metadata"]["labels"][contract.DEFAULT_ROLE_LABEL]

    wait_until(lambda: role() == "primary", HEALS_WITHIN)
    kubectl("create", "-f", "-", manifest=lease)
    try:
        wait_until(lambda: role() == "replica", HEALS_WITHIN)
    finally:
        kubectl("delete", "lease", contract.lease_name("pgset"))
    wait_until(lambda: role() == "primary", HEALS_WITHIN)


@pytest.mark.parametrize(
    ("annotations", "sentence"),
    [
        ({"pgset.dev/ttl": "1s"}, 'annotation pgset.dev/ttl: "1s" is not allowed; allowed:'),
        ({"pgset.dev/tll": "9s"}, 'annotation pgset.dev/tll: "9s" is unknown; allowed:'),
        (
            {"pgset.dev/container": "mysql"},
            'annotation pgset.dev/container: "mysql" is not a container of the pod; '
            'allowed: "postgres"',
        ),
        (
            {"pgset.dev/role-label": "app"},
            'annotation pgset.dev/role-label: "app" is in the StatefulSet\'s own spec.selector',
        ),
    ],
)
def test_bad_input_is_denied_with_what_is_allowed(kubectl, annotations, sentence):
    manifest = statefulset()
    manifest["metadata"]["annotations"].update(annotations)
    with pytest.raises(RefusedError) as refusal:
        kubectl.dry_run(manifest)
    assert sentence in str(refusal.value)


def test_a_dry_run_of_the_opt_in_tells_what_no_member_can_run_with(kubectl):
    manifest = statefulset()
    manifest["spec"]["template"]["spec"]["containers"][0]["args"] = ["postgres", "-p8008"]
    with pytest.raises(RefusedError) as refusal:
        kubectl.dry_run(manifest)
    assert 'container "postgres": the arguments set port to "8008"' in str(refusal.value)


def test_annotations_of_the_template_alone_reach_the_webhook(kubectl):
    manifest = statefulset()
    manifest["spec"]["template"]["metadata"]["annotations"] = manifest["metadata"].pop(
        "annotations"
    )
    metadata = kubectl.dry_run(manifest)["metadata"]
    assert metadata["annotations"]["pgset.dev/opted-in-by"] == "template"


def test_a_pod_without_ordinal_is_denied(kubectl):
    with pytest.raises(RefusedError) as refusal:
        kubectl.dry_run(plain_pod(labels={contract.SET_LABEL: "pgset"}))
    assert 'pod "plain" has no ordinal; allowed in set "pgset":' in str(refusal.value)


def test_nor_does_one_get_in_that_says_it_shows_what_a_kubelet_runs(kubectl):
    labels = {contract.SET_LABEL: "pgset"}
    mirror = plain_pod(labels=labels, annotations={contract.MIRROR: "of a static pod"})
    mirror["spec"]["nodeName"] = "any"
    with pytest.raises(RefusedError) as refusal:
        kubectl.dry_run(mirror)
    assert contract.MIRROR in str(refusal.value)


def test_warnings_reach_the_user(kubectl):
    manifest = statefulset()
    manifest["spec"].update(replicas=1, podManagementPolicy="OrderedReady")
    kubectl.dry_run(manifest)
    assert kubectl.warnings == [
        "OrderedReady: if pod 0 loses its volume, pods that have data are not created; use "
        "Parallel, and back up the Lease",
        "replicas: 1 leaves no member to take over; a replicated set needs at least 2",
    ]


# ── Trust ─────────────────────────────────────────────────────────────────────────────────


def ca_bundles():
    webhooks = Kubectl(SYSTEM).json("get", "mutatingwebhookconfiguration/pgset")["webhooks"]
    return {webhook["clientConfig"].get("caBundle", "") for webhook in webhooks}


@pytest.mark.usefixtures("kubectl")
def test_both_replicas_serve_what_the_secret_holds():
    secret = Kubectl(SYSTEM).json("get", "secret", SECRETS[0])["data"]
    expected = base64.b64decode(secret["tls.crt"]).decode()

    def is_served():
        return {served_certificate(pod) for pod in webhook_pods()} == {expected}

    # Kubelets bring a changed one in their own time.
    wait_until(is_served, HEALS_WITHIN)
    # For an hour after a rotation the CA before it stands beside it.
    authority = base64.b64decode(secret["ca.crt"])
    assert all(authority in base64.b64decode(bundle) for bundle in ca_bundles())


@pytest.mark.parametrize("name", SECRETS)
def test_a_deleted_secret_comes_back_and_nobodys_trust_changes(kubectl, name):
    secret = ("secret", name)
    before = Kubectl(SYSTEM).json("get", *secret)["data"]
    Kubectl(SYSTEM)("delete", *secret)
    kubectl.dry_run(pod())

    def is_back():
        return bool(Kubectl(SYSTEM)("get", *secret, "--ignore-not-found"))

    wait_until(is_back, HEALS_WITHIN)
    assert before == Kubectl(SYSTEM).json("get", *secret)["data"]


def test_a_blanked_ca_bundle_comes_back(kubectl):
    Kubectl(SYSTEM)(
        *("patch", "mutatingwebhookconfiguration/pgset", "--type=json", "--patch"),
        '[{"op": "remove", "path": "/webhooks/1/clientConfig/caBundle"}]',
    )
    wait_until(lambda: "" not in ca_bundles(), HEALS_WITHIN)
    wait_until(lambda: is_admitted(kubectl), HEALS_WITHIN)


def test_the_webhook_comes_back_when_all_its_pods_are_deleted(kubectl):
    before = set(webhook_pods())
    Kubectl(SYSTEM)("delete", "pods", "--all", "--wait=false")
    wait_until(lambda: not before & set(webhook_pods()), HEALS_WITHIN)
    Kubectl(SYSTEM)("rollout", "status", "deployment/pgset-webhook", "--timeout=240s")
    wait_until(lambda: is_admitted(kubectl), HEALS_WITHIN)
