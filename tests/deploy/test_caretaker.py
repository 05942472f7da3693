"""The installed caretaker, on the local cluster: the annotation alone makes a set.

But for the last test, pods are objects that nobody schedules.
"""

import itertools
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.demo import manifests
from deploy.demo.play import local_cluster, sweep
from deploy.demo.stage import NAMESPACE, Stage
from deploy.demo.steps import roles, wait_for_service
from deploy.local import cluster
from tests.deploy.cluster_tools import SYSTEM, Kubectl, RefusedError, make_namespace, wait_until
from tests.deploy.manifests import DEPLOY

pytestmark = pytest.mark.cluster

HOME = "test-caretaker-{}"
REFUSALS = "test-caretaker-refusals"
NUMBERS = itertools.count()
CARETAKER = f"system:serviceaccount:{SYSTEM}:pgset-caretaker"
SEEN_WITHIN = 180.0
"""Seconds; a moment where the caretaker leads and is not held up."""
NEXT_ROUND_WITHIN = 240.0

Json = dict[str, Any]


@pytest.fixture(scope="module")
def installed() -> Iterator[Kubectl]:
    cluster.up()
    system = Kubectl(SYSTEM)
    system("apply", "-k", str(DEPLOY))
    # The pods of an older installation may run an older image of the same name.
    for deployment in ("deployment/pgset-webhook", "deployment/pgset-caretaker"):
        system("rollout", "restart", deployment)
        system("rollout", "status", deployment, "--timeout=300s")
    yield system
    homes = [HOME.format(number) for number in range(next(NUMBERS))]
    system("delete", "namespace", "--ignore-not-found", REFUSALS, *homes)


@pytest.fixture
def home(installed: Kubectl) -> Iterator[Kubectl]:
    """A namespace that knows nothing of us.

    It takes seconds to end, and ends while the next test has another.
    """
    name = HOME.format(next(NUMBERS))
    try:
        yield make_namespace(name)
    finally:
        installed("delete", "namespace", name, "--ignore-not-found", "--wait=false")


@pytest.fixture(scope="module")
def refusals(installed: Kubectl) -> Kubectl:  # noqa: ARG001 - the policies come with it
    """One namespace for all that the API server refuses at once."""
    return make_namespace(REFUSALS)


def statefulset(name: str, **spec: Any) -> Json:
    pod = {
        "schedulerName": "nobody",
        "containers": [
            {
                "name": "postgres",
                "image": "postgres:15",
                "volumeMounts": [{"name": "data", "mountPath": "/var/lib/postgresql/data"}],
            }
        ],
        "volumes": [{"name": "data", "emptyDir": {}}],
        **spec.pop("pod", {}),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name, "annotations": {"pgset.dev/enabled": "true"}},
        "spec": {
            "serviceName": name,
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
            **spec,
        },
    }


def create(kubectl: Kubectl, manifest: Json) -> None:
    kubectl("create", "-f", "-", manifest=manifest)


def listed(kubectl: Kubectl, kind: str) -> dict[str, Json]:
    return {it["metadata"]["name"]: it for it in kubectl.json("get", kind)["items"]}


def has_services(kubectl: Kubectl, name: str) -> bool:
    return {f"{name}-primary", f"{name}-replica"} <= set(listed(kubectl, "services"))


def grants(kubectl: Kubectl) -> dict[str, set[str]]:
    """Service accounts by the RoleBinding that grants the sidecars' role to them."""
    return {
        name: {it["name"] for it in binding["subjects"]}
        for name, binding in listed(kubectl, "rolebindings").items()
        if binding["roleRef"]["name"] == "pgset-sidecar"
    }


def told(kubectl: Kubectl, reason: str) -> list[str]:
    """kind/name of whatever an Event of that reason is about."""
    about = [
        it["involvedObject"] for it in listed(kubectl, "events").values() if it["reason"] == reason
    ]
    return [f"{it['kind']}/{it['name']}" for it in about]


