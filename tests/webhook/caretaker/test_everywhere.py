"""Many namespaces with sets are looked at by lists of the whole cluster, and a few one by one."""

import pytest

from tests.webhook.caretaker.api_server import ApiServer
from tests.webhook.caretaker.test_rounds import caretaker, one_round, opted_in, pod
from webhook.caretaker import everywhere, footprint
from webhook.caretaker.everywhere import MANY
from webhook.caretaker.listing import PAGE

NAMES = [f"team-{number}" for number in range(MANY)]


@pytest.fixture
def api():
    found = ApiServer()
    for name in NAMES:
        manifest = opted_in(namespace=name)
        manifest["spec"]["replicas"] = 2
        found.put_statefulset(manifest)
        for ordinal in range(2):
            path = f"/api/v1/namespaces/{name}/pods/orders-{ordinal}"
            found.put(path, pod(f"orders-{ordinal}"))
    return found


def settled(api):
    """Return what a round lists once there is nothing to do."""
    with caretaker(api) as rounds:
        rounds.follow()
        api.lists.clear()
        api.writes.clear()
        rounds.follow()
    assert api.writes == []
    return api.lists


def of_one_namespace(lists):
    return [it for it in lists if "/namespaces/" in it]


def test_all_sets_get_what_they_need(api):
    one_round(api)
    for kind, wanted in (
        ("services", {"orders-primary", "orders-replica"}),
        ("serviceaccounts", {"orders-pgset"}),
        ("poddisruptionbudgets", {"orders-pgset"}),
        ("rolebindings", {"pgset-caretaker"}),
    ):
        assert api.names(kind) == {f"{name}/{it}" for name in NAMES for it in wanted}, kind


def test_a_round_takes_as_many_requests_whatever_number_of_namespaces(api):
    lists = settled(api)
    assert of_one_namespace(lists) == []
    assert len(lists) == 1 + 4 + len(everywhere.Kind)


def test_a_few_namespaces_are_asked_one_by_one(api):
    gone = f"/namespaces/{NAMES[0]}/"
    api.objects = {path: it for path, it in api.objects.items() if gone not in path}
    assert len(of_one_namespace(settled(api))) == (MANY - 1) * len(everywhere.Kind)


def test_what_is_done_in_one_namespace_is_what_it_alone_would_get(api):
    one_round(api)
    together = {path for path in api.objects if f"/{NAMES[3]}/" in path}
    alone = ApiServer()
    for path in [it for it in api.objects if f"/{NAMES[3]}/" in it]:
        if path.split("/")[-2] in ("statefulsets", "pods"):
            alone.objects[path] = api.objects[path]
    one_round(alone)
    assert set(alone.objects) == together


def test_a_change_by_hand_is_put_back(api):
    one_round(api)
    del api.objects[f"/api/v1/namespaces/{NAMES[5]}/services/orders-replica"]
    api.writes.clear()
    one_round(api)
    assert api.writes == [f"/api/v1/namespaces/{NAMES[5]}/services/orders-replica"]


def test_where_the_rest_of_the_cluster_has_far_more_services_each_namespace_lists_its_own(api):
    one_round(api)
    api.remaining["services"] = PAGE * MANY + 1
    assert of_one_namespace(settled(api)) == [
        f"/api/v1/namespaces/{name}/services" for name in NAMES
    ]


def test_what_is_known_for_too_long_is_asked_for_again(api, monkeypatch):
    monkeypatch.setattr(everywhere, "FRESH", -1.0)
    one_round(api)
    # The last nine are few enough to be asked one by one, and so is the first by now.
    assert api.lists.count("/api/v1/services") == 1
    assert len([it for it in api.lists if it.endswith("/services")]) == 1 + MANY


def test_what_takes_too_much_memory_is_asked_for_namespace_by_namespace(api, monkeypatch):
    monkeypatch.setattr(everywhere, "MAX_OF_ALL", 0)
    kinds = [it.split("/")[-1] for it in of_one_namespace(settled(api))]
    # NetworkPolicies there are none, and so nothing that takes any.
    assert set(kinds) == {
        "pods",
        "services",
        "serviceaccounts",
        "poddisruptionbudgets",
        "rolebindings",
    }


@pytest.mark.parametrize("fault", ["too large", "unreadable"])
def test_what_cannot_be_kept_of_one_namespace_has_that_one_asked_alone(api, fault):
    one_round(api)
    labels = {f"label-{it}": "x" * 63 for it in range(footprint.MAX_OF_ONE // 64)}
    odd = {"metadata": {"name": "odd"}, "spec": {"selector": labels}}
    if fault == "unreadable":
        del odd["spec"]
    api.put(f"/api/v1/namespaces/{NAMES[2]}/services/odd", odd)
    asked = {it.split("/namespaces/")[1].split("/")[0] for it in of_one_namespace(settled(api))}
    assert asked == {NAMES[2]}


def test_where_the_lists_take_too_long_each_namespace_is_asked_and_they_are_not_tried_again(
    api, monkeypatch
):
    """As where a tenant of the cluster has filled his namespace with megabytes."""
    monkeypatch.setattr(everywhere, "PATIENCE", -1.0)
    lists = settled(api)
    assert len(of_one_namespace(lists)) == MANY * len(everywhere.Kind)
    assert len(lists) - len(of_one_namespace(lists)) == 1 + 4 + len(everywhere.Kind)
    assert api.names("services") == {
        f"{name}/orders-{role}" for name in NAMES for role in ("primary", "replica")
    }
