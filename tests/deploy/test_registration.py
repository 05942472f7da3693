"""What the API server is told to ask the webhook about: the design's section 2."""

import pytest

from sidecar import contract
from tests.deploy.manifests import BASE, cluster_role, document, documents
from webhook import gunicorn_config
from webhook.caretaker import facts, lease
from webhook.settings import address

CONFIGURATION = document("mutating-webhook-configuration.yaml")
WEBHOOKS = {webhook["name"]: webhook for webhook in CONFIGURATION["webhooks"]}
STATEFULSETS = WEBHOOKS["statefulsets.pgset.dev"]
PODS = WEBHOOKS["pods.pgset.dev"]
SERVICES = WEBHOOKS["services.pgset.dev"]


def test_there_are_three_mutations():
    assert set(WEBHOOKS) == {"statefulsets.pgset.dev", "pods.pgset.dev", "services.pgset.dev"}


@pytest.mark.parametrize("webhook", [STATEFULSETS, PODS], ids=["statefulsets", "pods"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("admissionReviewVersions", ["v1"]),
        ("failurePolicy", "Fail"),
        ("matchPolicy", "Equivalent"),
        ("reinvocationPolicy", "IfNeeded"),
        ("sideEffects", "None"),
        ("timeoutSeconds", 5),
    ],
)
def test_both_behave_as_designed(webhook, field, value):
    assert value == webhook[field]


def test_nobodys_service_waits_for_the_webhook():
    assert SERVICES["failurePolicy"] == "Ignore"
    assert SERVICES["timeoutSeconds"] <= 2


@pytest.mark.parametrize("webhook", WEBHOOKS.values(), ids=WEBHOOKS)
def test_applying_again_does_not_blank_the_ca_bundle(webhook):
    assert "caBundle" not in webhook["clientConfig"]


@pytest.mark.parametrize("webhook", WEBHOOKS.values(), ids=WEBHOOKS)
def test_the_cluster_and_the_webhook_itself_never_wait_for_it(webhook):
    assert webhook["namespaceSelector"]["matchExpressions"] == [
        {
            "key": "kubernetes.io/metadata.name",
            "operator": "NotIn",
            "values": ["kube-system", "pgset-system"],
        }
    ]


@pytest.mark.parametrize(
    ("webhook", "path"),
    [
        (STATEFULSETS, "/mutate/statefulsets"),
        (PODS, "/mutate/pods"),
        (SERVICES, "/mutate/services"),
    ],
)
def test_each_goes_to_its_path_of_the_service(webhook, path):
    service = document("service.yaml")
    assert webhook["clientConfig"]["service"] == {
        "name": service["metadata"]["name"],
        "namespace": "pgset-system",
        "path": path,
    }
    assert service["spec"]["ports"][0]["port"] == 443


def test_statefulsets_are_matched_at_creation_and_update_and_not_by_subresource():
    assert STATEFULSETS["rules"] == [
        {
            "apiGroups": ["apps"],
            "apiVersions": ["v1"],
            "resources": ["statefulsets"],
            "operations": ["CREATE", "UPDATE"],
            "scope": "Namespaced",
        }
    ]


def test_only_pods_with_the_set_label_are_matched_and_only_at_creation():
    assert PODS["objectSelector"] == {
        "matchExpressions": [{"key": contract.SET_LABEL, "operator": "Exists"}]
    }
    assert PODS["rules"] == [
        {
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "resources": ["pods"],
            "operations": ["CREATE"],
            "scope": "Namespaced",
        }
    ]


