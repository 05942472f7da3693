"""Services that were there before the set had replicas, and what is told of them."""

import dataclasses
import json
import shlex
from typing import Any

import pytest

from sidecar.settings import Settings
from tests.webhook import objects
from tests.webhook.caretaker.made import both_services, statefulset, there, workload
from webhook.caretaker import services
from webhook.caretaker.facts import Service, Workload
from webhook.caretaker.step import Tell
from webhook.port import service_port
from webhook.selects import mutate_service


def told_of(*found: Service, of: Workload | None = None) -> list[Tell]:
    """What is told where these Services are there, beside the two that a set has."""
    of = of or workload()
    namespace = there(of, services=(*both_services(of.name), *found))
    return [it for it in services.steps(namespace) if isinstance(it, Tell)]


def service(name: str = "orders", **spec: Any) -> Service:
    """A Service as the API server answers with it."""
    given = {"selector": {"app": "orders"}, "ports": [{"port": 5432, "targetPort": 5432}], **spec}
    return Service.from_json({"metadata": {"name": name}, "spec": given})


def patched(found: Service, command: str) -> Service:
    """What is left of a Service after what a user was told to run."""
    words = shlex.split(command)
    if words[3] == "annotate":
        return annotated(found, words)
    assert words[:-1] == [
        *("kubectl", "-n", "shop", "patch", "service", found.name),
        *("--type", "merge", "-p"),
    ]
    spec = json.loads(words[-1])["spec"]
    selector = {**found.selector, **spec.get("selector", {})}
    also_unready = spec.get("publishNotReadyAddresses", found.also_unready)
    return dataclasses.replace(found, selector=selector, also_unready=also_unready)


def annotated(found: Service, words: list[str]) -> Service:
    """The same, where the webhook answers the command."""
    named = ["kubectl", "-n", "shop", "annotate", "--overwrite", "service", found.name]
    assert words[: len(named)] == named
    changes = dict(word.split("=") for word in words[len(named) :] if not word.endswith("-"))
    asked = {
        "kind": "Service",
        "metadata": {"name": found.name, "annotations": changes},
        "spec": {"selector": {k: v for k, v in found.selector.items() if k != found.added}},
    }
    return Service.from_json(objects.patched(asked, mutate_service(objects.review_of(asked))))


def test_a_service_of_before_is_told_with_the_command_that_mends_it() -> None:
    (it,) = told_of(service())
    assert (it.kind, it.name, it.reason) == ("StatefulSet", "orders", "ServiceLeadsToReplicas")
    sentence, _, command = it.sentence.partition(": kubectl")
    assert sentence == (
        'Service "orders" leads to the primary and to read-only replicas alike; if its clients '
        "write, make it select the primary alone, once all pods have the label pgset.dev/role"
    )
    mended = patched(service(), f"kubectl{command}")
    assert mended.selector == {"app": "orders", "pgset.dev/role": "primary"}
    assert told_of(mended) == []


def test_the_command_names_the_sets_own_label_and_value() -> None:
    settings = Settings(set_name="orders", role_label="team.example/role", primary_value="main")
    mine = workload(settings=settings)
    namespace = there(mine, services=(service(),))
    (it,) = [
        it
        for it in services.steps(namespace)
        if isinstance(it, Tell) and it.reason == services.LEADS_TO_REPLICAS
    ]
    command = it.sentence[it.sentence.index("kubectl") :]
    assert patched(service(), command).selector == {"app": "orders", "team.example/role": "main"}


def test_a_headless_one_which_the_webhook_would_refuse_is_patched() -> None:
    (it,) = told_of(service("names", clusterIP="None"))
    assert it.sentence.endswith('\'{"spec":{"selector":{"pgset.dev/role":"primary"}}}\'')


def test_one_that_was_annotated_while_no_webhook_answered_is_told_to_be_annotated_again() -> None:
    found = dataclasses.replace(service(), selects="replica")
    (it,) = told_of(found)
    assert it.reason == "ServiceLeadsToReplicas"
    assert (
        "since no webhook answered when it was last written; repeat pgset.dev/selects"
        in it.sentence
    )
    mended = patched(found, it.sentence[it.sentence.index("kubectl") :])
    assert mended.selector == {"app": "orders", "pgset.dev/role": "replica"}


def test_one_that_was_overwritten_meanwhile_is_told_on_whatever_port_of_the_pods() -> None:
    """As server-side apply does: a selector is one value to it."""
    by_a_pooler = service(ports=[{"port": 5432, "targetPort": 6432}])
    assert told_of(by_a_pooler) == []
    found = dataclasses.replace(by_a_pooler, selects="primary", added="pgset.dev/role")
    (it,) = told_of(found)
    assert it.reason == "ServiceLeadsToReplicas"
    mended = patched(found, it.sentence[it.sentence.index("kubectl") :])
    assert mended.selector == {"app": "orders", "pgset.dev/role": "primary"}


