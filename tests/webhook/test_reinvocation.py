"""A second mutating webhook before or after ours, and the API server that then asks us again.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#reinvocation-policy
"""

import pytest

from tests.webhook import objects
from webhook.mutate import mutate_pod, mutate_statefulset

CASES = sorted(path.name for path in objects.GOLDEN.iterdir() if path.name != "already-injected")
PROXY = {"name": "proxy", "image": "proxy", "restartPolicy": "Always"}


def a_container(pod):
    pod["spec"]["containers"].append({"name": "agent", "image": "agent"})


def a_container_at_the_front(pod):
    pod["spec"]["containers"].insert(0, {"name": "agent", "image": "agent"})


def an_init_container_at_the_front(pod):
    pod["spec"].setdefault("initContainers", []).insert(0, PROXY)


def an_init_container_at_the_end(pod):
    pod["spec"].setdefault("initContainers", []).append(PROXY)


def a_label_and_an_annotation(pod):
    pod["metadata"].setdefault("labels", {})["mesh"] = "on"
    pod["metadata"].setdefault("annotations", {})["mesh"] = "on"


def a_volume_mounted_everywhere(pod):
    pod["spec"].setdefault("volumes", []).insert(0, {"name": "trust", "emptyDir": {}})
    for container in everywhere(pod):
        container.setdefault("volumeMounts", []).append({"name": "trust", "mountPath": "/trust"})


def a_variable_everywhere(pod):
    for container in everywhere(pod):
        container.setdefault("env", []).insert(0, {"name": "ZONE", "value": "b"})


def resources_everywhere(pod):
    for container in everywhere(pod):
        container.setdefault("resources", {})["limits"] = {"cpu": "1", "memory": "1Gi"}


def another_registry_everywhere(pod):
    for container in everywhere(pod):
        container["image"] = f"mirror.example.com/{container['image']}"


OTHERS = [
    a_container,
    a_container_at_the_front,
    an_init_container_at_the_front,
    an_init_container_at_the_end,
    a_label_and_an_annotation,
    a_volume_mounted_everywhere,
    a_variable_everywhere,
    resources_everywhere,
    another_registry_everywhere,
]


def everywhere(pod):
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def ours(pod):
    return mutate_pod(objects.review_of(pod), objects.IMAGE, objects.never_led)


def named(pod):
    return {container["name"]: container for container in everywhere(pod)}


def other_labels(pod):
    role = pod["metadata"]["annotations"].get("pgset.dev/role-label", "pgset.dev/role")
    return {name: value for name, value in pod["metadata"]["labels"].items() if name != role}


@pytest.mark.parametrize("case", CASES)
def test_asked_again_there_is_nothing_left_to_do(case):
    pod = objects.golden(case, "pod")
    assert ours(objects.patched(pod, ours(pod))).patch == []


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("case", CASES)
def test_after_another_webhook_had_its_turn_there_is_nothing_left_to_do(case, other):
    pod = objects.golden(case, "pod")
    changed = objects.changed(objects.patched(pod, ours(pod)), other)
    assert ours(changed).patch == []


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("case", CASES)
def test_what_another_webhook_did_before_is_kept(case, other):
    pod = objects.changed(objects.golden(case, "pod"), other)
    admitted = objects.patched(pod, ours(pod))
    assert {"pgset-sidecar", "pgset-bootstrap"} == set(named(admitted)) - set(named(pod))
    assert other_labels(pod).items() <= admitted["metadata"]["labels"].items()
    assert [v for v in pod["spec"].get("volumes", []) if "kube-api-access" not in v["name"]] == [
        v
        for v in admitted["spec"]["volumes"]
        if not v["name"].startswith(("pgset-handshake", "pgset-token", "kube-api-access"))
    ]
    for name, container in named(pod).items():
        if name != "postgres":
            assert container["image"] == named(admitted)[name]["image"]
            assert container.get("env") == named(admitted)[name].get("env")
    assert ours(admitted).patch == []


@pytest.mark.parametrize("case", CASES)
def test_a_startup_probe_that_another_webhook_adds_to_the_database_is_taken_out_again(case):
    pod = objects.golden(case, "pod")
    admitted = objects.patched(pod, ours(pod))
    for container in everywhere(admitted):
        container.setdefault("startupProbe", {"exec": {"command": ["true"]}})
    again = objects.patched(admitted, ours(admitted))
    probed = {name for name, container in named(again).items() if "startupProbe" in container}
    assert probed == named(again).keys() - {"postgres"}
    assert ours(again).patch == []


@pytest.mark.parametrize("case", CASES)
def test_a_statefulset_asked_again_has_its_stamp(case):
    statefulset = objects.golden(case, "statefulset")
    stamped = objects.patched(statefulset, mutate_statefulset(objects.review_of(statefulset)))
    again = mutate_statefulset(objects.review_of(stamped))
    assert again.patch == []
    assert again.warnings == mutate_statefulset(objects.review_of(statefulset)).warnings
