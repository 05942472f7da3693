"""Sets that differ from the walk-through's in what their users chose."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.demo import manifests
from deploy.demo.play import sweep
from deploy.demo.stage import NAMESPACE, Stage
from deploy.demo.steps import install, members, roles, wait_for_service

pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="demo-1")]


@pytest.fixture
def namespace(stage: Stage) -> Iterator[Stage]:
    install(stage)
    stage.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    stage.ask("apply", "-k", str(manifests.grant(stage)))
    yield stage
    sweep(stage)


def test_the_articles_own_label_routes(namespace: Stage) -> None:
    stage = namespace
    article = manifests.CHECKOUT / "deploy/examples/article-label"
    stage.ask("apply", "-k", str(manifests.example(stage, article)))
    wanted = {"pgset-0": "pgset-primary", "pgset-1": "pgset-replica"}
    stage.wait(lambda: roles(stage, label="name") == wanted, "two members by the article's label")
    stage.apply(manifests.client(stage))
    stage.ask("-n", NAMESPACE, "wait", "--for=condition=Ready", "pod/client", "--timeout=360s")
    wait_for_service(stage, "pgset-primary")
    wait_for_service(stage, "pgset-replica")
    in_recovery = {
        service: stage.query(service, "select pg_is_in_recovery()")
        for service in ("pgset-primary", "pgset-replica")
    }
    assert in_recovery == {"pgset-primary": "f", "pgset-replica": "t"}


def test_a_set_that_starts_in_order_from_another_ordinal_with_company_in_its_pods(
    namespace: Stage,
) -> None:
    """OrderedReady, ordinals from 3, a second container, an init container, a token of its own."""
    stage = namespace
    stage.ask("-n", NAMESPACE, "create", "secret", "generic", "pgset", "--from-literal=password=x")
    stage.ask("-n", NAMESPACE, "create", "serviceaccount", "pgset-sa")
    stage.apply(_with_company(stage))
    wanted = {"company-3": "primary", "company-4": "replica"}
    stage.wait(lambda: roles(stage, "company") == wanted, "two members from ordinal 3")
    started = [
        [container["name"] for container in pod["spec"]["initContainers"]]
        for pod in members(stage, "company")
    ]
    assert started == [["pgset-sidecar", "prepare", "pgset-bootstrap"]] * 2


def test_a_set_that_opts_out_keeps_one_writable_primary_and_may_come_back(
    namespace: Stage,
) -> None:
    stage = namespace
    stage.ask("-n", NAMESPACE, "create", "secret", "generic", "pgset", "--from-literal=password=x")
    stage.ask("-n", NAMESPACE, "create", "serviceaccount", "pgset-sa")
    *others, statefulset = manifests.legacy(stage, name="plain", replicas=2)
    statefulset["metadata"]["annotations"] = {"pgset.dev/enabled": "true"}
    stage.apply([*others, statefulset])
    led = {"plain-0": "primary", "plain-1": "replica"}
    stage.wait(lambda: roles(stage, "plain") == led, "two members")
    _ask(stage, "plain-0", "create table kept as select 42 as n")

    _annotate(stage, "pgset.dev/enabled-")
    assert [_in_recovery(stage, f"plain-{n}") for n in (0, 1)] == ["f", "t"]
    assert [len(pod["spec"].get("initContainers", [])) for pod in _pods(stage)] == [0, 0]
    _ask(stage, "plain-0", "insert into kept values (43)")

    _annotate(stage, "pgset.dev/enabled=true")
    stage.wait(lambda: roles(stage, "plain") == led, "two members again")
    rows = "select string_agg(n::text, ' ' order by n) from kept"
    for pod in led:
        stage.wait(lambda pod=pod: _ask(stage, pod, rows) == "42 43", f"the rows on {pod}")  # type: ignore[misc]


def test_a_set_on_another_port_clones_and_fails_over(namespace: Stage) -> None:
    stage = namespace
    stage.ask("-n", NAMESPACE, "create", "secret", "generic", "pgset", "--from-literal=password=x")
    stage.ask("-n", NAMESPACE, "create", "serviceaccount", "pgset-sa")
    *others, statefulset = manifests.legacy(stage, name="plain", replicas=2)
    statefulset["metadata"]["annotations"] = {"pgset.dev/enabled": "true"}
    statefulset["spec"]["template"]["spec"]["containers"][0]["args"] = ["postgres", "-p", "5433"]
    # The caretaker makes the Services, which lead to that port.
    stage.apply([*(it for it in others if it["kind"] != "Service"), statefulset])
    led = {"plain-0": "primary", "plain-1": "replica"}
    stage.wait(lambda: roles(stage, "plain") == led, "two members")
    _ask(stage, "plain-0", "create table kept as select 42 as n", port=5433)
    # What a replica that lags does not have yet is lost with `async`.
    kept = "select n from kept"
    stage.wait(lambda: _ask(stage, "plain-1", kept, port=5433) == "42", "the row on the replica")

    # In the background: the end of its container would end what kubectl runs in it.
    kill = '(sleep 1; kill -9 "$(head -n 1 "$PGDATA/postmaster.pid")") > /dev/null 2>&1 &'
    began = _ask(stage, "plain-0", "select pg_postmaster_start_time()", port=5433)
    stage.ask("-n", NAMESPACE, "exec", "plain-0", "-c", "postgres", "--", "sh", "-c", kill)

    def is_another() -> bool:
        later = f"select pg_postmaster_start_time() > '{began}'"
        return _ask(stage, "plain-0", later, port=5433, check=False) == "t"

    def writes() -> bool:
        """By the Service, whose port is the usual one."""
        by_service = "host=plain-primary port=5432 user=postgres password=x connect_timeout=3"
        insert = "insert into kept values (43) returning n"
        psql = ("psql", by_service, "-Atq", "-c", insert)
        words = ("-n", NAMESPACE, "exec", "plain-1", "-c", "postgres", "--", *psql)
        return stage.ask(*words, check=False).strip() == "43"

    def everybody_has_it() -> bool:
        # Twice where the first answer was lost.
        rows = "select string_agg(distinct n::text, ' ') from kept"
        asked = [_ask(stage, f"plain-{n}", rows, port=5433, check=False) for n in (0, 1)]
        return asked == ["42 43"] * 2

    stage.wait(is_another, "another postmaster")
    stage.wait(writes, "a write by the Service")
    stage.wait(everybody_has_it, "the row on both")
    both = ["primary", "replica"]
    stage.wait(lambda: sorted(roles(stage, "plain").values()) == both, "both labels")


def test_a_new_sets_databases_are_those_that_the_image_makes_by_itself(namespace: Stage) -> None:
    stage = namespace
    stage.ask("-n", NAMESPACE, "create", "secret", "generic", "pgset", "--from-literal=password=x")
    stage.ask("-n", NAMESPACE, "create", "serviceaccount", "pgset-sa")
    *others, statefulset = manifests.legacy(stage, name="plain")
    statefulset["metadata"]["annotations"] = {"pgset.dev/enabled": "true"}
    # The same pod without pgset, and with data that goes with it. Listening on TCP, it is the final
    # server that answers and not the one that its entrypoint starts for initdb.
    spec = copy.deepcopy(statefulset["spec"]["template"]["spec"])
    spec["volumes"] = [{"name": "data", "emptyDir": {}}]
    listens = {"command": ["pg_isready", "-h", "127.0.0.1"]}
    spec["containers"][0]["readinessProbe"] = {"exec": listens, "periodSeconds": 1}
    metadata = {"name": "alone", "namespace": NAMESPACE}
    alone = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    stage.apply([*others, statefulset, alone])
    stage.wait(lambda: roles(stage, "plain") == {"plain-0": "primary"}, "a primary")
    stage.ask("-n", NAMESPACE, "wait", "--for=condition=Ready", "pod/alone", "--timeout=360s")
    asked = (
        "select datname, pg_encoding_to_char(encoding), datcollate, datctype "
        "from pg_database order by 1"
    )
    assert _ask(stage, "plain-0", asked) == _ask(stage, "alone", asked)


def _annotate(stage: Stage, annotation: str) -> None:
    """Opt out or in, and wait until the pods are rolled."""
    stage.ask("-n", NAMESPACE, "annotate", "statefulset", "plain", annotation)
    stage.ask("-n", NAMESPACE, "rollout", "status", "statefulset/plain", "--timeout=800s")


def _pods(stage: Stage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stage.get("pods", namespace=NAMESPACE)["items"]
    return [pod for pod in found if pod["metadata"]["name"].startswith("plain-")]


def _in_recovery(stage: Stage, pod: str) -> str:
    """What PostgreSQL says, once it answers: a plain pod has no readiness probe."""
    asked = "select pg_is_in_recovery()"
    stage.wait(lambda: _ask(stage, pod, "select 1", check=False) == "1", f"an answer of {pod}")
    return _ask(stage, pod, asked)


def _ask(stage: Stage, pod: str, statement: str, *, port: int = 5432, check: bool = True) -> str:
    psql = ("psql", "-U", "postgres", "-p", str(port), "-At", "-c", statement)
    answer = stage.ask("-n", NAMESPACE, "exec", pod, "-c", "postgres", "--", *psql, check=check)
    return answer.strip()


def _with_company(stage: Stage) -> list[dict[str, Any]]:
    *others, statefulset = manifests.legacy(stage, name="company", replicas=2, first=3)
    image = manifests.postgres_image(stage)
    spec = statefulset["spec"]
    spec["podManagementPolicy"] = "OrderedReady"
    spec["ordinals"] = {"start": 3}
    spec["template"]["spec"]["containers"].append(
        {"name": "exporter", "image": image, "command": ["sleep", "infinity"]}
    )
    spec["template"]["spec"]["initContainers"] = [
        {"name": "prepare", "image": image, "command": ["true"]}
    ]
    statefulset["metadata"]["annotations"] = {
        "pgset.dev/enabled": "true",
        "pgset.dev/container": "postgres",
    }
    return [*others, statefulset]