def test_one_whose_role_no_pod_of_the_set_has_is_told_with_the_command_that_mends_it() -> None:
    settings = Settings(set_name="orders", role_label="team.example/role", primary_value="main")
    selector = {"app": "orders", "pgset.dev/role": "primary"}
    found = dataclasses.replace(
        service(selector=selector), selects="primary", added="pgset.dev/role"
    )
    others = dataclasses.replace(
        service("others", selector={"app": "others", "pgset.dev/role": "primary"}),
        selects="primary",
        added="pgset.dev/role",
    )
    mine = workload(settings=settings)
    (it,) = [
        it
        for it in services.steps(there(mine, services=(found, others)))
        if isinstance(it, Tell) and it.reason == services.LEADS_NOWHERE
    ]
    assert 'Service "orders" leads nowhere' in it.sentence
    mended = patched(found, it.sentence[it.sentence.index("kubectl") :])
    assert mended.selector == {"app": "orders", "team.example/role": "main"}


@pytest.mark.parametrize(
    "found",
    [
        service(),
        service("anything", selector={"pgset.dev/set": "orders"}),
        service(ports=[{"port": 6432, "targetPort": "postgresql"}]),
        service(ports=[{"port": 5432}]),
        service(ports=[{"port": 9187}, {"port": 5432}]),
        service(type="LoadBalancer", clusterIP="10.96.0.7"),
        service("names", clusterIP="None"),
        service("names", clusterIP="None", ports=None),
    ],
)
def test_whatever_leads_to_the_database_of_every_member_is_told(found: Service) -> None:
    mine = workload(database_ports=frozenset({5432, "postgresql"}), governing_service="orders")
    assert [it.reason for it in told_of(found, of=mine)] == ["ServiceLeadsToReplicas"]


@pytest.mark.parametrize(
    "found",
    [
        service(selector={"app": "orders", "pgset.dev/role": "primary"}),
        service(selector={"app": "orders", "pgset.dev/role": "replica"}),
        service(selector={"app": "other"}),
        service(selector={"app": "orders", "tier": "cache"}),
        service(selector=None),
        service(selector={"statefulset.kubernetes.io/pod-name": "orders-0"}),
        service(clusterIP="None"),
        service(ports=[{"port": 9187, "targetPort": "metrics"}]),
        dataclasses.replace(service(), leaving=True),
    ],
    ids=[
        "the primary",
        "replicas",
        "other pods",
        "pods of more labels",
        "no pods",
        "one pod",
        "the pods' own names",
        "another port",
        "about to go",
    ],
)
def test_nothing_else_is_told(found: Service) -> None:
    assert told_of(found, of=workload(governing_service="orders")) == []


# ── Services of one pod ─────────────────────────────────────────────────────────────────────

POD_0 = {"statefulset.kubernetes.io/pod-name": "orders-0"}
INDEX_0 = {"app": "orders", "apps.kubernetes.io/pod-index": "0"}


@pytest.mark.parametrize("selector", [POD_0, {"app": "orders", **POD_0}, INDEX_0])
def test_a_service_of_one_pod_is_told_once_another_may_be_the_primary(
    selector: dict[str, str],
) -> None:
    found = service("writers", selector=selector)
    assert told_of(found) == []  # of a set of one
    (it,) = told_of(found, of=workload(replicas=2))
    assert it.reason == "ServiceLeadsToOnePod"
    words = shlex.split(it.sentence[it.sentence.index("kubectl") :])
    assert words[:6] == ["kubectl", "-n", "shop", "patch", "service", "writers"]
    changed = {**selector, **json.loads(words[-1])["spec"]["selector"]}
    merged = {key: value for key, value in changed.items() if value is not None}
    role = {"pgset.dev/set": "orders", "pgset.dev/role": "primary"}
    assert merged == {**({"app": "orders"} if "app" in selector else {}), **role}
    assert told_of(service("writers", selector=merged), of=workload(replicas=2)) == []


@pytest.mark.parametrize(
    "found",
    [
        service(selector={"statefulset.kubernetes.io/pod-name": "orders-old-0"}),
        service(selector={"app": "other", **POD_0}),
        service(selector={"apps.kubernetes.io/pod-index": "0"}),
        service(selector={"pgset.dev/role": "primary", **POD_0}),
        service(selector=POD_0, ports=[{"port": 9187, "targetPort": "metrics"}]),
    ],
    ids=["of another set", "other pods", "of every set", "with its role", "another port"],
)
def test_no_other_service_is_taken_for_one_of_one_pod(found: Service) -> None:
    assert told_of(found, of=workload(replicas=2)) == []


def test_where_every_pod_has_a_service_of_its_own_nothing_is_told() -> None:
    names = ("orders-0", "orders-1")
    each = [
        service(it, selector={"statefulset.kubernetes.io/pod-name": it}, type="LoadBalancer")
        for it in names
    ]
    assert told_of(*each, of=workload(replicas=2)) == []


def test_what_an_external_name_selected_before_counts_for_nothing() -> None:
    assert told_of(service(type="ExternalName", externalName="db.example.com")) == []