def test_the_annotation_alone_brings_grant_and_services(home: Kubectl) -> None:
    create(home, statefulset("shop"))
    wait_until(lambda: has_services(home, "shop"), SEEN_WITHIN)
    assert grants(home) == {"pgset-caretaker": {"shop-pgset"}}
    primary = listed(home, "services")["shop-primary"]
    assert primary["spec"]["selector"] == {"pgset.dev/set": "shop", "pgset.dev/role": "primary"}
    (owner,) = primary["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("StatefulSet", "shop")


def test_what_the_user_has_made_is_left_alone(home: Kubectl) -> None:
    home("create", "rolebinding", "mine", "--clusterrole=pgset-sidecar",
         f"--serviceaccount={home.namespace}:shop-pgset")  # fmt: skip
    home("create", "service", "clusterip", "shop-primary", "--tcp=5432")
    home("set", "selector", "service", "shop-primary", "app=shop,pgset.dev/role=primary")
    before = listed(home, "services")["shop-primary"]
    create(home, statefulset("shop"))
    wait_until(lambda: has_services(home, "shop"), SEEN_WITHIN)
    assert listed(home, "services")["shop-primary"] == before
    assert grants(home) == {"mine": {"shop-pgset"}}
    assert told(home, "ServiceInTheWay") == []


def test_a_service_that_leads_to_every_member_is_told_and_mended_by_what_is_told(
    home: Kubectl,
) -> None:
    home("create", "service", "clusterip", "shop", "--tcp=5432")
    plain = statefulset("shop")
    del plain["metadata"]["annotations"]
    create(home, plain)
    home("annotate", "statefulset", "shop", "pgset.dev/enabled=true")
    assert any("leads to replicas too" in it for it in home.warnings)
    wait_until(lambda: told(home, "ServiceLeadsToReplicas") == ["StatefulSet/shop"], SEEN_WITHIN)
    (message,) = (
        it["message"]
        for it in listed(home, "events").values()
        if it["reason"] == "ServiceLeadsToReplicas"
    )
    told_of = shlex.split(message[message.index("kubectl ") :])[1:]
    selector = {"app": "shop", "pgset.dev/role": "primary"}

    def selects_after(*words: str, **more: Json) -> Json:
        home(*words, **more)
        found: Json = listed(home, "services")["shop"]["spec"]["selector"]
        return found

    # A Service is changed without the webhook where that is late: then it is changed again.
    wait_until(lambda: selects_after(*told_of) == selector, SEEN_WITHIN)
    # Neither of the two ways to apply the Service again takes the role away.
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "shop", "labels": {"again": "1"}},
        "spec": {"selector": {"app": "shop"}, "ports": [{"port": 5432, "name": "5432"}]},
    }
    for server_side in (["--server-side=false"], ["--server-side", "--force-conflicts"]):
        words = ("apply", *server_side, "-f", "-")
        wait_until(
            lambda words=words: selects_after(*words, manifest=manifest) == selector, SEEN_WITHIN
        )

    def no_longer_selects() -> bool:
        home(*told_of)
        return selects_after("annotate", "service", "shop", "pgset.dev/selects-") == {"app": "shop"}

    wait_until(no_longer_selects, SEEN_WITHIN)


def test_a_service_that_does_something_else_is_told_and_not_changed(home: Kubectl) -> None:
    home("create", "service", "clusterip", "shop-primary", "--tcp=80")
    before = listed(home, "services")["shop-primary"]
    create(home, statefulset("shop"))
    wait_until(lambda: told(home, "ServiceInTheWay") == ["StatefulSet/shop"], SEEN_WITHIN)
    assert listed(home, "services")["shop-primary"] == before


def test_the_services_go_with_their_statefulset_and_come_with_the_next(home: Kubectl) -> None:
    create(home, statefulset("shop"))
    wait_until(lambda: has_services(home, "shop"), SEEN_WITHIN)
    before = listed(home, "services")["shop-primary"]["metadata"]["uid"]
    home("delete", "statefulset", "shop")
    create(home, statefulset("shop"))

    def made_anew() -> bool:
        primary = listed(home, "services").get("shop-primary")
        return primary is not None and primary["metadata"]["uid"] != before

    wait_until(made_anew, SEEN_WITHIN)


@pytest.mark.rarely  # waits for the next round, as the test of the default account does
def test_the_grant_outlives_the_set_by_its_last_pod_and_no_longer(home: Kubectl) -> None:
    home("create", "serviceaccount", "shop-sa")
    create(home, statefulset("shop", pod={"serviceAccountName": "shop-sa"}))
    wait_until(lambda: "shop-0" in listed(home, "pods"), SEEN_WITHIN)
    wait_until(lambda: has_services(home, "shop"), SEEN_WITHIN)
    home("delete", "statefulset", "shop", "--cascade=orphan")
    # Once this one has its Services, the deletion has been seen, too.
    create(home, statefulset("other"))
    wait_until(lambda: has_services(home, "other"), SEEN_WITHIN)
    assert grants(home) == {"pgset-caretaker": {"other-pgset", "shop-sa"}}
    home("delete", "pod", "shop-0")
    wait_until(lambda: grants(home) == {"pgset-caretaker": {"other-pgset"}}, NEXT_ROUND_WITHIN)


