"""Which PodDisruptionBudgets are made, kept as they should be, taken away, and left alone."""

import dataclasses

import pytest

from tests.webhook.caretaker.made import member, there, workload
from webhook.caretaker import budgets
from webhook.caretaker.facts import Policy
from webhook.caretaker.step import MakeBudget, RemoveBudget

THREE = workload(replicas=3)
SPEC = {"maxUnavailable": 1, "selector": {"matchLabels": {"pgset.dev/set": "orders"}}}


def budget(name="orders-pgset", *, owner="uid-orders", ours=True, spec=SPEC):
    return Policy(
        name=name, uid=f"uid-{name}", resource_version="7", ours=ours, owner=owner, spec=spec
    )


def users(name="mine", selector=None, **labels):
    spec = {"minAvailable": 1, "selector": selector or {"matchLabels": labels}}
    return budget(name, ours=False, owner="", spec=spec)


def pods_of(name="orders", count=3, **said):
    return tuple(member(f"{name}-{ordinal}", **said) for ordinal in range(count))


def steps(*workloads, **said):
    """What is done where all members of `orders` are there, unless others are given."""
    return list(budgets.steps(there(*workloads, **{"members": pods_of(), **said})))


@pytest.mark.parametrize("replicas", [2, 3])
def test_a_set_of_several_gets_one_that_lets_one_member_go_at_a_time(replicas):
    several = workload(replicas=replicas)
    made = MakeBudget(name="orders-pgset", spec=SPEC, owner=several, present=None)
    assert steps(several) == [made]
    assert steps(several, budgets=(budget(),)) == []


@pytest.mark.parametrize(
    "some",
    [
        (),
        pods_of(count=2),
        (*pods_of(count=2), member("orders-2", stamped=False)),
        (*pods_of(count=2), member("orders-2", leaving=True)),
        (*pods_of(count=2), member("other-0")),
        pods_of(owner_uid="uid-before"),
    ],
    ids=["none", "too few", "one without the label", "one that goes", "another set's", "of before"],
)
def test_it_is_made_once_all_members_have_its_label_and_stays_then(some):
    """Or Kubernetes would take those without it for lost, and let none of the others be evicted."""
    assert steps(THREE, members=some) == []
    assert steps(THREE, members=some, budgets=(budget(),)) == []


@pytest.mark.parametrize("replicas", [0, 1])
def test_one_member_gets_none_and_loses_it_since_its_node_could_never_be_drained(replicas):
    one = workload(replicas=replicas)
    assert steps(one, members=pods_of(count=replicas)) == []
    assert steps(one, members=(), budgets=(budget(),)) == [RemoveBudget(budget=budget())]


def test_it_goes_when_the_set_opts_out():
    assert steps(budgets=(budget(),)) == [RemoveBudget(budget=budget())]


@pytest.mark.parametrize(
    "present",
    [
        budget(spec=SPEC | {"maxUnavailable": 0}),
        budget(owner="uid-before"),
        budget(owner=""),
    ],
    ids=["changed by hand", "of the StatefulSet of before", "of nobody"],
)
def test_one_that_is_not_as_it_should_be_is_put_right(present):
    (step,) = steps(THREE, budgets=(present,))
    assert (step.present, step.spec, step.owner) == (present, SPEC, THREE)


ALSO = {"unhealthyPodEvictionPolicy": "AlwaysAllow"}


def test_what_else_it_says_stays_as_somebody_has_set_it():
    assert steps(THREE, budgets=(budget(spec=SPEC | ALSO),)) == []
    (step,) = steps(THREE, budgets=(budget(spec=SPEC | ALSO | {"maxUnavailable": 0}),))
    assert step.spec == SPEC | ALSO


def test_min_available_goes_since_it_may_not_be_beside_what_is_put_back():
    selector = {"selector": SPEC["selector"]}
    (step,) = steps(THREE, budgets=(budget(spec=ALSO | selector | {"minAvailable": 2}),))
    assert step.spec == SPEC | ALSO