def test_the_ports_of_containers_beside_the_databases_are_known_by_number_and_name() -> None:
    given = statefulset(enabled="true", container="postgres")
    spec = given["spec"]["template"]["spec"]
    spec["containers"][0]["ports"] = [{"containerPort": 5432, "name": "pg"}]
    spec["containers"].append(
        {"name": "pooler", "ports": [{"containerPort": 6432, "name": "pooled"}]}
    )
    spec["initContainers"] = [{"name": "exporter", "ports": [{"containerPort": 9187}]}]
    read = Workload.from_json(given)
    assert read is not None
    assert read.other_ports == {6432, "pooled", 9187}


@pytest.mark.parametrize(
    ("pooler", "ports"),
    [
        ({"name": "pgbouncer"}, {6432}),
        ({"name": "pool", "image": "example.com/bitnami/pgbouncer:1.24"}, {6432}),
        ({"name": "pgcat", "ports": [{"containerPort": 5433, "name": "pool"}]}, {5433, "pool"}),
    ],
)
def test_who_reaches_all_members_by_a_pooler_in_their_pods_is_told_too(
    pooler: dict[str, Any], ports: set[int | str]
) -> None:
    given = statefulset(enabled="true", container="postgres")
    spec = given["spec"]["template"]["spec"]
    spec["containers"] += [pooler, {"name": "exporter", "ports": [{"containerPort": 9187}]}]
    mine = Workload.from_json(given)
    assert mine is not None
    assert ports <= mine.database_ports
    for target in ports:
        by_pooler = service(ports=[{"port": 5432, "targetPort": target}])
        (told,) = told_of(by_pooler, of=mine)
        assert told.reason == "ServiceLeadsToReplicas"
    assert told_of(service(ports=[{"port": 9187}]), of=mine) == []


def test_a_statefulset_tells_the_names_of_the_databases_port_and_its_governing_service() -> None:
    given = statefulset(enabled="true")
    given["spec"]["serviceName"] = "orders"
    given["spec"]["template"]["spec"]["containers"][0]["ports"] = [
        {"containerPort": 5432, "name": "pg"},
        {"containerPort": 9187, "name": "metrics"},
    ]
    read = Workload.from_json(given)
    assert read is not None
    assert (read.database_ports, read.governing_service) == ({5432, "pg"}, "orders")


# ── the primary's own Service, by the caretaker ─────────────────────────────────────────────


def made(**said: Any) -> Service:
    primary, _ = both_services()
    return dataclasses.replace(primary, made_for="uid-orders", **said)


def told_of_primary(primary: Service) -> list[Tell]:
    namespace = there(workload(), services=(primary, both_services()[1]))
    return [it for it in services.steps(namespace) if isinstance(it, Tell)]


def test_one_that_an_earlier_version_made_is_told_with_the_command_that_mends_it() -> None:
    (it,) = told_of_primary(made())
    assert it.reason == "ServiceNotWhenUnready"
    sentence, _, command = it.sentence.partition(": kubectl")
    assert sentence == (
        'Service "orders-primary" leads nowhere while the primary\'s node is NotReady; '
        "let the role label alone decide"
    )
    assert told_of_primary(patched(made(), f"kubectl{command}")) == []


def test_one_that_the_user_has_made_is_as_the_user_wants_it() -> None:
    assert told_of_primary(both_services()[0]) == []


def test_new_ones_need_no_mending() -> None:
    steps = list(services.steps(there(workload(), services=())))
    assert {it.name: it.also_unready for it in steps if isinstance(it, services.MakeService)} == {
        "orders-primary": True,
        "orders-replica": False,
    }


def test_the_services_lead_to_another_port_of_a_set_that_has_one() -> None:
    mine = workload(port=5433, database_ports=frozenset({5433, "postgresql"}))
    assert service_port(mine.port) == {"name": "postgresql", "port": 5432, "targetPort": 5433}
    assert service_port(workload().port) == {"name": "postgresql", "port": 5432}
    right = tuple(
        dataclasses.replace(it, made_for="uid-orders", target_ports=frozenset({5433}))
        for it in both_services()
    )
    primary = dataclasses.replace(right[0], also_unready=True)
    assert list(services.steps(there(mine, services=(primary, right[1])))) == []
    pooled = dataclasses.replace(primary, target_ports=frozenset({6432}))
    with_pooler = dataclasses.replace(mine, other_ports=frozenset({6432}))
    assert list(services.steps(there(with_pooler, services=(pooled, right[1])))) == []
    wrong = dataclasses.replace(primary, target_ports=frozenset({5432}))
    (it,) = services.steps(there(mine, services=(wrong, right[1])))
    assert isinstance(it, Tell)
    assert it.reason == "ServiceLeadsToAnotherPort"
    patch = '{"spec":{"ports":[{"name":"postgresql","port":5432,"targetPort":5433}]}}'
    assert it.sentence.endswith(
        f"kubectl -n shop patch service orders-primary --type merge -p '{patch}'"
    )