def test_pods_that_name_no_account_run_as_the_sets_own_and_default_can_do_nothing(
    home: Kubectl,
) -> None:
    secrets = '{"imagePullSecrets": [{"name": "registry"}]}'
    home("patch", "serviceaccount", "default", "--patch", secrets)
    create(home, statefulset("shop"))
    wait_until(lambda: "shop-0" in listed(home, "pods"), SEEN_WITHIN)
    spec = listed(home, "pods")["shop-0"]["spec"]
    assert spec["serviceAccountName"] == "shop-pgset"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    wait_until(lambda: may(home, "shop-pgset", "patch"), SEEN_WITHIN)
    assert grants(home) == {"pgset-caretaker": {"shop-pgset"}}
    assert not any(may(home, "default", verb) for verb in ("list", "watch", "patch", "delete"))


def may(kubectl: Kubectl, account: str, verb: str) -> bool:
    """Whether the service account may do that to pods."""
    who = f"--as=system:serviceaccount:{kubectl.namespace}:{account}"
    try:
        return kubectl("auth", "can-i", verb, "pods", who).strip() == "yes"
    except RefusedError:
        return False


def test_a_set_under_the_default_account_goes_on_until_its_pod_is_made_anew(home: Kubectl) -> None:
    """As version 0.2.0 left it."""
    own = statefulset("shop", pod={"serviceAccountName": "shop-sa"})
    home("create", "serviceaccount", "shop-sa")
    create(home, own)
    wait_until(lambda: grants(home) == {"pgset-caretaker": {"shop-sa"}}, SEEN_WITHIN)
    wait_until(lambda: "shop-0" in listed(home, "pods"), SEEN_WITHIN)
    without = [
        {"op": "remove", "path": f"/spec/template/spec/{name}"}
        for name in ("serviceAccountName", "serviceAccount")
    ]
    strategy = {"op": "replace", "path": "/spec/updateStrategy", "value": {"type": "OnDelete"}}
    home("patch", "statefulset", "shop", "--type=json", "-p", json.dumps([strategy, *without]))
    both = {"pgset-caretaker": {"shop-sa", "shop-pgset"}}
    wait_until(lambda: grants(home) == both, SEEN_WITHIN)
    home("delete", "pod", "shop-0")
    alone = {"pgset-caretaker": {"shop-pgset"}}
    wait_until(lambda: grants(home) == alone, NEXT_ROUND_WITHIN)
    assert listed(home, "pods")["shop-0"]["spec"]["serviceAccountName"] == "shop-pgset"


@pytest.mark.parametrize("name", ["robot", "robot-pgset"])
def test_the_caretaker_may_make_and_delete_no_account_of_the_users(
    refusals: Kubectl, name: str
) -> None:
    with pytest.raises(RefusedError, match="no service account but those of sets"):
        refusals("create", "serviceaccount", name, as_caretaker())
    refusals("create", "serviceaccount", name)
    with pytest.raises(RefusedError, match="no service account but those of sets"):
        refusals("delete", "serviceaccount", name, as_caretaker())


def asks_for_network_policy(kubectl: Kubectl, value: str) -> None:
    change = f"pgset.dev/network-policy{value}"
    kubectl("annotate", "statefulset", "shop", "--overwrite", change)


def policy_of(name: str, set_name: str, **metadata: Any) -> Json:
    labels = {"app.kubernetes.io/managed-by": "pgset-caretaker"}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "labels": labels} | metadata,
        "spec": {
            "podSelector": {"matchLabels": {"pgset.dev/set": set_name}},
            "policyTypes": ["Ingress"],
        },
    }


