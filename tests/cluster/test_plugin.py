"""`kubectl pgset` on a real set, as somebody who may view, and as somebody who may change it."""

import contextlib
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import plugin
from deploy.demo.stage import Stage, StepFailedError, has_not_begun
from deploy.demo.steps import install, roles

pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="kube")]

NAMESPACE = "pgset-plugin"
PASSWORD = "hunter2-hunter2"


@pytest.fixture(scope="module")
def shop(played_on: Stage) -> Iterator[Stage]:
    """A set `orders` of two in a namespace of its own."""
    stage = played_on
    install(stage)
    plugin.build(stage.workspace / "bin/kubectl-pgset")
    stage.delete_namespace(NAMESPACE)
    stage.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
    stage.apply(orders(stage))
    wanted = {"orders-0": "primary", "orders-1": "replica"}
    stage.wait(lambda: roles(stage, "orders", NAMESPACE) == wanted, "two members")
    yield stage
    stage.delete_namespace(NAMESPACE)
    shutil.rmtree(folder(stage), ignore_errors=True)


def folder(stage: Stage) -> str:
    """Beside the demo's, which its own steps empty."""
    return f"{stage.folder}-plugin"


def orders(stage: Stage) -> dict[str, object]:
    container = {
        "name": "postgres",
        "image": "postgres:15",
        "env": [
            {"name": "POSTGRES_PASSWORD", "value": PASSWORD},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "volumeMounts": [
            {"name": "data", "mountPath": "/var/lib/postgresql/data", "subPathExpr": "$(POD)"}
        ],
    }
    volume = {"hostPath": {"path": folder(stage), "type": "DirectoryOrCreate"}}
    annotations = {"pgset.dev/enabled": "true", "pgset.dev/durability": "sync"}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "orders", "namespace": NAMESPACE, "annotations": annotations},
        "spec": {
            "serviceName": "orders",
            "replicas": 2,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "orders"}},
            "template": {
                "metadata": {"labels": {"app": "orders"}},
                "spec": {"containers": [container], "volumes": [{"name": "data", **volume}]},
            },
        },
    }


def shell(stage: Stage, command: str) -> tuple[int, str]:
    """Run what a user types; return the exit code and what both streams got."""
    path = f"{stage.workspace / 'bin'}:{stage.kubectl.parent}:{os.environ['PATH']}"
    environment = {**os.environ, "KUBECONFIG": str(stage.kubeconfig), "PATH": path}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=plugin.CHECKOUT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )
    return done.returncode, done.stdout


def pgset(stage: Stage, words: str) -> tuple[int, str]:
    return shell(stage, f"kubectl pgset {words} -n {NAMESPACE}")


def settled(stage: Stage, primary: str, members: int = 2) -> None:
    """Wait until status ends with 0 and tells this."""
    told = f"primary {primary}, {members} of {members} members"

    def is_so() -> bool:
        code, said = pgset(stage, "status orders")
        return code == 0 and told in said

    stage.wait(is_so, told)


def cure(stage: Stage, of: str) -> None:
    """Run the command that doctor prints for the cause that says this."""
    found: list[str] = []

    def is_told() -> bool:
        found[:] = re.findall(rf"^.*{of}.*\n    (.+)$", pgset(stage, "doctor orders")[1], re.M)
        return bool(found)

    stage.wait(is_told, f"doctor to tell: {of}")
    ran(stage, found[0])


def ran(stage: Stage, command: str) -> str:
    """Run what a user types, again where a busy webhook or API server did not answer in time; it
    has to end with 0. Return what it said."""
    told: list[tuple[int, str]] = []

    def is_run() -> bool:
        told.append(shell(stage, command))
        return not (told[-1][0] and has_not_begun(told[-1][1]))

    stage.wait(is_run, command)
    code, said = told[-1]
    assert code == 0, f"{command}: {said}"
    return said


def is_well(stage: Stage) -> bool:
    code, said = pgset(stage, "doctor orders")
    return code == 0 and said.startswith("Nothing is wrong")


def test_status_before_and_after_a_switchover(shop: Stage) -> None:
    settled(shop, "orders-0")
    answer: list[tuple[int, str]] = []

    def is_done() -> bool:
        # A replica that has just begun to stream is none that commits wait for yet, and one that
        # a busy machine keeps from its work lags or is not ready.
        answer[:] = [pgset(shop, "switchover orders --wait --timeout 300")]
        return answer[0][0] == 0

    with contextlib.suppress(StepFailedError):
        shop.wait(is_done, "a replica that may take over")
    code, said = answer[0]
    assert (code, said.split(" after ")[0]) == (0, "orders-1 is primary"), said
    settled(shop, "orders-1")
    assert [line.split()[1] for line in pgset(shop, "history orders")[1].splitlines()] == [
        "PRIMARY",
        "orders-0",
        "orders-1",
    ]
    ask = "kubectl pgset psql orders -n pgset-plugin {} -- -Atc 'select pg_is_in_recovery()'"
    answers = [ran(shop, ask.format(word)).strip() for word in ("", "--replica")]
    assert answers == ["f", "t"]


