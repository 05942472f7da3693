"""The admission policies and the grant that they keep to its purpose fit together.

What they let through is tried on a real API server in `test_rights`.
"""

import re

import pytest

from sidecar import contract
from tests.deploy.manifests import cluster_role, document, documents
from webhook.caretaker.facts import BINDING, CARETAKER, GRANT_ROLE, MADE_BY


def specs(*files):
    return {it["metadata"]["name"]: it["spec"] for file in files for it in documents(file)}


POLICIES = specs("validating-admission-policies.yaml")
"""What a sidecar's requests are judged by."""
GRANTS = specs("caretaker-validating-admission-policy.yaml")
BINDINGS = specs(
    "validating-admission-policy-bindings.yaml",
    "caretaker-validating-admission-policy-binding.yaml",
)

OPERATIONS = {"create": "CREATE", "update": "UPDATE", "patch": "UPDATE", "delete": "DELETE"}
"""What the API server calls a verb when it admits an object."""


def test_each_policy_is_bound_and_denies():
    assert {*POLICIES, *GRANTS} == {spec["policyName"] for spec in BINDINGS.values()}
    assert all(spec["validationActions"] == ["Deny"] for spec in BINDINGS.values())


def test_the_role_has_the_mark_that_all_policies_ask_for():
    (mark,) = [
        rule
        for rule in cluster_role("pgset-sidecar")["rules"]
        if contract.DOMAIN in rule["apiGroups"]
    ]
    assert mark == {"apiGroups": ["pgset.dev"], "resources": ["sidecars"], "verbs": ["be"]}
    for spec in POLICIES.values():
        (condition,) = spec["matchConditions"]
        assert "authorizer.group('pgset.dev').resource('sidecars')" in condition["expression"]
        assert ".check('be')" in condition["expression"]


def test_all_policies_judge_the_same_requests():
    pods, leases = POLICIES.values()
    assert pods["matchConditions"] == leases["matchConditions"]
    assert pods["variables"][:2] == leases["variables"]


def test_each_refuses_a_token_that_is_bound_to_no_pod():
    for spec in POLICIES.values():
        first, *_ = spec["validations"]
        assert first["expression"] == "variables.pod != ''"


def test_whatever_the_role_lets_a_sidecar_write_is_judged_but_events():
    granted = {
        (resource, OPERATIONS[verb])
        for rule in cluster_role("pgset-sidecar")["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if verb in OPERATIONS
    }
    judged = {
        (resource, operation)
        for spec in POLICIES.values()
        for rule in spec["matchConstraints"]["resourceRules"]
        for resource in rule["resources"]
        for operation in rule["operations"]
    }
    assert judged == granted - {("events", "CREATE")}


@pytest.mark.parametrize("spec", (POLICIES | GRANTS).values(), ids=POLICIES | GRANTS)
def test_a_refusal_is_told_as_a_missing_right(spec):
    assert {it["reason"] for it in spec["validations"]} == {"Forbidden"}


def test_the_caretaker_has_its_mark_and_writes_what_its_policy_lets_through():
    role = str(document("caretaker-cluster-role.yaml")["rules"])
    assert str({"apiGroups": ["pgset.dev"], "resources": ["caretakers"], "verbs": ["be"]}) in role
    for spec in GRANTS.values():
        (condition,) = spec["matchConditions"]
        assert "resource('caretakers').check('be')" in condition["expression"]
    names = set(re.findall(r"== '([a-z-]+)'", str(GRANTS["pgset-caretaker-grants"]["validations"])))
    assert names == {BINDING, GRANT_ROLE}
    accounts = str(GRANTS["pgset-caretaker-accounts"]["validations"])
    assert f"endsWith('{contract.service_account('')}')" in accounts
    assert f"[?'{MADE_BY}'].orValue('') == '{CARETAKER}'" in accounts
    policies = str(GRANTS["pgset-caretaker-network-policies"]["validations"])
    assert f"endsWith('{contract.network_policy('')}')" in policies
    assert policies.count(f"[?'{MADE_BY}'].orValue('') == '{CARETAKER}'") == 2
    assert f"[?'{contract.SET_LABEL}'].orValue('') + '{contract.network_policy('')}'" in policies
    budgets = str(GRANTS["pgset-caretaker-disruption-budgets"]["validations"])
    assert f"endsWith('{contract.disruption_budget('')}')" in budgets
    assert budgets.count(f"[?'{MADE_BY}'].orValue('') == '{CARETAKER}'") == 2
    assert f"[?'{contract.SET_LABEL}'].orValue('') + '{contract.disruption_budget('')}'" in budgets


def test_whatever_the_caretaker_writes_of_sets_networking_or_accounts_is_judged():
    granted = {
        (resource, OPERATIONS[verb])
        for rule in document("caretaker-cluster-role.yaml")["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if verb in OPERATIONS
    }
    judged = {
        (resource, operation)
        for spec in GRANTS.values()
        for rule in spec["matchConstraints"]["resourceRules"]
        for resource in rule["resources"]
        for operation in rule["operations"]
    }
    # RBAC itself keeps the deletion of bindings to the one name.
    by_rbac = {("rolebindings", "DELETE")}
    harmless = {(it, "CREATE") for it in ("services", "events", "subjectaccessreviews")}
    assert granted - judged == by_rbac | harmless


def test_every_name_of_ours_is_the_contracts():
    text = str(POLICIES)
    names = set(re.findall(rf"{re.escape(contract.DOMAIN)}/[a-z-]+", text))
    assert names == {
        contract.SET_LABEL,
        contract.ROLE_LABEL,
        contract.PRIMARY_VALUE,
        contract.REPLICA_VALUE,
        contract.DEFAULT_ROLE_LABEL,
        contract.STATUS,
    }
    assert f"'{contract.lease_name('')}' + variables.set" in text