def test_leases_are_never_matched():
    """The webhook's own leader election, and every set's failover, would wait for the webhook."""
    asked = {
        (group, resource)
        for webhook in WEBHOOKS.values()
        for rule in webhook["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert asked == {("apps", "statefulsets"), ("", "pods"), ("", "services")}


def test_the_conditions_name_the_opt_in_and_the_stamp():
    conditions = {c["name"]: c["expression"] for c in STATEFULSETS["matchConditions"]}
    assert f"'{contract.ENABLED}' in" in conditions["opted-in-or-stamped"]
    in_template = f"'{contract.ENABLED}' in object.spec.template.?metadata.?annotations"
    assert in_template in conditions["opted-in-or-stamped"]
    assert f"'{contract.SET_LABEL}' in" in conditions["opted-in-or-stamped"]
    assert conditions["not-being-deleted"] == "!has(object.metadata.deletionTimestamp)"


def test_only_services_that_ask_or_have_asked_are_matched():
    assert SERVICES["rules"] == [
        {
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "resources": ["services"],
            "operations": ["CREATE", "UPDATE"],
            "scope": "Namespaced",
        }
    ]
    conditions = {c["name"]: c["expression"] for c in SERVICES["matchConditions"]}
    assert conditions["selects-or-selected"] == " || ".join(
        f"'{name}' in object.metadata.?annotations.orValue({{}})"
        for name in (contract.SELECTS, contract.SELECTED_BY)
    )
    assert conditions["not-being-deleted"] == "!has(object.metadata.deletionTimestamp)"


def test_no_pod_with_the_label_of_a_set_gets_round_the_webhook():
    """Such as by an annotation that says that it is a mirror pod."""
    assert "matchConditions" not in PODS


def opened(port):
    return {"protocol": "TCP", "port": port}


# ── The Deployment ────────────────────────────────────────────────────────────────────────

POD = document("deployment.yaml")["spec"]["template"]["spec"]
CERTS = document("certs-deployment.yaml")["spec"]["template"]
CONTAINERS = POD["containers"] + CERTS["spec"]["containers"]


def test_two_replicas_keep_one_at_every_moment():
    deployment = document("deployment.yaml")["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert document("pod-disruption-budget.yaml")["spec"]["minAvailable"] == 1


def test_replicas_are_spread_and_a_broken_one_holds_up_no_drain():
    (spread,) = POD["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    budget = document("pod-disruption-budget.yaml")["spec"]
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_no_pod_is_ready_without_a_certificate_and_no_crowd_keeps_the_kubelet_from_its_answer():
    (webhook,) = POD["containers"]
    assert webhook["readinessProbe"]["httpGet"]["path"] == "/readyz"
    (reviews, probes) = webhook["ports"]
    asked = {
        webhook[f"{name}Probe"]["httpGet"]["port"] for name in ("startup", "liveness", "readiness")
    }
    assert asked == {probes["name"]}
    # gunicorn gives the first address to the reviews.
    assert gunicorn_config.bind == [address(it["containerPort"]) for it in (reviews, probes)]


def test_the_network_lets_in_reviews_and_out_to_the_api_server_alone():
    policy = document("network-policy.yaml")["spec"]
    template = document("deployment.yaml")["spec"]["template"]
    assert policy["podSelector"]["matchLabels"] == template["metadata"]["labels"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    (webhook,) = POD["containers"]
    ((incoming,),) = [rule["ports"] for rule in policy["ingress"]]
    reviews, _ = webhook["ports"]
    assert incoming["port"] == reviews["name"]
    (outgoing,) = policy["egress"]
    assert {port["port"] for port in outgoing["ports"]} == {443, 6443, 8443, 16443}


@pytest.mark.parametrize(
    ("file", "component", "ingress"),
    [
        ("network-policy.yaml", "webhook", {"ingress": [{"ports": [opened("https")]}]}),
        ("caretaker-network-policy.yaml", "caretaker", {}),
        ("certs-network-policy.yaml", "certs", {}),
    ],
)
def test_nothing_can_be_taken_from_or_added_to_a_network_policy(file, component, ingress):
    """Without `ports` a rule opens all of them, and without its type one of egress counts for
    nothing."""
    labels = {
        "app.kubernetes.io/name": "pgset",
        "app.kubernetes.io/instance": "pgset",
        "app.kubernetes.io/component": component,
    }
    assert document(file) == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"pgset-{component}", "namespace": "pgset-system", "labels": labels},
        "spec": {
            "podSelector": {"matchLabels": labels},
            "policyTypes": ["Ingress", "Egress"],
            "egress": [{"ports": [opened(it) for it in (443, 6443, 8443, 16443)]}],
            **ingress,
        },
    }


def test_the_namespace_enforces_pod_security_restricted():
    labels = document("namespace.yaml")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda container: container["name"])
def test_every_container_is_restricted_with_a_read_only_root(container):
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_no_pod_of_ours_names_a_uid_since_some_clusters_give_each_namespace_a_range_of_them():
    """The image's has to be a number: a name can't be checked against runAsNonRoot."""
    test = (BASE.parent / "chart/pgset/templates/tests/ready.yaml").read_text()
    pods = (POD, CERTS["spec"], CARETAKER["spec"])
    contexts = [it["securityContext"] for it in pods]
    assert not {"runAsUser", "runAsGroup"} & set().union(*contexts)
    assert "runAsUser" not in test
    assert "\nUSER 10001:10001\n" in (BASE.parent / "Dockerfile").read_text()


def test_what_parses_http_holds_no_key_but_the_leafs_and_waits_until_that_is_there():
    assert "initContainers" not in POD
    (volume,) = [it for it in POD["volumes"] if it["name"] == "tls"]
    assert volume == {"name": "tls", "secret": {"secretName": "pgset-webhook-serving"}}
    assert POD["serviceAccountName"] != CERTS["spec"]["serviceAccountName"]


def test_what_holds_the_cas_key_listens_on_no_port_and_lets_nothing_in():
    (certs,) = CERTS["spec"]["containers"]
    assert "ports" not in certs
    assert "exec" in certs["readinessProbe"]
    policy = document("certs-network-policy.yaml")["spec"]
    assert policy["podSelector"]["matchLabels"] == CERTS["metadata"]["labels"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert "ingress" not in policy
    assert policy["egress"] == document("network-policy.yaml")["spec"]["egress"]


def test_both_containers_run_the_image_that_an_overlay_replaces():
    assert {container["image"] for container in CONTAINERS} == {f"pgset:{contract.VERSION}"}


# ── The caretaker ─────────────────────────────────────────────────────────────────────────

CARETAKER = document("caretaker-deployment.yaml")["spec"]["template"]


def test_the_caretaker_is_restricted_as_the_webhook_is_and_runs_the_same_image():
    (caretaker,) = CARETAKER["spec"]["containers"]
    (webhook,) = POD["containers"]
    assert caretaker["securityContext"] == webhook["securityContext"]
    assert caretaker["image"] == webhook["image"]
    assert CARETAKER["spec"]["securityContext"] == POD["securityContext"]


def test_the_network_lets_nothing_in_to_the_caretaker_and_it_out_to_the_api_server_alone():
    policy = document("caretaker-network-policy.yaml")["spec"]
    assert policy["podSelector"]["matchLabels"] == CARETAKER["metadata"]["labels"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert "ingress" not in policy
    assert policy["egress"] == document("network-policy.yaml")["spec"]["egress"]


# ── Rights ────────────────────────────────────────────────────────────────────────────────


def rights(role):
    """All (group, resource, name or "", verb) of a role's rules."""
    return {
        (group, resource, name, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }


def test_the_webhook_may_write_nothing():
    assert rights(cluster_role("pgset-webhook")) == {
        ("coordination.k8s.io", "leases", "", "list"),
        ("coordination.k8s.io", "leases", "", "watch"),
    }
    assert rights(document("roles.yaml")) == {("", "pods", "", "get")}


def test_certs_has_these_rights_in_the_cluster_and_no_other():
    registrations = ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", "pgset")
    assert rights(document("certs-cluster-role.yaml")) == {
        (*registrations, "get"),
        (*registrations, "patch"),
        (*registrations, "watch"),
    }


def test_certs_has_these_rights_in_its_namespace_and_no_other():
    assert rights(document("certs-role.yaml")) == {
        ("", "secrets", "pgset-webhook-tls", "get"),
        ("", "secrets", "pgset-webhook-tls", "update"),
        ("", "secrets", "pgset-webhook-serving", "get"),
        ("", "secrets", "pgset-webhook-serving", "update"),
        ("", "secrets", "", "create"),
    }


def test_the_caretaker_has_these_rights_in_the_cluster_and_no_other():
    rbac = "rbac.authorization.k8s.io"
    own = (rbac, "rolebindings", facts.BINDING)
    assert rights(document("caretaker-cluster-role.yaml")) == {
        ("pgset.dev", "caretakers", "", "be"),
        ("apps", "statefulsets", "", "list"),
        ("apps", "statefulsets", "", "watch"),
        ("", "pods", "", "list"),
        ("", "services", "", "list"),
        ("", "services", "", "create"),
        ("", "serviceaccounts", "", "list"),
        ("", "serviceaccounts", "", "create"),
        ("", "serviceaccounts", "", "delete"),
        *(
            ("networking.k8s.io", "networkpolicies", "", verb)
            for verb in ("list", "create", "update", "delete")
        ),
        *(
            ("policy", "poddisruptionbudgets", "", verb)
            for verb in ("list", "create", "update", "delete")
        ),
        ("authorization.k8s.io", "subjectaccessreviews", "", "create"),
        (rbac, "rolebindings", "", "list"),
        (rbac, "rolebindings", "", "create"),
        (*own, "update"),
        (*own, "delete"),
        (rbac, "clusterroles", facts.GRANT_ROLE, "bind"),
        ("", "events", "", "create"),
    }


def test_the_caretaker_has_these_rights_in_its_namespace_and_no_other():
    leases = ("coordination.k8s.io", "leases")
    assert rights(document("caretaker-role.yaml")) == {
        (*leases, lease.NAME, "get"),
        (*leases, lease.NAME, "update"),
        (*leases, "", "create"),
    }


def test_a_sidecar_is_granted_these_rights_and_no_other():
    pods = {("", "pods", "", verb) for verb in ("list", "watch", "patch", "delete")}
    leases = {
        ("coordination.k8s.io", "leases", "", verb)
        for verb in ("get", "list", "watch", "create", "update")
    }
    events = {("", "events", "", "create")}
    statefulsets = {("apps", "statefulsets", "", verb) for verb in ("list", "watch")}
    mark = {("pgset.dev", "sidecars", "", "be")}
    assert rights(cluster_role("pgset-sidecar")) == pods | leases | events | statefulsets | mark


def test_the_admin_of_a_namespace_may_give_that_and_does_not_have_it():
    role = cluster_role("pgset-grant")
    assert role["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-admin"] == "true"
    clusterroles = ("rbac.authorization.k8s.io", "clusterroles")
    assert rights(role) == {(*clusterroles, "pgset-sidecar", "bind")}
    assert document("grant/role-binding.yaml")["roleRef"]["name"] == "pgset-sidecar"


@pytest.mark.parametrize("folder", ["pgset", "volume-claim-templates"])
def test_the_grant_is_for_the_service_account_that_the_examples_use(folder):
    (subject,) = document("grant/role-binding.yaml")["subjects"]
    account = document(f"examples/{folder}/service-account.yaml")["metadata"]["name"]
    statefulset = document(f"examples/{folder}/statefulset.yaml")
    assert subject["name"] == account
    assert statefulset["spec"]["template"]["spec"]["serviceAccountName"] == account


def test_every_manifest_is_part_of_the_installation():
    listed = document("kustomization.yaml")["resources"]
    present = {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml"}
    assert present == set(listed)
    assert all(documents(path) for path in listed)
