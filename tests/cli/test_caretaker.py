"""What the caretaker warns of, doctor knows: each reason has a fault here, and a command for it."""

import json
import shlex
from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest

from cli import caretaker
from cli.pod_spec import PROXIES
from tests.cli.objects import (
    AT,
    Json,
    causes,
    command,
    event,
    healthy,
    lease,
    pod,
    service,
    statefulset,
    waiting,
)
from tests.webhook.caretaker.test_reasons import reasons
from webhook.neighbours import MESHES

MADE_BY_US: Final = {"app.kubernetes.io/managed-by": "pgset-caretaker"}
OURS: Final = {"metadata": {"name": "orders-pgset", "labels": MADE_BY_US}, "spec": {}}
BUDGETS: Final = {"budgets": [OURS]}


def told(reason: str, message: str = "", *, about: str = "orders") -> Json:
    kind = "StatefulSet" if about == "orders" else "Pod"
    return event(kind, about, reason, message, component="pgset-caretaker")


def users(name: str = "orders-pgset", **spec: Any) -> Json:
    return {"metadata": {"name": name}, "spec": spec}


def readers() -> Json:
    return service("readers", role="replica", app="orders")


def renewed() -> list[Json]:
    """The healthy set with all that the caretaker makes, as of when doctor looks."""
    items = healthy()
    items[3]["spec"]["renewTime"] = "2026-11-29T12:05:20.123456Z"
    return [*items, readers()]


def shrunk() -> list[Json]:
    items = [it for it in renewed() if it["metadata"]["name"] != "orders-1"]
    items[0]["spec"]["replicas"] = 1
    return items


def made_by_us(made: Json) -> Json:
    made["metadata"]["labels"] = MADE_BY_US
    return made


def unready(**metadata: Any) -> Json:
    made = pod(1, "", ready=False, says="waits")
    made["metadata"] |= metadata
    return made


def without_sidecar() -> Json:
    made = pod(1, "replica")
    del made["metadata"]["annotations"]["pgset.dev/injected"]
    return made


def with_policy() -> list[Json]:
    return [statefulset(network_policy="true"), *renewed()[1:]]


def with_second(second: Json) -> list[Json]:
    """The same with another second pod."""
    items = renewed()
    items[2] = second
    return items


def unstamped() -> list[Json]:
    items = renewed()
    items[0]["spec"]["template"]["metadata"]["labels"] = {"app": "orders"}
    return items


def rolling(second: Json) -> list[Json]:
    items = with_second(second)
    items[0]["status"] = {"updateRevision": "b", "currentRevision": "a"}
    second["metadata"]["labels"]["controller-revision-hash"] = "a"
    return items


def silent() -> Json:
    made = unready()
    del made["metadata"]["annotations"]["pgset.dev/status"]
    return made


def proxied() -> Json:
    made = unready()
    made["spec"]["containers"].append({"name": "istio-proxy"})
    return made


def to_port(number: int, *, changed: str = AT) -> Json:
    made = made_by_us(service("orders-primary", role="primary", app="orders"))
    made["spec"] |= {"ports": [{"port": 5432, "targetPort": number}]}
    made["spec"]["publishNotReadyAddresses"] = True
    made["metadata"]["managedFields"] = [{"time": changed, "fieldsV1": {}}]
    return made


def of_one_pod() -> Json:
    made = service("app")
    made["spec"]["selector"] = {"statefulset.kubernetes.io/pod-name": "orders-0"}
    return made


def with_primary_service(made: Json) -> list[Json]:
    return [*renewed()[:4], made, readers()]


Planted = Callable[[], tuple[list[Json], dict[str, Any]]]

