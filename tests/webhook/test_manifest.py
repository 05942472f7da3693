"""A manifest becomes what the webhook would make of the set and of its pods."""

from pathlib import Path

import pytest

from tests.deploy.manifests import cluster_role
from tests.webhook import objects
from tests.webhook.objects import (
    GOLDEN,
    IMAGE,
    golden,
    has_led,
    patched,
    review_of,
    written_statefulset,
)
from webhook import manifest
from webhook.errors import DeniedError
from webhook.json_patch import Json, add, applied, remove
from webhook.mutate import mutate_pod, mutate_statefulset

CASES = sorted(it.parent.name for it in Path(GOLDEN).glob("*/statefulset.yaml"))


def made(statefulset: Json) -> manifest.Injected:
    injected = manifest.inject(statefulset, IMAGE)
    assert injected is not None
    return injected


@pytest.mark.parametrize("case", CASES)
def test_it_is_what_the_webhook_makes_of_the_set_and_then_of_its_pods(case: str) -> None:
    statefulset = golden(case, "statefulset")
    stamped = patched(statefulset, mutate_statefulset(review_of(statefulset)))
    template = stamped["spec"]["template"]
    name = f"{statefulset['metadata']['name']}-0"
    pod = {"kind": "Pod", **template, "metadata": {**template["metadata"], "name": name}}
    member = patched(pod, mutate_pod(review_of(pod), IMAGE, has_led, own_accounts=True))

    injected = made(statefulset).statefulset
    assert injected["spec"]["template"]["spec"] == member["spec"]
    assert {**injected["spec"]["template"]["metadata"], "name": name} == member["metadata"]
    assert injected["metadata"] == stamped["metadata"]


def test_a_manifest_as_it_is_written_brings_its_grant_along() -> None:
    injected = made(written_statefulset())
    template = injected.statefulset["spec"]["template"]
    assert template["metadata"]["labels"]["pgset.dev/role"] == "replica"
    assert template["spec"]["serviceAccountName"] == "orders-pgset"
    assert [it["kind"] for it in injected.needs] == [
        *("Service", "Service", "ServiceAccount", "Role", "RoleBinding")
    ]
    *_, binding = injected.needs
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "orders-pgset"}]
    assert injected.warnings


def test_its_services_are_those_that_the_caretaker_would_make() -> None:
    statefulset = written_statefulset()
    statefulset["metadata"]["annotations"]["pgset.dev/port"] = "6432"
    primary, replica, *_ = made(statefulset).needs
    names = [it["metadata"]["name"] for it in (primary, replica)]
    assert names == ["orders-primary", "orders-replica"]
    assert primary["spec"] == {
        "selector": {"pgset.dev/set": "orders", "pgset.dev/role": "primary"},
        "ports": [{"name": "postgresql", "port": 5432, "targetPort": 6432}],
        "publishNotReadyAddresses": True,
    }
    assert "publishNotReadyAddresses" not in replica["spec"]


@pytest.mark.parametrize("field", ["serviceAccountName", "serviceAccount"])
def test_an_account_that_the_template_names_is_the_users(field: str) -> None:
    statefulset = written_statefulset()
    statefulset["metadata"]["namespace"] = "shop"
    statefulset["spec"]["template"]["spec"][field] = "db"
    injected = made(statefulset)
    assert injected.statefulset["spec"]["template"]["spec"]["serviceAccountName"] == "db"
    *_, role, binding = injected.needs
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "db", "namespace": "shop"}]
    assert {it["metadata"]["namespace"] for it in (role, binding)} == {"shop"}


def test_the_template_may_opt_in_too() -> None:
    statefulset = written_statefulset()
    annotations = statefulset["metadata"].pop("annotations")
    assert manifest.inject(statefulset, IMAGE) is None
    statefulset["spec"]["template"]["metadata"]["annotations"] = annotations
    assert made(statefulset).statefulset["metadata"]["annotations"] != {}


def test_what_the_webhook_refuses_is_refused() -> None:
    statefulset = written_statefulset()
    statefulset["spec"]["template"]["spec"]["hostPID"] = True
    with pytest.raises(DeniedError, match="hostPID"):
        manifest.inject(statefulset, IMAGE)
    once = made(written_statefulset()).statefulset
    with pytest.raises(DeniedError, match="allowed: a template without it"):
        manifest.inject(once, IMAGE)


def test_the_rules_are_the_sidecars_without_the_mark_of_policies() -> None:
    mark, *rules = cluster_role("pgset-sidecar")["rules"]
    assert mark["resources"] == ["sidecars"]
    assert list(manifest.RULES) == rules


def test_operations_are_carried_out_in_their_order() -> None:
    document = {"list": [1, 2], "a/b": {"~": 1}}
    patch = [
        add(("list", "-"), 3),
        add(("list", 0), 0),
        remove(("list", 1)),
        {"op": "replace", "path": "/list/0", "value": 9},
        add(("a/b", "~"), 2),
        remove(("a/b", "~")),
    ]
    assert applied(document, patch) == objects.jsonpatch.apply_patch(document, patch)
    assert document == {"list": [1, 2], "a/b": {"~": 1}}
