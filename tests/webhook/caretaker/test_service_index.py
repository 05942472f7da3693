"""Which Services a set looks at, of all that a namespace has."""

import pytest

from sidecar.settings import Settings
from tests.webhook.caretaker.made import both_services, workload
from webhook.caretaker.facts import Service
from webhook.caretaker.service_index import ServiceIndex

SETS = [f"set-{number}" for number in range(20)]
OTHERS = tuple(
    service
    for name in SETS
    for service in (*both_services(name), Service(name=name, selector={"app": name}))
)


def looked_at(*services, of):
    return [it.name for it in ServiceIndex((*OTHERS, *services)).concerning(of)]


@pytest.mark.parametrize("name", SETS[:3])
def test_a_set_among_many_looks_at_its_own_services_alone(name):
    assert looked_at(of=workload(name)) == [f"{name}-primary", f"{name}-replica", name]


ROLE = "pgset.dev/role"


@pytest.mark.parametrize(
    "service",
    [
        Service(name="x", selector={}, made_for="uid-orders"),
        Service(name="x", selector={"app": "other"}, made_for="uid-orders"),
        Service(name="x", selector={"pgset.dev/set": "orders"}),
        Service(name="x", selector={"name": "main"}),
        Service(name="x", selector={"name": "replica", "app": "orders"}),
        Service(name="x", selector={"app": "orders", ROLE: "primary"}, added=ROLE),
        Service(name="x", selector={ROLE: "primary"}, added=ROLE),
    ],
)
def test_a_set_looks_at_what_was_made_for_it_and_at_what_may_lead_to_it(service):
    own = Settings(set_name="orders", role_label="name", primary_value="main")
    assert looked_at(service, of=workload(settings=own)) == ["x"]


@pytest.mark.parametrize(
    "service",
    [
        Service(name="x", selector={}),
        Service(name="x", selector={"app": "other"}, made_for="uid-other"),
        Service(name="x", selector={"pgset.dev/set": "other", ROLE: "primary"}, added=ROLE),
    ],
)
def test_a_set_looks_at_no_other_service(service):
    assert looked_at(service, of=workload()) == []


def test_one_is_found_by_its_name():
    index = ServiceIndex(OTHERS)
    assert index.named("set-7") == OTHERS[7 * 3 + 2]
    assert index.named("orders") is None