def test_who_may_view_sees_the_status(shop: Stage) -> None:
    words = ("create", "rolebinding", "jane", "--clusterrole=view", "--user=jane")
    shop.ask("-n", NAMESPACE, *words)
    told: list[str] = []

    def may_look() -> bool:
        # A busy API server knows of a new RoleBinding a moment later.
        code, said = pgset(shop, "status orders --as jane")
        told.append(said)
        return code == 0

    shop.wait(may_look, "jane's view of the set")
    assert "Lease: held by" in told[-1]
    assert pgset(shop, "pause orders --as jane")[0] == 3


def test_what_doctor_finds_is_cured_by_the_command_that_it_prints(shop: Stage) -> None:
    shop.wait(lambda: is_well(shop), "a set with nothing wrong")

    shop.ask("-n", NAMESPACE, "create", "service", "clusterip", "app", "--tcp=5432:5432")
    shop.ask("-n", NAMESPACE, "set", "selector", "service", "app", "app=orders")
    cure(shop, "Service app leads to the primary and to read-only replicas")
    shop.wait(lambda: is_well(shop), "the Service to be cured")

    ran(shop, f"kubectl pgset pause orders -n {NAMESPACE}")
    cure(shop, "the set is paused")
    shop.wait(lambda: is_well(shop), "the pause to be cured")

    shop.ask("-n", NAMESPACE, "create", "quota", "small", "--hard=pods=2")
    # A third pod would be let in before the two that there are have been counted.
    shop.wait(lambda: counted_pods(shop) == "2", "the quota to be known")
    shop.ask("-n", NAMESPACE, "scale", "statefulset", "orders", "--replicas=3")
    cure(shop, 'ResourceQuota "small" leaves no room for orders-2')
    # Who was refused a pod often is slow to ask again.
    shop.wait(lambda: is_well(shop), "the quota to be cured", seconds=600)
    shop.wait(lambda: pgset(shop, "status orders")[0] == 0, "three members")


def counted_pods(stage: Stage) -> str | None:
    status: dict[str, dict[str, str]]
    status = stage.get("resourcequota", "small", namespace=NAMESPACE).get("status") or {}
    return status.get("used", {}).get("pods")


def test_a_report_has_all_and_no_password(shop: Stage, tmp_path: Path) -> None:
    archive = tmp_path / "report.tar.gz"
    shop.wait(lambda: pgset(shop, "status orders")[0] == 0, "a set that is well")
    assert pgset(shop, f"report orders -o {archive}")[0] == 0
    with tarfile.open(archive) as opened:
        files = {it.name: opened.extractfile(it).read() for it in opened}  # type: ignore[union-attr]
    assert b"primary orders-" in files["pgset-report/status.txt"]
    assert b'"situation"' in files["pgset-report/sidecars.log"]
    assert not [name for name, content in files.items() if PASSWORD.encode() in content]


@pytest.mark.rarely
def test_where_nobody_may_lead_a_failover_gives_up_what_only_the_last_primary_has(
    shop: Stage,
) -> None:
    shop.ask("-n", NAMESPACE, "scale", "statefulset", "orders", "--replicas=2")
    shop.wait(lambda: pgset(shop, "status orders")[0] == 0, "two members")
    last = next(
        name for name, role in roles(shop, "orders", NAMESPACE).items() if role == "primary"
    )
    other = {"orders-0": "orders-1", "orders-1": "orders-0"}[last]

    ran(shop, f"kubectl pgset fence {other} -n {NAMESPACE}")
    shop.wait(lambda: "this pod is fenced" in pgset(shop, "status orders")[1], "the fence")
    ask = f"kubectl pgset psql orders -n {NAMESPACE} -- -Atc '{{}}'"
    shop.wait(lambda: shell(shop, ask.format("create table gone ()"))[0] == 0, "a commit alone")
    ran(shop, f"kubectl pgset fence {last} --yes -n {NAMESPACE}")
    shop.wait(lambda: pgset(shop, "status orders")[0] == 1, "nobody to lead")
    ran(shop, f"kubectl pgset unfence {other} -n {NAMESPACE}")
    shop.wait(lambda: "nobody leads" in pgset(shop, "status orders")[1], "why")

    code, said = pgset(shop, f"failover orders --to {other} --yes --timeout 200")
    assert (code, f"{other} is primary" in said) == (0, True), said
    assert shell(shop, ask.format("table gone"))[0] != 0
    ran(shop, f"kubectl pgset unfence {last} -n {NAMESPACE}")
    settled(shop, other)
