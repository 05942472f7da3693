"""Rounds over real HTTP, by the real Kubernetes client."""

from contextlib import contextmanager

import pytest
from kubernetes.client.exceptions import ApiException

from tests.webhook.caretaker.api_server import ApiServer, serving
from tests.webhook.caretaker.made import statefulset
from webhook.caretaker.carry_out import Writer
from webhook.caretaker.errors import NotLeadingError
from webhook.caretaker.events import Events
from webhook.caretaker.look import Look
from webhook.caretaker.rounds import GATHER_SECONDS, ROUND_SECONDS, SOON_SECONDS, Rounds
from webhook.caretaker.settings import CaretakerSettings

BINDING = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings/pgset-caretaker"
SERVICES = "/api/v1/namespaces/shop/services"
PODS = "/api/v1/namespaces/shop/pods"
POLICY = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/orders-pgset"
BUDGET = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets/orders-pgset"
ACCOUNTS = "/api/v1/namespaces/shop/serviceaccounts"


@pytest.fixture
def api():
    return ApiServer()


@contextmanager
def caretaker(api, *, grants=True, leads=lambda: True, clock=lambda: 0.0):
    settings = CaretakerSettings("me", "pgset-system", grants, frozenset({"kube-system"}))
    with serving(api) as client:
        yield Rounds(Look(client), Writer(client), Events(client), settings, leads, clock=clock)


def one_round(api, **said):
    with caretaker(api, **said) as rounds:
        rounds.follow()


def opted_in(name="orders", namespace="shop", **annotations):
    manifest = statefulset(name, enabled="true", **annotations)
    manifest["metadata"]["namespace"] = namespace
    return manifest


def pod(name, *, sidecar=True, account="orders-pgset"):
    set_name = name.rpartition("-")[0]
    owner = {"kind": "StatefulSet", "name": set_name, "uid": f"uid-{set_name}", "controller": True}
    labels = {"app": "orders", "pgset.dev/set": "orders"}
    spec = {"initContainers": [{"name": "pgset-sidecar"}] if sidecar else []}
    spec["serviceAccountName"] = account
    return {"metadata": {"name": name, "labels": labels, "ownerReferences": [owner]}, "spec": spec}


def subjects(api):
    return [(it["name"], it["namespace"]) for it in api.objects[BINDING]["subjects"]]


# ── A round ───────────────────────────────────────────────────────────────────────────────