PLANTED: Final[Mapping[str, tuple[Planted, str]]] = {
    caretaker.NOT_ACCEPTED: (
        lambda: ([statefulset(ttl="soon"), *renewed()[1:], told("NotAccepted", TTL)], BUDGETS),
        "annotate statefulset orders pgset.dev/ttl-",
    ),
    "NotStamped": (
        lambda: ([*unstamped(), told("NotStamped")], BUDGETS),
        "rollout restart statefulset orders",
    ),
    "NoSidecar": (
        lambda: ([*with_second(without_sidecar()), told("NoSidecar", about="orders-1")], BUDGETS),
        "delete pod orders-1",
    ),
    caretaker.GRANT_MISSING: (
        lambda: ([*healthy(), readers(), told("GrantMissing")], BUDGETS),
        "create rolebinding pgset-sidecar-orders-pgset --clusterrole=pgset-sidecar "
        "--serviceaccount=shop:orders-pgset",
    ),
    caretaker.REFUSED: (
        lambda: ([*renewed()[:-1], told("Refused", QUOTA)], {**BUDGETS, "quotas": [SMALL]}),
        """patch resourcequota small --type merge -p '{"spec":{"hard":{"services":"2"}}}'""",
    ),
    "ServiceInTheWay": (
        lambda: (
            [*renewed()[:-1], service("orders-replica", app="orders"), told("ServiceInTheWay")],
            BUDGETS,
        ),
        "annotate --overwrite service orders-replica pgset.dev/selects=replica",
    ),
    "ServiceLeadsToOnePod": (
        lambda: ([*renewed(), of_one_pod(), told("ServiceLeadsToOnePod")], BUDGETS),
        "patch service app --type merge -p "
        """'{"spec":{"selector":{"statefulset.kubernetes.io/pod-name":null,"""
        """"pgset.dev/set":"orders","pgset.dev/role":"primary"}}}'""",
    ),
    "ServiceLeadsToReplicas": (
        lambda: (
            [*renewed(), service("app", app="orders"), told("ServiceLeadsToReplicas")],
            BUDGETS,
        ),
        "annotate --overwrite service app pgset.dev/selects=primary",
    ),
    "ServiceLeadsNowhere": (
        lambda: (
            [*renewed(), service("app", app="orders", role="boss"), told("ServiceLeadsNowhere")],
            BUDGETS,
        ),
        "patch service app --type merge -p "
        """'{"spec":{"selector":{"pgset.dev/role":"primary"}}}'""",
    ),
    caretaker.OTHER_PORT: (
        lambda: (
            [*with_primary_service(to_port(5433)), told("ServiceLeadsToAnotherPort")],
            BUDGETS,
        ),
        "delete service orders-primary",
    ),
    "ServiceNotWhenUnready": (
        lambda: (
            [
                *with_primary_service(
                    made_by_us(service("orders-primary", role="primary", app="orders"))
                ),
                told("ServiceNotWhenUnready"),
            ],
            BUDGETS,
        ),
        "patch service orders-primary --type merge -p "
        """'{"spec":{"publishNotReadyAddresses":true}}'""",
    ),
    caretaker.POLICY_IN_THE_WAY: (
        lambda: (
            [*with_policy(), told("NetworkPolicyInTheWay")],
            {**BUDGETS, "policies": [users("deny", podSelector={})]},
        ),
        "annotate statefulset orders pgset.dev/network-policy-",
    ),
    caretaker.BUDGET_IN_THE_WAY: (
        lambda: (
            [*renewed(), told("DisruptionBudgetInTheWay")],
            {"budgets": [users(selector={"matchLabels": {"app": "mail"}})]},
        ),
        "delete poddisruptionbudget orders-pgset",
    ),
    caretaker.SHRUNK_TO_ONE: (
        lambda: ([*shrunk(), told("ShrunkToOne")], BUDGETS),
        "scale statefulset orders --replicas=2",
    ),
    "SidecarImageNotPulled": (
        lambda: (
            [
                *with_second(waiting(unready(), "pgset-sidecar", "ErrImagePull", "pgset:typo")),
                told("SidecarImageNotPulled"),
            ],
            BUDGETS,
        ),
        "delete pod orders-1",
    ),
    caretaker.NOT_HEARD: (
        lambda: ([*with_second(silent()), told("SidecarNotHeard")], BUDGETS),
        "logs orders-1 -c pgset-sidecar",
    ),
    caretaker.MESH_IN_THE_WAY: (
        lambda: ([*with_second(proxied()), told("MeshInTheWay")], BUDGETS),
        "describe statefulset orders",
    ),
    caretaker.NOT_REPLACED: (
        lambda: ([*rolling(unready()), told("NotReplaced", about="orders-1")], BUDGETS),
        "delete pod orders-1",
    ),
}
"""By reason: a set and what its namespace has, and the command."""

TTL: Final = 'annotation pgset.dev/ttl: "soon" is not allowed; allowed: 9s and more'
QUOTA: Final = (
    'cannot create Service "orders-replica": Forbidden: exceeded quota: small, '
    "requested: services=1, used: services=1, limited: services=1"
)
SMALL: Final = {"metadata": {"name": "small"}, "spec": {"hard": {"services": "1"}}}


