"""What somebody has put into one namespace keeps the caretaker from no other one."""

import pytest
from kubernetes.client.exceptions import ApiException

from tests.webhook.caretaker.api_server import ApiServer
from tests.webhook.caretaker.test_rounds import caretaker, event, one_round, opted_in


@pytest.fixture
def api():
    return ApiServer()


def test_one_that_fails_ends_no_round(api):
    api.refused["/namespaces/a/"] = 500
    for name in ("a", "shop"):
        api.put_statefulset(opted_in(namespace=name))
    one_round(api)
    assert api.names("services") == {"shop/orders-primary", "shop/orders-replica"}
    assert api.watches == [2]


def test_many_that_fail_come_last_in_the_next_round(api):
    for name in ("a", "b", "c", "d", "shop"):
        api.refused[f"/namespaces/{name}/"] = 500
        api.put_statefulset(opted_in(namespace=name))
    del api.refused["/namespaces/shop/"]
    with caretaker(api) as rounds:
        with pytest.raises(ApiException):
            rounds.follow()
        assert api.names("services") == set()
        with pytest.raises(ApiException):
            rounds.follow()
    assert api.names("services") == {"shop/orders-primary", "shop/orders-replica"}


def test_one_that_gets_well_is_in_its_place_again(api):
    for name in ("a", "shop"):
        api.put_statefulset(opted_in(namespace=name))
    api.refused["/namespaces/a/"] = 500
    with caretaker(api) as rounds:
        rounds.follow()
        api.refused.clear()
        rounds.follow()
        api.lists.clear()
        rounds.follow()
    services = [it for it in api.lists if it.endswith("/services")]
    assert services == [f"/api/v1/namespaces/{it}/services" for it in ("a", "shop")]


def test_a_change_where_it_fails_does_not_bring_the_next_round_on(api):
    api.put_statefulset(opted_in())
    with caretaker(api) as rounds:
        rounds.follow()
        api.refused["/namespaces/a/"] = 500
        api.events = [event("ADDED", opted_in(namespace="a")), event("ADDED", opted_in("carts"))]
        rounds.follow()
    assert "shop/carts-primary" in api.names("services")


def test_a_statefulset_that_cannot_be_read_leaves_its_namespace_as_it_is(api):
    api.put_statefulset(opted_in(namespace="a"))
    one_round(api)
    odd = opted_in("odd", namespace="a")
    del odd["spec"]["selector"]
    api.put_statefulset(odd)
    api.put_statefulset(opted_in())
    api.events = [event("MODIFIED", odd)]
    api.writes.clear()
    one_round(api)
    assert "shop/orders-primary" in api.names("services")
    assert not [it for it in api.writes if "/namespaces/a/" in it]


def test_a_fault_of_ours_in_one_namespace_is_none_of_the_others(api):
    budget = "/apis/policy/v1/namespaces/a/poddisruptionbudgets/odd"
    rule = {"key": "app", "operator": "Of a later version"}
    api.put(
        budget, {"metadata": {"name": "odd"}, "spec": {"selector": {"matchExpressions": [rule]}}}
    )
    for name in ("a", "shop"):
        manifest = opted_in(namespace=name)
        manifest["spec"]["replicas"] = 3
        api.put_statefulset(manifest)
    one_round(api)
    assert "shop/orders-primary" in api.names("services")