@pytest.mark.rarely  # waits for the next round
def test_a_network_policy_comes_and_goes_with_its_annotation_and_rolls_no_pod(
    home: Kubectl,
) -> None:
    create(home, statefulset("shop"))
    wait_until(lambda: "shop-0" in listed(home, "pods"), SEEN_WITHIN)
    before = listed(home, "pods")["shop-0"]["metadata"]["uid"]
    template = listed(home, "statefulsets")["shop"]["spec"]["template"]
    asks_for_network_policy(home, "=true")
    wait_until(lambda: "shop-pgset" in listed(home, "networkpolicies"), SEEN_WITHIN)
    made = listed(home, "networkpolicies")["shop-pgset"]
    assert made["spec"]["podSelector"] == {"matchLabels": {"pgset.dev/set": "shop"}}
    everybody, few = made["spec"]["ingress"]
    assert everybody == {"ports": [{"protocol": "TCP", "port": 5432}]}
    assert few["ports"] == [{"protocol": "TCP", "port": 8008}]
    other = json.dumps({"spec": {"ingress": []}})
    home("patch", "networkpolicy", "shop-pgset", "--type=merge", "-p", other)
    as_made = made["spec"]

    def is_put_back() -> bool:
        return bool(listed(home, "networkpolicies")["shop-pgset"]["spec"] == as_made)

    wait_until(is_put_back, NEXT_ROUND_WITHIN)
    # What is stored compares as equal to what is wanted, or it would be written again and again.
    version = listed(home, "networkpolicies")["shop-pgset"]["metadata"]["resourceVersion"]
    # Once the second has its Services, all that was due at the first is done.
    for other in ("other", "another"):
        create(home, statefulset(other))
        wait_until(lambda name=other: has_services(home, name), SEEN_WITHIN)
    present = listed(home, "networkpolicies")["shop-pgset"]["metadata"]
    assert present["resourceVersion"] == version
    asks_for_network_policy(home, "-")
    wait_until(lambda: "shop-pgset" not in listed(home, "networkpolicies"), SEEN_WITHIN)
    assert listed(home, "pods")["shop-0"]["metadata"]["uid"] == before
    assert listed(home, "statefulsets")["shop"]["spec"]["template"] == template


