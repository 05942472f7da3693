"""What is read of the API's JSON."""

from itertools import pairwise

import pytest

from tests.webhook import objects
from tests.webhook.caretaker.made import statefulset
from webhook.caretaker.facts import Binding, Member, Policy, Service, Workload
from webhook.caretaker.selectors import selector_text


def test_a_statefulset_that_does_not_opt_in_is_none_of_ours():
    assert Workload.from_json(statefulset()) is None
    assert Workload.from_json(statefulset(enabled="false")) is None


def test_the_service_account_is_the_one_that_the_pods_use():
    manifest = statefulset(enabled="true")
    assert Workload.from_json(manifest).service_account == "default"
    manifest["spec"]["template"]["spec"]["serviceAccountName"] = "pgset-sa"
    assert Workload.from_json(manifest).service_account == "pgset-sa"


@pytest.mark.parametrize(
    ("annotations", "named"),
    [
        ({"enabled": "yes"}, 'pgset.dev/enabled: "yes" is not allowed'),
        ({"enabled": "true", "ttl": "1"}, 'pgset.dev/ttl: "1" is not allowed'),
        ({"enabled": "true", "paused": "no"}, 'pgset.dev/paused: "no" is not allowed'),
        ({"enabled": "true", "network-policy": "no"}, 'network-policy: "no" is not allowed'),
    ],
)
def test_annotations_that_cannot_be_accepted_leave_the_set_without_settings(annotations, named):
    found = Workload.from_json(statefulset(**annotations))
    assert found.settings is None
    assert named in found.fault


@pytest.mark.parametrize(
    ("strategy", "held_back"),
    [
        ({}, False),
        ({"type": "RollingUpdate"}, False),
        ({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}, False),
        ({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}, True),
        ({"type": "OnDelete"}, True),
    ],
)
def test_on_delete_and_a_partition_hold_pods_back(strategy, held_back):
    manifest = statefulset(enabled="true")
    manifest["spec"]["updateStrategy"] = strategy
    found = Workload.from_json(manifest)
    assert found.held_back is held_back
    assert found.partition == strategy.get("rollingUpdate", {}).get("partition", 0)


def test_the_first_ordinal_is_read():
    manifest = statefulset(enabled="true")
    assert Workload.from_json(manifest).first_ordinal == 0
    manifest["spec"]["ordinals"] = {"start": 5}
    assert Workload.from_json(manifest).first_ordinal == 5


@pytest.mark.parametrize(("value", "asks"), [("true", True), ("false", False)])
def test_a_network_policy_is_asked_for_by_an_annotation(value, asks):
    annotations = {"enabled": "true", "network-policy": value}
    assert Workload.from_json(statefulset(**annotations)).network_policy is asks


def test_the_ports_are_those_of_all_containers():
    containers = {
        "containers": [
            {"name": "postgres", "ports": [{"containerPort": 5432}]},
            {"name": "x", "ports": [{"containerPort": 53, "protocol": "UDP"}]},
            {"name": "y"},
        ],
        "initContainers": [{"name": "z", "ports": [{"containerPort": 9187}]}],
    }
    wanted = {("TCP", 5432), ("UDP", 53), ("TCP", 9187)}
    manifest = statefulset(enabled="true")
    manifest["spec"]["template"]["spec"] = containers
    assert Workload.from_json(manifest).ports == wanted
    pod = {"metadata": {"name": "p", "uid": "u"}, "spec": containers}
    assert Member.from_json(pod).ports == wanted


def test_a_change_of_the_status_alone_is_none():
    before, after = statefulset(enabled="true"), statefulset(enabled="true")
    after["status"] = {"replicas": 2}
    after["metadata"]["resourceVersion"] = "9"
    assert Workload.from_json(before) == Workload.from_json(after)


def test_when_the_last_pod_of_a_template_is_made_is_looked_at_and_no_other():
    states = []
    for updated in (0, 1, 2, 2):
        manifest = statefulset(enabled="true")
        manifest["spec"]["replicas"] = 2
        manifest["status"] = {"updatedReplicas": updated}
        states.append(Workload.from_json(manifest))
    assert [before == after for before, after in pairwise(states)] == [True, False, True]


