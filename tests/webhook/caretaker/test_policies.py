"""Which NetworkPolicies are made, kept as they should be, taken away, and left alone."""

import dataclasses

import pytest

from tests.webhook.caretaker.made import member, there, workload
from webhook.caretaker import policies
from webhook.caretaker.facts import Policy
from webhook.caretaker.step import MakePolicy, RemovePolicy, Tell

ASKING = workload(network_policy=True)


def policy(name="orders-pgset", *, owner="uid-orders", ours=True, spec=None):
    return Policy(
        name=name, uid=f"uid-{name}", resource_version="7", ours=ours, owner=owner, spec=spec or {}
    )


def steps(*workloads, **said):
    return list(policies.steps(there(*workloads, **said)))


def made(*workloads, **said):
    """The one policy that is written."""
    (step,) = [it for it in steps(*workloads, **said) if isinstance(it, MakePolicy)]
    return step


def for_all(step):
    """Ports that everybody reaches."""
    return [
        (port["protocol"], port["port"])
        for rule in step.spec["ingress"]
        if "from" not in rule
        for port in rule["ports"]
    ]


def selects(*expressions, ingress=True, **labels):
    types = ["Ingress", "Egress"] if ingress else ["Egress"]
    selector = {"matchLabels": labels, "matchExpressions": list(expressions)}
    return {"podSelector": selector, "policyTypes": types}


def test_a_set_that_does_not_ask_gets_none():
    assert steps(workload()) == []


def test_a_set_that_asks_gets_one_that_leaves_its_own_port_to_few():
    step = made(ASKING)
    assert (step.name, step.owner, step.present) == ("orders-pgset", ASKING, None)
    assert step.spec == {
        "podSelector": {"matchLabels": {"pgset.dev/set": "orders"}},
        "policyTypes": ["Ingress"],
        "ingress": [
            {"ports": [{"protocol": "TCP", "port": 5432}]},
            {
                "ports": [{"protocol": "TCP", "port": 8008}],
                "from": [
                    {"podSelector": {"matchLabels": {"pgset.dev/set": "orders"}}},
                    {"podSelector": {"matchLabels": {"pgset.dev/scrapes": "true"}}},
                    {"namespaceSelector": {"matchLabels": {"pgset.dev/scrapes": "true"}}},
                ],
            },
        ],
    }


def test_what_containers_declare_is_for_all_as_before_be_it_in_the_template_or_in_a_pod_alone():
    declares = dataclasses.replace(ASKING, ports=frozenset({("TCP", 6432), ("UDP", 9000)}))
    pods = (
        member("orders-0", ports=frozenset({("TCP", 9187), ("TCP", 8008)})),
        member("other-0", ports=frozenset({("TCP", 1)})),
    )
    step = made(declares, members=pods)
    assert for_all(step) == [("TCP", 5432), ("TCP", 6432), ("TCP", 9187), ("UDP", 9000)]


def test_the_sidecars_port_is_for_few_whatever_declares_it():
    declares = dataclasses.replace(ASKING, ports=frozenset({("TCP", 8008), ("UDP", 8008)}))
    assert for_all(made(declares)) == [("TCP", 5432)]


def test_what_was_made_is_enough():
    assert steps(ASKING, policies=(policy(spec=made(ASKING).spec),)) == []


@pytest.mark.parametrize(
    "present",
    [
        policy(spec=selects()),
        policy(spec=made(ASKING).spec, owner="uid-before"),
        policy(spec=made(ASKING).spec, owner=""),
        policy(spec=made(dataclasses.replace(ASKING, ports=frozenset({("TCP", 1)}))).spec),
    ],
    ids=["changed by hand", "of the StatefulSet of before", "of nobody", "of an earlier template"],
)
def test_one_that_is_not_as_it_should_be_is_put_right(present):
    step = made(ASKING, policies=(present,))
    assert (step.present, step.spec) == (present, made(ASKING).spec)


@pytest.mark.parametrize("workloads", [(workload(),), ()], ids=["not asked for", "no set"])
def test_one_that_no_set_asks_for_goes(workloads):
    assert steps(*workloads, policies=(policy(),)) == [RemovePolicy(policy=policy())]


@pytest.mark.parametrize(
    "unsure",
    [
        workload(settings=None, fault="unknown"),
        workload(settings=None, fault="unknown", network_policy=True),
        workload(leaving=True, network_policy=True),
    ],
    ids=["not understood", "not understood but for this", "being deleted"],
)
def test_nothing_is_made_or_taken_away_where_that_may_be_wrong(unsure):
    assert steps(unsure) == []
    assert steps(unsure, policies=(policy(),)) == []


def test_somebody_elses_of_that_name_is_told_and_never_written():
    theirs = policy(ours=False)
    (told,) = steps(ASKING, policies=(theirs,))
    assert (told.kind, told.name, told.reason) == ("StatefulSet", "orders", "NetworkPolicyInTheWay")
    assert told.sentence.startswith('NetworkPolicy "orders-pgset" is not one that the caretaker')
    assert told.sentence.endswith("kubectl -n shop delete networkpolicy orders-pgset")
    assert steps(workload(), policies=(theirs,)) == []


CLOSING = {
    "all pods": selects(),
    "by their labels": selects(app="orders"),
    "in one role": selects(**{"pgset.dev/role": "primary"}),
    "by expressions": selects(
        {"key": "app", "operator": "In", "values": ["orders", "x"]},
        {"key": "app", "operator": "NotIn", "values": ["x"]},
        {"key": "pgset.dev/set", "operator": "Exists"},
        {"key": "x", "operator": "DoesNotExist"},
    ),
}


@pytest.mark.parametrize("spec", CLOSING.values(), ids=CLOSING)
def test_beside_a_policy_of_the_users_none_is_made_since_it_would_open_what_that_one_closes(spec):
    (told,) = steps(ASKING, policies=(policy("deny", ours=False, owner="", spec=spec),))
    assert isinstance(told, Tell)
    assert told.reason == "NetworkPolicyInTheWay"
    assert told.sentence.startswith('NetworkPolicy "deny" says already who reaches')


OPEN = {
    "other pods": selects(app="web"),
    "other pods by an expression": selects(
        {"key": "app", "operator": "NotIn", "values": ["orders"]}
    ),
    "pods without a set": selects({"key": "pgset.dev/set", "operator": "DoesNotExist"}),
    "pods with another label": selects({"key": "x", "operator": "Exists"}),
    "egress": selects(ingress=False),
}


@pytest.mark.parametrize("spec", OPEN.values(), ids=OPEN)
def test_a_policy_that_does_not_say_who_reaches_the_set_is_in_nobodys_way(spec):
    beside = policy("x", ours=False, owner="", spec=spec)
    assert [type(it) for it in steps(ASKING, policies=(beside,))] == [MakePolicy]


def test_one_that_is_there_stays_and_is_tended_when_the_user_adds_another():
    own, another = policy(), policy("deny", ours=False, owner="", spec=selects())
    told, step = steps(ASKING, policies=(another, own))
    assert told.reason == "NetworkPolicyInTheWay"
    assert step.present == own
