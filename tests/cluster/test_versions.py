"""PostgreSQL 17 and 18, in images like the official ones: what a set lives through."""

from typing import Any

import pytest

from deploy.demo import manifests
from deploy.demo.stage import NAMESPACE, Stage
from deploy.demo.steps import install, roles
from deploy.local import cluster, images
from tests.cluster.handing_over import switch_over

pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="demo-0")]

ROWS = "1000"


@pytest.fixture(scope="module")
def namespace(stage: Stage) -> Stage:
    install(stage)
    stage.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    stage.ask("-n", NAMESPACE, "create", "secret", "generic", "pgset", "--from-literal=password=x")
    stage.ask("-n", NAMESPACE, "create", "serviceaccount", "pgset-sa")
    return stage


@pytest.mark.parametrize("version", [pytest.param("17", marks=pytest.mark.rarely), "18"])
def test_a_new_set_outlives_a_kill_a_switchover_and_a_clone_made_anew(
    namespace: Stage, version: str
) -> None:
    stage, name = namespace, f"pg{version}"
    image = images.postgres_image(version)
    cluster.load_image(image)
    stage.apply(_set(stage, name, image.reference, own_data_directory=version == "17"))
    first, second = f"{name}-0", f"{name}-1"
    _wait_for(stage, name, {first: "primary", second: "replica"})
    _psql(stage, first, f"create table kept as select generate_series(1, {ROWS}) as n")
    # What a replica that lags does not have yet is lost with `async`.
    stage.wait(lambda: _count(stage, second) == f"{version} {ROWS}", "the rows on the replica")

    before = _psql(stage, first, "select pg_postmaster_start_time()")
    # In the background: the end of its container would end what kubectl runs in it.
    kill = '(sleep 1; kill -9 "$(head -n 1 "$PGDATA/postmaster.pid")") > /dev/null 2>&1 &'
    _run(stage, first, kill)
    later = f"select pg_postmaster_start_time() > '{before}'"
    stage.wait(lambda: _psql(stage, first, later) == "t", "another postmaster")
    # The other one takes over, unless it does not answer just then.
    both = ["primary", "replica"]
    stage.wait(lambda: sorted(roles(stage, name).values()) == both, "both members")

    heir = next(pod for pod, role in roles(stage, name).items() if role == "replica")
    switch_over(stage, name, heir)
    if heir == second:
        first, second = second, first
    _wait_for(stage, name, {first: "primary", second: "replica"})

    former = _uid(stage, second)
    _run(stage, second, 'touch "$PGDATA/.pgset-reclone"')
    stage.ask("-n", NAMESPACE, "delete", "pod", second, "--wait=false")
    stage.wait(lambda: _uid(stage, second) not in (former, ""), "another pod")
    _wait_for(stage, name, {first: "primary", second: "replica"})
    _run(stage, second, 'test -d "$PGDATA/.pgset-old/pgsql_tmp.data"')
    _psql(stage, first, "insert into kept values (0)")
    stage.wait(lambda: _count(stage, second) == _count(stage, first), "the last row")
    assert _count(stage, first) == f"{version} 1001"
    stage.ask("-n", NAMESPACE, "delete", "statefulset", name)


def _set(stage: Stage, name: str, image: str, *, own_data_directory: bool) -> list[dict[str, Any]]:
    """Of two; its data is in a folder of its own, or where the image has it."""
    *others, statefulset = manifests.legacy(stage, name=name, replicas=2)
    statefulset["metadata"]["annotations"] = {"pgset.dev/enabled": "true"}
    (container,) = statefulset["spec"]["template"]["spec"]["containers"]
    container["image"] = image
    if not own_data_directory:
        container["env"] = [it for it in container["env"] if it["name"] != "PGDATA"]
        (mount,) = container["volumeMounts"]
        mount["mountPath"] = "/var/lib/postgresql"
    return [*others, statefulset]


def _wait_for(stage: Stage, name: str, wanted: dict[str, str]) -> None:
    stage.wait(lambda: roles(stage, name) == wanted, f"{wanted}")


def _uid(stage: Stage, pod: str) -> str:
    """Return it, and nothing while there is no such pod."""
    words = ("get", "pod", pod, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")
    return stage.ask("-n", NAMESPACE, *words)


def _count(stage: Stage, pod: str) -> str:
    asked = "select current_setting('server_version_num')::int / 10000, count(*) from kept"
    return _psql(stage, pod, asked).replace("|", " ")


def _psql(stage: Stage, pod: str, statement: str) -> str:
    words = ("psql", "-U", "postgres", "-At", "-c", statement)
    return stage.ask("-n", NAMESPACE, "exec", pod, "-c", "postgres", "--", *words).strip()


def _run(stage: Stage, pod: str, script: str) -> None:
    stage.ask("-n", NAMESPACE, "exec", pod, "-c", "postgres", "--", "sh", "-c", script)