def test_the_caretaker_may_write_and_delete_no_network_policy_of_the_users(
    refusals: Kubectl,
) -> None:
    unlabelled = policy_of("shop-pgset", "shop", labels={})
    for refused in (policy_of("mine", "shop"), unlabelled):
        with pytest.raises(RefusedError, match="no NetworkPolicy but those of sets"):
            refusals("create", "-f", "-", as_caretaker(), manifest=refused)
    create(refusals, unlabelled)
    taken_over = listed(refusals, "networkpolicies")["shop-pgset"]
    taken_over["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "pgset-caretaker"}
    with pytest.raises(RefusedError, match="no NetworkPolicy but those of sets"):
        refusals("replace", "-f", "-", as_caretaker(), manifest=taken_over)
    with pytest.raises(RefusedError, match="no NetworkPolicy but those of sets"):
        refusals("delete", "networkpolicy", "shop-pgset", as_caretaker())


def test_the_caretakers_network_policies_are_for_one_sets_pods_and_for_ingress(
    refusals: Kubectl,
) -> None:
    others = policy_of("shop-pgset", "other")
    everybodys = policy_of("shop-pgset", "shop")
    everybodys["spec"]["podSelector"] = {}
    both_ways = policy_of("shop-pgset", "shop")
    both_ways["spec"]["policyTypes"].append("Egress")
    for refused in (others, everybodys, both_ways):
        with pytest.raises(RefusedError, match="may select no pods but its set's"):
            refusals("create", "-f", "-", as_caretaker(), manifest=refused)


def test_a_pod_of_before_that_nobody_replaces_is_named(home: Kubectl) -> None:
    plain = statefulset("shop", updateStrategy={"type": "OnDelete"})
    del plain["metadata"]["annotations"]
    create(home, plain)
    wait_until(lambda: "shop-0" in listed(home, "pods"), SEEN_WITHIN)
    home("annotate", "statefulset", "shop", "pgset.dev/enabled=true")
    wait_until(lambda: told(home, "NoSidecar") == ["Pod/shop-0"], SEEN_WITHIN)


def as_caretaker_bind(kubectl: Kubectl, name: str, role: str, *subjects: str) -> None:
    kubectl("create", "rolebinding", name, f"--clusterrole={role}", *subjects, as_caretaker())


def test_the_caretaker_may_give_no_role_but_the_sidecars(refusals: Kubectl) -> None:
    subject = f"--serviceaccount={REFUSALS}:default"
    for role in ("cluster-admin", "pgset-webhook"):
        with pytest.raises(RefusedError, match="attempting to grant RBAC permissions"):
            as_caretaker_bind(refusals, "pgset-caretaker", role, subject)
    as_caretaker_bind(refusals, "pgset-caretaker", "pgset-sidecar", subject)


def test_the_caretaker_may_change_no_binding_but_its_own(refusals: Kubectl) -> None:
    role, subject = "--clusterrole=pgset-sidecar", f"--serviceaccount={REFUSALS}:default"
    with pytest.raises(RefusedError, match="a caretaker may write no RoleBinding but pgset-car"):
        as_caretaker_bind(refusals, "x", "pgset-sidecar", subject)
    refusals("create", "rolebinding", "x", role, subject)
    with pytest.raises(RefusedError, match='cannot delete resource "rolebindings"'):
        refusals("delete", "rolebinding", "x", as_caretaker())


@pytest.mark.parametrize(
    "subject",
    ["--user=somebody", "--group=system:authenticated", "--serviceaccount=kube-system:default"],
)
def test_the_caretaker_may_grant_nothing_but_to_the_namespaces_own_service_accounts(
    refusals: Kubectl, subject: str
) -> None:
    own = f"--serviceaccount={REFUSALS}:default"
    with pytest.raises(RefusedError, match="service accounts of the RoleBinding's own namespace"):
        as_caretaker_bind(refusals, "pgset-caretaker", "pgset-sidecar", own, subject)


def as_caretaker() -> str:
    return f"--as={CARETAKER}"


# ── With pods that run ────────────────────────────────────────────────────────────────────


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A swept stage with a namespace that knows nothing of us, and a client in it."""
    stage = local_cluster(tmp_path)
    sweep(stage)
    stage.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    stage.ask("-n", NAMESPACE, "create", "secret", "generic", "pgset", "--from-literal=password=x")
    client = manifests.client(stage)
    del client["spec"]["volumes"], client["spec"]["containers"][0]["volumeMounts"]
    stage.apply(client)
    stage.ask("-n", NAMESPACE, "wait", "--for=condition=Ready", "pod/client", "--timeout=240s")
    yield stage
    sweep(stage)


@pytest.mark.usefixtures("installed")
def test_a_plain_statefulset_becomes_a_set_that_one_can_write_to(stage: Stage) -> None:
    *volumes, _primary, _replica, plain = manifests.legacy(stage, name="shop", replicas=2)
    del plain["spec"]["template"]["spec"]["serviceAccountName"]
    plain["metadata"]["annotations"] = {"pgset.dev/enabled": "true"}
    stage.apply([*volumes, plain])
    wanted = {"shop-0": "primary", "shop-1": "replica"}
    stage.wait(lambda: roles(stage, "shop") == wanted, "two ready members")
    wait_for_service(stage, "shop-primary")
    stage.psql("shop-primary", "create table foo as select 42 as id")
    wait_for_service(stage, "shop-replica")
    stage.wait(
        lambda: stage.query("shop-replica", "select id, pg_is_in_recovery() from foo") == "42|t",
        "the row on the replica",
    )


def budget_of(name: str, set_name: str, **spec: Any) -> Json:
    labels = {"app.kubernetes.io/managed-by": "pgset-caretaker"}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": {"pgset.dev/set": set_name}},
        }
        | spec,
    }


def test_a_set_of_two_gets_a_disruption_budget_until_the_user_makes_one(home: Kubectl) -> None:
    create(home, statefulset("shop", podManagementPolicy="Parallel"))
    wait_until(lambda: has_services(home, "shop"), SEEN_WITHIN)
    assert listed(home, "poddisruptionbudgets") == {}
    home("scale", "statefulset", "shop", "--replicas=2")
    wait_until(lambda: "shop-pgset" in listed(home, "poddisruptionbudgets"), SEEN_WITHIN)
    made = listed(home, "poddisruptionbudgets")["shop-pgset"]
    # Once another has its Services, all that was due at the first is done: it is written once.
    create(home, statefulset("other"))
    wait_until(lambda: has_services(home, "other"), SEEN_WITHIN)
    present = listed(home, "poddisruptionbudgets")["shop-pgset"]
    assert (present["metadata"]["generation"], present["spec"]) == (1, made["spec"])
    theirs = budget_of("theirs", "shop", maxUnavailable=0)
    theirs["metadata"]["labels"] = {}
    create(home, theirs)
    home("annotate", "statefulset", "shop", "pgset.dev/ttl=20s")
    wait_until(lambda: {*listed(home, "poddisruptionbudgets")} == {"theirs"}, SEEN_WITHIN)


def test_the_caretakers_disruption_budgets_are_for_one_sets_pods_and_let_one_go(
    refusals: Kubectl,
) -> None:
    with pytest.raises(RefusedError, match="no PodDisruptionBudget but those of sets"):
        refusals("create", "-f", "-", as_caretaker(), manifest=budget_of("mine", "shop"))
    for refused in (
        budget_of("shop-pgset", "other"),
        budget_of("shop-pgset", "shop", selector={}),
        budget_of("shop-pgset", "shop", maxUnavailable=0),
    ):
        with pytest.raises(RefusedError, match="may select no pods but its set's, and let one go"):
            refusals("create", "-f", "-", as_caretaker(), manifest=refused)
