"""Which Services are made, and which are left alone."""

import dataclasses

import pytest

from sidecar.settings import Settings
from tests.webhook.caretaker.made import both_services, there, workload
from webhook.caretaker import service_index, services
from webhook.caretaker.facts import Service
from webhook.caretaker.service_index import ServiceIndex
from webhook.caretaker.step import MakeService

ARTICLE = Settings(
    set_name="pgset",
    role_label="name",
    primary_value="pgset-primary",
    replica_value="pgset-replica",
)


def made(namespace):
    return {it.name: it.selector for it in services.steps(namespace) if isinstance(it, MakeService)}


def told(namespace):
    return [it.sentence for it in services.steps(namespace) if not isinstance(it, MakeService)]


def test_a_set_without_services_gets_two_that_select_the_set_and_the_role():
    namespace = there(workload(), services=())
    assert made(namespace) == {
        "orders-primary": {"pgset.dev/set": "orders", "pgset.dev/role": "primary"},
        "orders-replica": {"pgset.dev/set": "orders", "pgset.dev/role": "replica"},
    }
    assert {it.owner.name for it in services.steps(namespace)} == {"orders"}


def test_they_select_the_role_by_the_sets_own_label_and_values():
    namespace = there(workload("pgset", settings=ARTICLE), services=())
    assert made(namespace) == {
        "pgset-primary": {"pgset.dev/set": "pgset", "name": "pgset-primary"},
        "pgset-replica": {"pgset.dev/set": "pgset", "name": "pgset-replica"},
    }


def test_the_services_of_the_readme_are_enough():
    assert list(services.steps(there(workload()))) == []


def test_the_articles_own_services_are_enough():
    own = tuple(
        Service(name=name, selector={"name": name}) for name in ("pgset-primary", "pgset-replica")
    )
    namespace = there(workload("pgset", settings=ARTICLE), services=own)
    assert list(services.steps(namespace)) == []


def test_what_was_made_is_enough():
    first = there(workload(), services=())
    then = tuple(Service(name=name, selector=it) for name, it in made(first).items())
    assert list(services.steps(there(workload(), services=then))) == []


def test_reads_may_go_by_a_service_of_any_name():
    primary, replica = both_services()
    reads = dataclasses.replace(replica, name="reads")
    assert made(there(workload(), services=(primary, reads))) == {}


def test_the_primarys_is_needed_by_its_name_since_members_follow_by_it():
    primary, replica = both_services()
    writes = dataclasses.replace(primary, name="writes")
    assert set(made(there(workload(), services=(writes, replica)))) == {"orders-primary"}


@pytest.mark.parametrize(
    "selector",
    [
        {},
        {"app": "orders"},
        {"app": "orders", "pgset.dev/role": "replica"},
        {"app": "other", "pgset.dev/role": "primary"},
        {"pgset.dev/set": "other", "pgset.dev/role": "primary"},
        {"pgset.dev/role": "primary", "statefulset.kubernetes.io/pod-name": "orders-0"},
    ],
)
def test_a_service_of_that_name_that_does_something_else_is_told_and_not_changed(selector):
    _, replica = both_services()
    other = Service(name="orders-primary", selector=selector)
    namespace = there(workload(), services=(other, replica))
    assert made(namespace) == {}
    (sentence,) = told(namespace)
    assert sentence == (
        'Service "orders-primary" does not select the set\'s pods with pgset.dev/role: primary; '
        "change its selector, or delete it and the caretaker makes the right one: "
        "kubectl -n shop delete service orders-primary"
    )


@pytest.mark.parametrize(
    "no_set", [workload(settings=None, fault="unknown"), workload(leaving=True)]
)
def test_nothing_is_made_for_who_is_no_set_or_not_for_long(no_set):
    assert list(services.steps(there(no_set, services=()))) == []


def made_for(uid, **said):
    return tuple(dataclasses.replace(it, made_for=uid, **said) for it in both_services())


def test_what_was_made_for_the_statefulset_of_before_is_about_to_go():
    assert services.unsettled(there(workload(), services=made_for("uid-before")))
    assert not services.unsettled(there(workload(), services=made_for("uid-orders")))
    assert not services.unsettled(there(services=made_for("uid-before")))


def test_what_is_being_deleted_is_about_to_go():
    assert services.unsettled(there(workload(), services=made_for("uid-orders", leaving=True)))


def test_nobody_waits_for_what_somebody_else_has_made():
    theirs = tuple(dataclasses.replace(it, leaving=True) for it in both_services())
    assert not services.unsettled(there(workload(), services=theirs))


def test_many_sets_with_labels_in_common_and_many_services_for_all_make_no_million_of_warnings():
    """They would take more memory than the caretaker has."""
    labels = {"app": "all"}
    sets = [
        workload(f"set-{number}", pod_labels=labels | {"pgset.dev/set": f"set-{number}"})
        for number in range(100)
    ]
    traps = tuple(Service(name=f"trap-{number}", selector=labels) for number in range(300))
    assert len(told(there(*sets, services=traps))) == 100 * services.MOST_WARNINGS


def test_a_set_looks_at_so_many_services_at_the_most():
    index = ServiceIndex(Service(name=f"s-{it}", selector={"app": "orders"}) for it in range(1000))
    assert len(index.concerning(workload())) == service_index.MOST