def test_the_webhooks_own_pods_have_a_sidecar_and_users_have_none():
    manifest = objects.golden("article", "pod")
    manifest["metadata"] |= {"uid": "u", "name": "pgset-0"}
    assert not Member.from_json(manifest).has_sidecar
    admitted = objects.golden("article", "pod.admitted")
    admitted["metadata"] |= {"uid": "u", "name": "pgset-0"}
    assert Member.from_json(admitted).has_sidecar


def test_only_a_statefulset_that_controls_a_pod_is_its_owner():
    owners = [
        {"kind": "ConfigMap", "name": "x"},
        {"kind": "StatefulSet", "name": "orders", "controller": True},
    ]
    pod = {"metadata": {"name": "p", "uid": "u", "ownerReferences": owners}, "spec": {}}
    assert Member.from_json(pod).owner == "orders"
    pod["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": "r", "controller": True}]
    assert not Member.from_json(pod).owner


def test_a_service_without_a_selector_selects_nothing():
    manifest = {"metadata": {"name": "s"}, "spec": {"type": "ExternalName"}}
    assert Service.from_json(manifest).selector == {}


def test_a_service_goes_with_its_owner_only_where_the_caretaker_has_made_it():
    metadata = {"name": "s", "ownerReferences": [{"uid": "u"}]}
    assert not Service.from_json({"metadata": metadata, "spec": {}}).made_for
    metadata["labels"] = {"app.kubernetes.io/managed-by": "pgset-caretaker"}
    assert Service.from_json({"metadata": metadata, "spec": {}}).made_for == "u"


def test_a_policy_is_the_caretakers_by_its_label_and_a_sets_by_its_owner():
    metadata = {"name": "p", "uid": "u", "resourceVersion": "7"}
    plain = Policy.from_json({"metadata": metadata, "spec": {}})
    assert (plain.ours, plain.owner) == (False, "")
    metadata |= {
        "labels": {"app.kubernetes.io/managed-by": "pgset-caretaker"},
        "ownerReferences": [{"kind": "X", "uid": "x"}, {"kind": "StatefulSet", "uid": "s"}],
    }
    own = Policy.from_json({"metadata": metadata, "spec": {}})
    assert (own.ours, own.owner) == (True, "s")


def role_binding(**changed):
    return {
        "metadata": {
            "name": "pgset-caretaker",
            "namespace": "shop",
            "uid": "u",
            "resourceVersion": "7",
            "labels": {"app.kubernetes.io/managed-by": "pgset-caretaker"},
        },
        "roleRef": {"kind": "ClusterRole", "name": "pgset-sidecar"},
        "subjects": [
            {"kind": "ServiceAccount", "name": "default", "namespace": "shop"},
            {"kind": "ServiceAccount", "name": "elsewhere", "namespace": "other"},
            {"kind": "User", "name": "jane"},
        ],
        **changed,
    }


def test_a_binding_gives_to_service_accounts_of_its_namespace():
    assert Binding.from_json(role_binding()).accounts == {"default"}
    assert Binding.from_json(role_binding(subjects=None)).accounts == frozenset()


def test_a_binding_of_another_role_is_not_the_caretakers_whatever_its_label():
    assert Binding.from_json(role_binding()).ours
    other = {"kind": "Role", "name": "pgset-sidecar"}
    assert not Binding.from_json(role_binding(roleRef=other)).ours


def test_a_binding_without_the_label_is_not_the_caretakers():
    manifest = role_binding()
    del manifest["metadata"]["labels"]
    assert not Binding.from_json(manifest).ours


def test_a_selector_becomes_a_query():
    selector = {
        "matchLabels": {"app": "orders", "tier": "db"},
        "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["x", "y"]},
            {"key": "b", "operator": "NotIn", "values": ["z"]},
            {"key": "c", "operator": "Exists"},
            {"key": "d", "operator": "DoesNotExist"},
        ],
    }
    assert selector_text(selector) == "app=orders,tier=db,a in (x,y),b notin (z),c,!d"