def test_the_annotation_alone_brings_grant_and_services(api):
    api.put_statefulset(opted_in())
    one_round(api)
    assert api.names("services") == {"shop/orders-primary", "shop/orders-replica"}
    assert subjects(api) == [("orders-pgset", "shop")]
    assert api.names("serviceaccounts") == {"shop/orders-pgset"}
    service = api.objects[f"{SERVICES}/orders-primary"]
    assert service["spec"] == {
        "selector": {"pgset.dev/set": "orders", "pgset.dev/role": "primary"},
        "ports": [{"name": "postgresql", "port": 5432}],
        "publishNotReadyAddresses": True,
    }
    (owner,) = service["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("StatefulSet", "orders", "uid-orders")


def test_a_second_round_finds_nothing_to_do(api):
    api.put_statefulset(opted_in())
    one_round(api)
    done = list(api.writes)
    one_round(api)
    assert api.writes == done
    assert api.watches == [ROUND_SECONDS, ROUND_SECONDS]


def test_who_has_the_rights_already_is_granted_nothing(api):
    api.granted.add("system:serviceaccount:shop:orders-pgset")
    api.put_statefulset(opted_in())
    one_round(api)
    assert api.names("rolebindings") == set()


def test_namespaces_without_sets_and_excluded_ones_are_not_looked_at(api):
    api.put_statefulset(statefulset())
    api.put_statefulset(opted_in(namespace="kube-system"))
    one_round(api)
    assert api.writes == []
    assert not [path for path in api.lists if "/namespaces/" in path]


def test_with_the_last_set_and_its_last_pod_the_grant_goes(api):
    api.put_statefulset(opted_in())
    api.put(f"{PODS}/orders-0", pod("orders-0"))
    one_round(api)
    del api.objects["/apis/apps/v1/namespaces/shop/statefulsets/orders"]
    one_round(api)
    assert subjects(api) == [("orders-pgset", "shop")]
    assert api.names("serviceaccounts") == {"shop/orders-pgset"}
    del api.objects[f"{PODS}/orders-0"]
    one_round(api)
    assert api.names("rolebindings") == set()
    assert api.names("serviceaccounts") == set()


def test_a_set_under_the_default_account_keeps_its_grant_until_its_last_pod_is_made_anew(api):
    api.put_statefulset(opted_in())
    api.put(f"{PODS}/orders-0", pod("orders-0", account="default"))
    api.put(f"{PODS}/orders-1", pod("orders-1"))
    one_round(api)
    assert subjects(api) == [("default", "shop"), ("orders-pgset", "shop")]
    api.put(f"{PODS}/orders-0", pod("orders-0"))
    one_round(api)
    assert subjects(api) == [("orders-pgset", "shop")]


def test_an_account_that_is_left_over_goes_although_nothing_is_bound_any_more(api):
    api.put_statefulset(opted_in())
    one_round(api)
    del api.objects["/apis/apps/v1/namespaces/shop/statefulsets/orders"]
    del api.objects[BINDING]
    one_round(api)
    assert api.names("serviceaccounts") == set()


def test_the_users_own_account_of_that_name_is_used_and_left_alone(api):
    api.put(f"{ACCOUNTS}/orders-pgset", {"metadata": {"name": "orders-pgset"}})
    api.put_statefulset(opted_in())
    one_round(api)
    assert subjects(api) == [("orders-pgset", "shop")]
    del api.objects["/apis/apps/v1/namespaces/shop/statefulsets/orders"]
    one_round(api)
    assert api.names("serviceaccounts") == {"shop/orders-pgset"}


def test_by_hand_no_account_is_made_and_default_is_what_is_told_of(api):
    api.put_statefulset(opted_in())
    one_round(api, grants=False)
    assert api.names("serviceaccounts") == set()
    (event,) = [api.objects[path] for path in api.writes if "/events/" in path]
    assert event["reason"] == "GrantMissing"
    assert event["message"].endswith("--serviceaccount=shop:default")


def test_a_pod_without_a_sidecar_is_told_once(api):
    api.put_statefulset(opted_in())
    api.put(f"{PODS}/orders-0", pod("orders-0", sidecar=False))
    with caretaker(api) as rounds:
        for _ in range(3):
            rounds.follow()
    events = [path for path in api.writes if "/events/" in path]
    assert len(events) == 1
    assert api.objects[events[0]]["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": "shop",
        "name": "orders-0",
        "uid": api.objects[f"{PODS}/orders-0"]["metadata"]["uid"],
    }


def test_the_next_caretaker_does_not_tell_it_again(api):
    api.put_statefulset(opted_in())
    api.put(f"{PODS}/orders-0", pod("orders-0", sidecar=False))
    for _ in range(2):
        one_round(api)
    assert len(api.names("events")) == 1


def test_what_comes_back_is_told_again(api):
    api.put_statefulset(opted_in())
    with caretaker(api, grants=False) as rounds:
        for granted in (set(), {"system:serviceaccount:shop:default"}, set()):
            # Events of before have ended their life.
            api.objects = {path: it for path, it in api.objects.items() if "/events/" not in path}
            api.granted = granted
            rounds.follow()
            assert bool(api.names("events")) is not bool(granted)


def test_pods_of_before_are_looked_for_only_where_they_are_held_back(api):
    old = pod("orders-0", sidecar=False)
    old["metadata"]["labels"] = {"app": "orders"}
    api.put(f"{PODS}/orders-0", old)
    held_back = opted_in()
    for strategy, told in (("RollingUpdate", 0), ("OnDelete", 1)):
        held_back["spec"]["updateStrategy"] = {"type": strategy}
        api.put_statefulset(held_back)
        one_round(api)
        assert len(api.names("events")) == told


# ── A NetworkPolicy ───────────────────────────────────────────────────────────────────────


def asking():
    return opted_in(**{"network-policy": "true"})


def test_a_set_that_asks_for_a_network_policy_gets_one_that_goes_with_it(api):
    api.put_statefulset(asking())
    one_round(api)
    policy = api.objects[POLICY]
    assert policy["spec"]["podSelector"] == {"matchLabels": {"pgset.dev/set": "orders"}}
    assert policy["metadata"]["labels"] == {
        "app.kubernetes.io/name": "pgset",
        "app.kubernetes.io/part-of": "pgset",
        "app.kubernetes.io/managed-by": "pgset-caretaker",
        "pgset.dev/set": "orders",
    }
    (owner,) = policy["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("StatefulSet", "orders", "uid-orders")
    done = list(api.writes)
    one_round(api)
    assert api.writes == done


def test_what_is_changed_in_it_by_hand_is_put_back_after_a_conflict_too(api):
    api.put_statefulset(asking())
    one_round(api)
    spec = api.objects[POLICY]["spec"]
    api.put(POLICY, api.objects[POLICY] | {"spec": spec | {"ingress": []}})
    api.refused["/networkpolicies"] = 409
    one_round(api)
    assert api.watches[-1] == SOON_SECONDS
    api.refused.clear()
    one_round(api)
    assert api.objects[POLICY]["spec"] == spec


@pytest.mark.parametrize(
    "after", [opted_in(), statefulset()], ids=["the annotation goes", "the set opts out"]
)
@pytest.mark.parametrize("grants", [True, False])
def test_a_network_policy_goes_when(api, after, grants):
    api.put_statefulset(asking())
    one_round(api, grants=grants)
    api.put_statefulset(after)
    one_round(api, grants=grants)
    assert api.names("networkpolicies") == set()


def test_it_comes_and_goes_at_once_with_the_annotation(api):
    api.put_statefulset(opted_in())
    api.events = [event("MODIFIED", asking()), event("MODIFIED", opted_in())]
    one_round(api)
    assert [it for it in api.writes if it.endswith(POLICY)] == [POLICY, f"delete {POLICY}"]


def test_the_users_own_of_that_name_is_told_and_left_alone(api):
    theirs = {"metadata": {"name": "orders-pgset"}, "spec": {"podSelector": {}}}
    api.put(POLICY, theirs)
    api.put_statefulset(asking())
    one_round(api)
    api.put_statefulset(statefulset())
    one_round(api)
    assert api.objects[POLICY]["spec"] == theirs["spec"]
    (told,) = [api.objects[path] for path in api.writes if "/events/" in path]
    assert told["reason"] == "NetworkPolicyInTheWay"


# ── A PodDisruptionBudget ─────────────────────────────────────────────────────────────────


def of_size(replicas, **annotations):
    manifest = statefulset(**annotations)
    manifest["spec"]["replicas"] = replicas
    return manifest


def put_set(api, manifest=None):
    manifest = manifest or of_size(3, enabled="true")
    api.put_statefulset(manifest)
    for ordinal in range(manifest["spec"]["replicas"]):
        api.put(f"{PODS}/orders-{ordinal}", pod(f"orders-{ordinal}"))


def test_a_set_of_several_gets_a_disruption_budget_that_goes_with_it(api):
    put_set(api)
    one_round(api)
    budget = api.objects[BUDGET]
    assert budget["spec"] == {
        "maxUnavailable": 1,
        "selector": {"matchLabels": {"pgset.dev/set": "orders"}},
    }
    assert budget["metadata"]["labels"] == {
        "app.kubernetes.io/name": "pgset",
        "app.kubernetes.io/part-of": "pgset",
        "app.kubernetes.io/managed-by": "pgset-caretaker",
        "pgset.dev/set": "orders",
    }
    (owner,) = budget["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("StatefulSet", "orders", "uid-orders")
    done = list(api.writes)
    one_round(api)
    assert api.writes == done


@pytest.mark.parametrize(
    "after",
    [of_size(1, enabled="true"), of_size(3)],
    ids=["the set shrinks to one", "the set opts out"],
)
def test_the_disruption_budget_goes_at_once_when(api, after):
    put_set(api)
    gone = {"type": "MODIFIED", "object": after}
    api.events = [gone]
    one_round(api)
    assert [it for it in api.writes if it.endswith(BUDGET)] == [BUDGET, f"delete {BUDGET}"]


def test_a_disruption_budget_of_a_set_that_opted_out_while_nobody_looked_is_found(api):
    put_set(api)
    one_round(api)
    api.put_statefulset(of_size(3))
    one_round(api)
    assert api.names("poddisruptionbudgets") == set()


def test_a_set_that_shrinks_to_one_is_told_once_with_how_many_it_had(api):
    put_set(api)
    with caretaker(api) as rounds:
        api.put_statefulset(of_size(1, enabled="true"))
        rounds.follow()
        del api.objects[f"{PODS}/orders-2"]
        rounds.follow()
    (told,) = [api.objects[path] for path in api.writes if "/events/" in path]
    assert (told["reason"], told["message"][-12:]) == ("ShrunkToOne", "--replicas=3")


# ── What goes wrong ───────────────────────────────────────────────────────────────────────


def test_one_namespace_that_refuses_does_not_keep_others_waiting(api):
    api.refused["/namespaces/ended/"] = 403
    api.put_statefulset(opted_in(namespace="ended"))
    api.put_statefulset(opted_in(namespace="shop"))
    one_round(api)
    assert api.names("services") == {"shop/orders-primary", "shop/orders-replica"}
    assert api.watches == [ROUND_SECONDS]


@pytest.mark.parametrize(
    ("refused", "sentence"),
    [
        ("/services", 'cannot create Service "orders-primary": exceeded quota'),
        ("/networkpolicies", 'cannot write NetworkPolicy "orders-pgset": exceeded quota'),
        (
            "/poddisruptionbudgets",
            'cannot write PodDisruptionBudget "orders-pgset": exceeded quota',
        ),
        ("/rolebindings", 'cannot grant rights to service account "orders-pgset": exceeded quota'),
    ],
)
def test_what_the_api_server_refuses_is_told_of_the_set_once_and_in_its_words(
    api, refused, sentence
):
    api.refused[refused] = 403
    api.message = "exceeded quota"
    of_several = asking()
    of_several["spec"]["replicas"] = 2
    put_set(api, of_several)
    with caretaker(api) as rounds:
        for _ in range(3):
            rounds.follow()
    events = [api.objects[path] for path in api.writes if "/events/" in path]
    assert [it["message"] for it in events].count(sentence) == 1
    assert {(it["involvedObject"]["name"], it["reason"]) for it in events} == {
        ("orders", "Refused")
    }


def test_where_somebody_else_writes_first_it_looks_again_soon_and_then_less_soon(api):
    api.put_statefulset(opted_in())
    with caretaker(api) as rounds:
        api.refused["/services"] = 409
        for _ in range(7):
            rounds.follow()
        api.refused.clear()
        rounds.follow()
        api.refused["/services"] = 409
        api.put_statefulset(opted_in("b"))
        rounds.follow()
    assert api.watches == [2, 4, 8, 16, 32, 60, 60, ROUND_SECONDS, SOON_SECONDS]


def test_an_api_server_that_fails_ends_the_round(api):
    api.refused["/services"] = 500
    api.put_statefulset(opted_in())
    with pytest.raises(ApiException):
        one_round(api)


def test_who_does_not_lead_writes_nothing(api):
    api.put_statefulset(opted_in())
    with pytest.raises(NotLeadingError):
        one_round(api, leads=lambda: False)
    assert api.writes == []


# ── Between rounds ────────────────────────────────────────────────────────────────────────


def event(kind, manifest):
    return {"type": kind, "object": manifest}


def test_an_opt_in_is_seen_at_once(api):
    api.events = [event("MODIFIED", opted_in())]
    one_round(api)
    assert api.names("services") == {"shop/orders-primary", "shop/orders-replica"}


def test_a_change_of_the_status_costs_nothing(api):
    manifest = opted_in()
    api.put_statefulset(manifest)
    api.events = [event("MODIFIED", manifest | {"status": {"replicas": 1}})]
    one_round(api)
    assert api.lists.count(SERVICES) == 1


def test_a_strangers_change_costs_nothing(api):
    api.events = [event("MODIFIED", statefulset()), event("DELETED", statefulset())]
    one_round(api)
    assert SERVICES not in api.lists


def test_a_deleted_set_loses_its_grant_at_once(api):
    manifest = opted_in()
    api.put_statefulset(manifest)
    api.events = [event("DELETED", manifest)]
    one_round(api)
    assert api.writes[-1] == f"delete {BINDING}"


def test_a_set_that_is_made_anew_is_looked_at_again_soon(api):
    """Its Services are those of before still, which Kubernetes is about to remove."""
    before = opted_in()
    api.put_statefulset(before)
    after = opted_in()
    after["metadata"]["uid"] = "uid-after"
    api.events = [event("DELETED", before), event("ADDED", after), event("ADDED", opted_in("b"))]
    with caretaker(api) as rounds:
        rounds.follow()
        assert "shop/b-primary" not in api.names("services")
        assert api.watches == [ROUND_SECONDS, GATHER_SECONDS]
        api.put_statefulset(after)
        api.events.clear()
        rounds.follow()
    assert api.watches[-1] == SOON_SECONDS


def test_of_changes_that_come_together_the_first_is_seen_to_at_once_and_the_rest_together(api):
    sets = [opted_in(f"set-{number}") for number in range(12)]
    api.events = [event("ADDED", it) for it in sets]
    with caretaker(api) as rounds:
        watch = api.watch

        def a_burst(*asked):
            api.at_once = 1 if not api.watches else len(sets)
            return watch(*asked)

        api.watch = a_burst
        rounds.follow()
    assert len(api.names("services")) == 2 * len(sets)
    assert api.lists.count(SERVICES) == 2
    first, second = (api.writes.index(f"{SERVICES}/set-{it}-primary") for it in (0, 1))
    assert first < second
    # Then it goes on, for what is left of the round.
    assert api.watches[:-1] == [ROUND_SECONDS, GATHER_SECONDS, GATHER_SECONDS]
    assert GATHER_SECONDS < api.watches[-1] <= ROUND_SECONDS
