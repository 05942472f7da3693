"""What somebody has put into one namespace keeps the caretaker from no other one."""

import pytest
from kubernetes.client.exceptions import ApiException

from tests.support.clock import Clock
from tests.webhook.caretaker.api_server import ApiServer
from tests.webhook.caretaker.test_rounds import caretaker, event, one_round, opted_in
from webhook.caretaker import footprint
from webhook.caretaker.events import MOST_AT_ONCE
from webhook.caretaker.rounds import ROUND_SECONDS


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


def test_sets_and_budgets_that_take_minutes_to_compare_are_left_alone(api, monkeypatch):
    monkeypatch.setattr(footprint, "MAX_PAIRS", 5)
    for number in (1, 2):
        budget = {"metadata": {"name": f"b-{number}"}, "spec": {"selector": {}}}
        api.put(f"/apis/policy/v1/namespaces/a/poddisruptionbudgets/b-{number}", budget)
    for name in ("a", "shop"):
        api.put_statefulset(opted_in(namespace=name))
    one_round(api)
    assert api.names("services") == {"shop/orders-primary", "shop/orders-replica"}


def test_what_thousands_are_to_be_told_they_are_told_by_and_by(api):
    """Each Event is a request, and no other namespace is looked at meanwhile."""
    for number in range(MOST_AT_ONCE + 3):
        odd = opted_in(f"odd-{number}")
        odd["metadata"]["annotations"]["pgset.dev/ttl"] = "soon"
        api.put_statefulset(odd)
    with caretaker(api) as rounds:
        rounds.follow()
        assert len(api.names("events")) == MOST_AT_ONCE
        rounds.follow()
        assert len(api.names("events")) == MOST_AT_ONCE + 3


class SlowApiServer(ApiServer):
    """Each answer about a namespace takes so many seconds, where somebody has filled it."""

    def __init__(self, **seconds):
        super().__init__()
        self.clock = Clock()
        self.seconds = seconds

    def list(self, path, query):
        if "/namespaces/" in path:
            self.clock.advance(self.seconds.get(path.split("/namespaces/")[1].split("/")[0], 0.0))
        return super().list(path, query)


def tended(api):
    """The namespaces, in their order."""
    return [it.split("/")[4] for it in api.lists if it.startswith("/api/v1/namespaces/")][::3]


def test_one_that_takes_long_comes_last_in_the_next_round():
    api = SlowApiServer(a=1.0)
    for name in ("a", "shop"):
        api.put_statefulset(opted_in(namespace=name))
    with caretaker(api, clock=api.clock) as rounds:
        rounds.follow()
        rounds.follow()
    assert tended(api) == ["a", "shop", "shop", "a"]


def test_changes_where_it_takes_long_keep_no_other_change_waiting():
    api = SlowApiServer(a=1.0)
    for name in ("a", "shop"):
        api.put_statefulset(opted_in(namespace=name))
    changed = [event("ADDED", opted_in(f"carts-{it}", namespace="a")) for it in range(50)]
    api.events = [*changed, event("ADDED", opted_in("carts"))]
    with caretaker(api, clock=api.clock) as rounds:
        rounds.follow()
        assert tended(api) == ["a", "shop", "shop"]
        assert "shop/carts-primary" in api.names("services")
        # They are seen in the next round, and it is well then.
        api.seconds.clear()
        api.put_statefulset(opted_in("carts", namespace="a"))
        rounds.follow()
    assert "a/carts-primary" in api.names("services")


def test_a_flood_of_changes_puts_off_no_round():
    api = SlowApiServer(shop=0.3)
    api.put_statefulset(opted_in())
    api.events = [event("ADDED", opted_in(f"carts-{it}")) for it in range(200)]
    with caretaker(api, clock=api.clock) as rounds:
        began = api.clock()
        rounds.follow()
    assert api.clock() - began < 2 * ROUND_SECONDS
