"""Every command of the pages is run, as it stands there and in their order."""

import functools
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.demo.stage import Stage, has_not_begun
from deploy.demo.steps import roles
from tests.cluster.handing_over import wait_until_it_leads
from tests.support.commands import CHECKOUT, NOT_RUN, commands

pytestmark = pytest.mark.cluster

NAMESPACE = "shop"

LOOKS = ("rollout status", "kubectl pgset ")
"""Commands that only look: a busy machine may need longer than they wait, and a member of a set may
not answer for a moment."""


@pytest.fixture(scope="module")
def shop(stage: Stage) -> Iterator[Stage]:
    """The reader's cluster: a StatefulSet `orders` in namespace `shop` that is not ours yet."""
    stage.delete_namespace(NAMESPACE)
    stage.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
    stage.apply(orders(stage))
    rollout = ("rollout", "status", "statefulset/orders", "--timeout=600s")
    stage.ask("-n", NAMESPACE, *rollout)
    yield stage
    stage.delete_namespace(NAMESPACE)
    shutil.rmtree(folder(stage), ignore_errors=True)


def folder(stage: Stage) -> str:
    """Beside the demo's, which the README's first command empties."""
    return f"{stage.folder}-readme"


def orders(stage: Stage) -> dict[str, Any]:
    container = {
        "name": "postgres",
        "image": "postgres:15",
        "env": [
            {"name": "POSTGRES_PASSWORD", "value": "secret"},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "volumeMounts": [
            {"name": "data", "mountPath": "/var/lib/postgresql/data", "subPathExpr": "$(POD)"}
        ],
    }
    volume = {"hostPath": {"path": folder(stage), "type": "DirectoryOrCreate"}}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "orders", "namespace": NAMESPACE},
        "spec": {
            "serviceName": "orders",
            "selector": {"matchLabels": {"app": "orders"}},
            "template": {
                "metadata": {"labels": {"app": "orders"}},
                "spec": {
                    "containers": [container],
                    "volumes": [{"name": "data", **volume}],
                },
            },
        },
    }


def led_by(primary: str) -> dict[str, str]:
    names = ("orders-0", "orders-1", "orders-2")
    return {name: "primary" if name == primary else "replica" for name in names}


def ready(stage: Stage) -> dict[str, str]:
    return roles(stage, "orders", NAMESPACE)


def test_every_command(shop: Stage) -> None:
    environment = {
        **os.environ,
        "KUBECONFIG": str(shop.kubeconfig),
        # The plugin is where `make plugin` leaves it.
        "PATH": f"{CHECKOUT / 'build'}:{shop.kubectl.parent}:{os.environ['PATH']}",
    }
    for command in commands():
        if command in NOT_RUN:
            continue
        if "switchover-to" in command:
            shop.wait(lambda: ready(shop) == led_by("orders-0"), "the README's three members")
        before = uid_of(shop, "orders-2")
        code, said = run(command, environment)
        assert code == 0, f"{command}\n{said}"
        if "switchover-to" in command:
            ask = functools.partial(run, command, environment)
            wait_until_it_leads(shop, "orders", "orders-1", ask, NAMESPACE)
        wait_for_its_effect(shop, command, before)


def run(command: str, environment: dict[str, str]) -> tuple[int, str]:
    """Return its exit code and what it said; what may be given again is, for three minutes."""
    deadline = time.monotonic() + 180
    while True:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=CHECKOUT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        said = f"{done.stdout}{done.stderr}"
        again = any(it in command for it in LOOKS) or has_not_begun(said)
        if done.returncode == 0 or not again or time.monotonic() > deadline:
            return done.returncode, said
        time.sleep(1)


def wait_for_its_effect(shop: Stage, command: str, before: str) -> None:
    """`before`: the UID of orders-2 when the command was given."""
    if command.endswith("pgset.dev/enabled=true"):
        shop.wait(lambda: ready(shop) == {"orders-0": "primary"}, "the primary")
    if "switchover-to" in command:
        shop.wait(lambda: ready(shop) == led_by("orders-1"), "all three after the switchover")
    if command.endswith("pgset.dev/fenced=true"):
        shop.wait(lambda: "orders-2" not in ready(shop), "the fence")
    if "pgset.dev/reinit" in command:
        shop.wait(lambda: uid_of(shop, "orders-2") not in (before, ""), "another pod")
    if command.endswith("pgset.dev/paused-"):
        shop.wait(lambda: ready(shop) == led_by("orders-1"), "the README's three members")
    if command.endswith("pgset.dev/fenced-") or "pgset.dev/reinit" in command:
        shop.wait(lambda: ready(shop) == led_by("orders-1"), "the member's return")
    if "rollout status statefulset/orders" in command:
        shop.wait(lambda: read_only(shop) == ["t", "f", "t"], "one writable primary, plain now")


@pytest.mark.rarely
def test_the_walk_through_by_its_command(stage: Stage) -> None:  # noqa: ARG001 - it is swept
    assert "make demo" in commands()
    done = subprocess.run(
        ["make", "demo"], cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=1800
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def uid_of(shop: Stage, pod: str) -> str:
    """Return the pod's UID; "" while there is none."""
    words = ("get", "pod", pod, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")
    return shop.ask("-n", NAMESPACE, *words)


def read_only(shop: Stage) -> list[str]:
    """What each PostgreSQL says of itself."""
    psql = ("-c", "postgres", "--", "psql", "-U", "postgres", "-Atc", "select pg_is_in_recovery()")
    pods = [f"orders-{ordinal}" for ordinal in range(3)]
    return [shop.ask("-n", NAMESPACE, "exec", pod, *psql, check=False).strip() for pod in pods]


@pytest.mark.parametrize(
    ("target", "runs"),
    [
        ("cluster-up", "deploy.local up"),
        ("cluster-down", "deploy.local down"),
        ("demo", "deploy.demo"),
    ],
)
def test_the_targets_that_other_tests_call_by_other_names(target: str, runs: str) -> None:
    planned = subprocess.run(
        ["make", "-n", target], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert runs in planned.stdout