def test_every_reason_of_the_caretakers_is_planted_here() -> None:
    assert {*PLANTED} == {*reasons()}


@pytest.mark.parametrize("reason", PLANTED)
def test_there_is_one_command_for_it(reason: str) -> None:
    plant, cure = PLANTED[reason]
    items, more = plant()
    assert command(*items, **more) == cure


def test_proxies_are_known_by_the_names_that_the_caretaker_knows() -> None:
    assert sorted(PROXIES) == sorted(it.proxy for it in MESHES if it.proxy)


def test_what_was_mended_since_is_no_cause() -> None:
    """The Events stay, by which alone nothing is told."""
    every = [told(it, QUOTA) for it in PLANTED]
    more = {**BUDGETS, "quotas": [SMALL]}
    assert causes(*renewed(), *every, **more) == ()
    mended = to_port(5433, changed="2026-11-29T12:00:01Z")
    assert causes(*with_primary_service(mended), *every, **more) == ()
    assert causes(*with_policy(), *every, **more, policies=[OURS]) == ()


# ── the particulars ───────────────────────────────────────────────────────────────────────


def test_a_refusal_without_a_quota_is_told_in_its_own_words() -> None:
    (only,) = causes(*renewed()[:-1], told("Refused", "a policy says no"), **BUDGETS)
    assert "a policy says no" in only.sentence
    assert only.command.endswith("describe statefulset orders")


@pytest.mark.parametrize("missing", ["budget", "policy"])
def test_a_refusal_is_believed_while_what_was_refused_is_missing(missing: str) -> None:
    refused = told("Refused", "a policy says no")
    items = with_policy() if missing == "policy" else renewed()
    assert causes(*items, refused, budgets=[] if missing == "budget" else [OURS])


def test_a_quota_that_has_room_by_now_is_no_cause() -> None:
    raised = {"metadata": {"name": "small"}, "spec": {"hard": {"services": "9"}}}
    assert causes(*renewed()[:-1], told("Refused", QUOTA), **BUDGETS, quotas=[raised]) == ()


def test_a_policy_that_has_the_name_is_the_one_to_delete() -> None:
    items = [*with_policy(), told("NetworkPolicyInTheWay")]
    assert command(*items, **BUDGETS, policies=[users(podSelector={})]) == (
        "delete networkpolicy orders-pgset"
    )


def test_a_policy_of_other_pods_is_not_in_the_way() -> None:
    other = users("deny", podSelector={"matchLabels": {"app": "mail"}})
    items = [*with_policy(), told("NetworkPolicyInTheWay")]
    assert causes(*items, **BUDGETS, policies=[other]) == ()


def test_a_budget_that_selects_the_pods_by_now_is_not_in_the_way() -> None:
    right = users(selector={"matchLabels": {"app": "orders"}})
    assert causes(*renewed(), told("DisruptionBudgetInTheWay"), budgets=[right]) == ()


def test_a_set_goes_back_to_as_many_as_are_known() -> None:
    items = shrunk()
    items[2] = lease(history=f"2 orders-4 {AT}", members="orders-0")
    items[2]["spec"]["renewTime"] = "2026-11-29T12:05:20.123456Z"
    assert command(*items, told("ShrunkToOne")) == "scale statefulset orders --replicas=5"


def test_a_service_of_the_users_own_is_not_deleted_for_its_port() -> None:
    made = to_port(5433)
    del made["metadata"]["labels"]
    assert causes(*with_primary_service(made), told("ServiceLeadsToAnotherPort"), **BUDGETS) == ()


def test_a_service_for_readers_that_selects_something_else_is_left_alone() -> None:
    mail = service("orders-replica", app="mail")
    assert command(*renewed()[:-1], mail, **BUDGETS) == "describe service orders-replica"
    assert causes(*renewed(), mail, **BUDGETS) == (), "another Service leads to the replicas"


def test_what_comes_into_a_command_is_quoted() -> None:
    items = [*renewed()[:-1], told("Refused", QUOTA.replace("small", "a b;c"))]
    strange = {"metadata": {"name": "a b;c"}, "spec": {"hard": {"services": "1"}}}
    words = shlex.split(command(*items, **BUDGETS, quotas=[strange]))
    assert words[:3] == ["patch", "resourcequota", "a b;c"]
    assert json.loads(words[-1])