@pytest.mark.parametrize(
    "unsure",
    [workload(settings=None, fault="unknown", replicas=3), workload(leaving=True, replicas=3)],
    ids=["not understood", "being deleted"],
)
def test_nothing_is_made_or_taken_away_where_that_may_be_wrong(unsure):
    assert steps(unsure) == []
    assert steps(unsure, budgets=(budget(),)) == []


SAME_PODS = {
    "all pods": users(selector={"matchLabels": {}}),
    "by their labels": users(app="orders"),
    "in one role": users(**{"pgset.dev/role": "primary"}),
    "a label that a pod alone has": users(team="x"),
    "by an expression": users(
        selector={"matchExpressions": [{"key": "app", "operator": "In", "values": ["orders"]}]}
    ),
    "by our name": users("orders-pgset", app="orders"),
}


@pytest.mark.parametrize("theirs", SAME_PODS.values(), ids=SAME_PODS)
def test_beside_one_of_the_users_for_the_same_pods_there_is_none_since_two_let_nobody_go(theirs):
    pods = (*pods_of(labels={"team": "x"}), member("other-0", labels={"team": "y"}))
    assert steps(THREE, budgets=(theirs,), members=pods) == []
    own = budget("pgset-of-before")
    assert steps(THREE, budgets=(theirs, own), members=pods) == [RemoveBudget(budget=own)]


def test_the_caretakers_own_goes_when_the_user_makes_one():
    assert steps(THREE, budgets=(budget(), users(app="orders"))) == [RemoveBudget(budget=budget())]


OTHER_PODS = {
    "other pods": users(app="web"),
    "pods of another set": users(team="y"),
    "none": dataclasses.replace(users(), spec={"minAvailable": 1}),
}


@pytest.mark.parametrize("theirs", OTHER_PODS.values(), ids=OTHER_PODS)
def test_one_of_the_users_for_other_pods_is_in_nobodys_way(theirs):
    pods = (*pods_of(labels={"team": "x"}), member("other-0", labels={"team": "y"}))
    made = steps(THREE, budgets=(theirs,), members=pods)
    assert [type(it) for it in made] == [MakeBudget]


def test_somebody_elses_of_our_name_for_other_pods_is_told_and_never_written():
    theirs = users("orders-pgset", app="web")
    (told,) = steps(THREE, budgets=(theirs,))
    assert (told.kind, told.name, told.reason) == (
        "StatefulSet",
        "orders",
        "DisruptionBudgetInTheWay",
    )
    assert told.sentence.endswith("kubectl -n shop delete poddisruptionbudget orders-pgset")
    assert steps(workload(), members=(), budgets=(theirs,)) == []


# ── a set that shrinks to one ─────────────────────────────────────────────────────────────

MEMBERS = pods_of()


def test_a_set_that_shrinks_to_one_is_told_so_as_long_as_its_others_are_there():
    (told,) = steps(workload(replicas=1), members=MEMBERS)
    assert (told.kind, told.name, told.reason) == ("StatefulSet", "orders", "ShrunkToOne")
    assert told.sentence.startswith("this set shrinks from 3 members to one")
    assert told.sentence.endswith("kubectl -n shop scale statefulset orders --replicas=3")


@pytest.mark.parametrize(
    ("one", "pods"),
    [
        (workload(replicas=1), MEMBERS[:1]),
        (workload(replicas=1), (MEMBERS[0], member("other-1"))),
        (workload(replicas=1, uid="uid-new"), MEMBERS),
        (workload(replicas=0), MEMBERS),
        (workload(replicas=1, leaving=True), MEMBERS),
        (workload(replicas=1, settings=None), MEMBERS),
    ],
    ids=[
        "one",
        "another set's",
        "of the StatefulSet of before",
        "none",
        "being deleted",
        "not understood",
    ],
)
def test_nobody_else_is(one, pods):
    assert steps(one, members=pods) == []
