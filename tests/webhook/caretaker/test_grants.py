"""Who gets the sidecars' rights, and when they are taken back."""

from dataclasses import replace

import pytest

from tests.webhook.caretaker.made import binding, member, there, workload
from webhook.caretaker import grants
from webhook.caretaker.facts import Account
from webhook.caretaker.step import Grant, MakeAccount, RemoveAccount

NOBODY = frozenset()
OWN = Account(name="orders-pgset", uid="a", ours=True)


def steps(namespace, *, allowed=True):
    return list(grants.steps(namespace, allowed=allowed))


def granted(namespace, *, allowed=True):
    """The service accounts after all is done; None where nothing is to be done."""
    found = [it.accounts for it in steps(namespace, allowed=allowed) if isinstance(it, Grant)]
    return found[0] if found else None


def test_the_service_account_of_a_new_set_is_granted():
    assert steps(there(workload(), granted=NOBODY)) == [Grant(accounts=("default",), present=None)]


def test_who_has_the_rights_by_another_binding_needs_no_grant():
    assert steps(there(workload(), granted=frozenset({"default"}))) == []


def test_who_is_granted_already_is_left_so():
    assert steps(there(workload(), granted=NOBODY, binding=binding("default"))) == []


def test_each_service_account_of_the_namespace_is_granted_once():
    sets = [workload("a"), workload("b", service_account="x"), workload("c", service_account="x")]
    assert granted(there(*sets, granted=NOBODY)) == ("default", "x")


def test_a_further_service_account_is_added():
    present = binding("default")
    second = workload("b", service_account="x")
    namespace = there(workload("a"), second, granted=NOBODY, binding=present)
    assert steps(namespace) == [Grant(accounts=("default", "x"), present=present)]


@pytest.mark.parametrize(
    "without_claim",
    [
        workload(settings=None, fault="unknown"),
        workload(leaving=True),
    ],
    ids=["not understood", "being deleted"],
)
def test_nothing_new_is_granted_to_who_is_no_set_or_not_for_long(without_claim):
    assert steps(there(without_claim, granted=NOBODY)) == []


def test_a_sets_own_account_is_made_before_it_is_granted():
    shop = workload(service_account="orders-pgset")
    assert steps(there(shop, granted=NOBODY)) == [
        MakeAccount(name="orders-pgset", owner=shop),
        Grant(accounts=("orders-pgset",), present=None),
    ]


def test_a_pod_of_a_set_that_slipped_through_under_another_account_is_granted_it_too():
    """By a webhook of before, while a new one is rolled out."""
    namespace = there(
        workload(service_account="orders-pgset"),
        accounts=(OWN,),
        binding=binding("orders-pgset"),
        members=(member("orders-0", service_account="default"), member("x-0", owner="")),
        granted=NOBODY,
    )
    assert granted(namespace) == ("default", "orders-pgset")


# ── Taking back ───────────────────────────────────────────────────────────────────────────


def test_with_the_last_set_the_binding_goes():
    present = binding("default")
    assert steps(there(binding=present)) == [Grant(accounts=(), present=present)]


@pytest.mark.parametrize(
    "needing",
    [
        {"workloads": (workload(settings=None, fault="unknown"),)},
        {"workloads": (workload(leaving=True),)},
        {"members": (member(),)},
        {"members": (member(leaving=True),)},
        {"members": (member(owner=""),)},
    ],
    ids=["not understood", "being deleted", "a pod of before", "a pod that ends", "an orphan"],
)
def test_nothing_is_taken_while_it_may_be_needed(needing):
    assert steps(there(binding=binding("default"), **needing)) == []


def test_a_sets_own_account_goes_when_nothing_can_need_it():
    assert steps(there(accounts=(OWN,))) == [RemoveAccount(account=OWN)]
    assert steps(there(accounts=(replace(OWN, ours=False),))) == []
    for needing in (
        {"workloads": (workload(service_account="orders-pgset", leaving=True),)},
        {"members": (member(service_account="orders-pgset", leaving=True),)},
    ):
        assert steps(there(accounts=(OWN,), **needing)) == []


def test_a_pod_without_a_sidecar_needs_nothing():
    pods = (member(has_sidecar=False),)
    assert granted(there(binding=binding("default"), members=pods)) == ()


def test_only_the_service_account_that_nobody_uses_is_taken_out():
    namespace = there(workload(), binding=binding("default", "old"), granted=NOBODY)
    assert granted(namespace) == ("default",)


def test_a_set_that_changes_its_service_account_keeps_the_old_one_until_its_pods_are_rolled():
    changed = workload(service_account="new")
    rolling = there(
        changed,
        binding=binding("default"),
        granted=NOBODY,
        members=(member("orders-0", service_account="default"),),
    )
    assert granted(rolling) == ("default", "new")
    rolled = there(
        changed,
        binding=binding("default", "new"),
        granted=NOBODY,
        members=(member("orders-0", service_account="new"),),
    )
    assert granted(rolled) == ("new",)


# ── By hand ───────────────────────────────────────────────────────────────────────────────


def test_by_hand_nothing_is_granted_and_the_command_is_told():
    (told,) = steps(there(workload(), granted=NOBODY), allowed=False)
    assert (told.kind, told.name, told.reason) == ("StatefulSet", "orders", "GrantMissing")
    assert told.sentence.endswith(
        "kubectl -n shop create rolebinding pgset-sidecar-default "
        "--clusterrole=pgset-sidecar --serviceaccount=shop:default"
    )


def test_by_hand_a_grant_that_is_there_is_nothing_to_tell():
    assert steps(there(workload()), allowed=False) == []


def test_by_hand_what_was_granted_before_stays_while_it_is_needed_and_no_longer():
    assert steps(there(workload(), binding=binding("default")), allowed=False) == []
    assert granted(there(binding=binding("default")), allowed=False) == ()


def test_somebody_elses_binding_of_that_name_is_never_written():
    theirs = binding("somebody", ours=False)
    (told,) = steps(there(workload(), binding=theirs, granted=NOBODY))
    assert told.reason == "GrantMissing"
    assert steps(there(binding=theirs)) == []
