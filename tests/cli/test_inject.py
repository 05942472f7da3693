"""`kubectl pgset inject`: a file in, what can be applied out, without a cluster."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deploy import plugin
from tests.webhook.objects import written_statefulset

STATEFULSET = written_statefulset()
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "orders"}}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin, and beside it a kubectl that reads no YAML: it prints the file that it gets.

    It is unpacked, so that Python compiles it once and not each time.
    """
    folder = tmp_path_factory.mktemp("plugin")
    plugin.build(folder / "kubectl-pgset")
    with zipfile.ZipFile(folder / "kubectl-pgset") as archive:
        archive.extractall(folder / "unpacked")
    kubectl = folder / "kubectl"
    kubectl.write_text('#!/bin/sh\nfor last; do :; done\nexec cat "$last"\n')
    kubectl.chmod(0o755)
    return folder / "unpacked"


def inject(built: Path, *objects: object, image: str = "pgset:0.2.0", namespace: str = ""):
    file = built.parent / "set.json"
    file.write_text("\n".join(json.dumps(it, indent=2) for it in objects))
    where = ["-n", namespace] if namespace else []
    words = ["--image", image, "-o", "json", *where, "-f", file]
    return subprocess.run(
        [sys.executable, "-I", "-S", built, "inject", *words],  # without what is installed here
        env={"PATH": f"{built.parent}:/bin:/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_needed_comes_before_the_set_and_the_rest_stays(built: Path) -> None:
    done = inject(built, SERVICE, STATEFULSET)
    assert done.returncode == 0, done.stderr
    items = json.loads(done.stdout)["items"]
    kinds = ["Service"] * 3 + ["ServiceAccount", "Role", "RoleBinding", "StatefulSet"]
    assert [it["kind"] for it in items] == kinds
    assert items[0] == SERVICE
    sidecar, _ = items[-1]["spec"]["template"]["spec"]["initContainers"]
    assert sidecar["image"] == "pgset:0.2.0"
    assert done.stderr.startswith("warning: ")


def test_a_service_of_the_users_own_stays_as_it_is(built: Path) -> None:
    own = SERVICE | {"metadata": {"name": "orders-primary"}}
    items = json.loads(inject(built, STATEFULSET, own).stdout)["items"]
    services = [it for it in items if it["kind"] == "Service"]
    assert [it["metadata"]["name"] for it in services] == ["orders-replica", "orders-primary"]
    assert services[1] == own


def test_two_sets_of_one_account_need_one_grant(built: Path) -> None:
    spec = STATEFULSET["spec"]["template"]["spec"] | {"serviceAccountName": "db"}
    template = STATEFULSET["spec"]["template"] | {"spec": spec}
    sets = [
        STATEFULSET
        | {
            "metadata": STATEFULSET["metadata"] | {"name": name},
            "spec": STATEFULSET["spec"] | {"template": template},
        }
        for name in ("orders", "events")
    ]
    items = json.loads(inject(built, *sets, namespace="shop").stdout)["items"]
    kinds = [it["kind"] for it in items if it["kind"] != "Service"]
    assert kinds == ["Role", "RoleBinding", "StatefulSet", "StatefulSet"]
    assert {it["metadata"]["namespace"] for it in items} == {"shop"}


def test_each_object_of_the_file_gets_the_namespace_that_kubectl_would_give_it(built: Path) -> None:
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "read"}}
    there = SERVICE | {"metadata": {"name": "there", "namespace": "shop"}}
    class_ = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "ssd"},
    }
    others = [SERVICE, there, role | {"kind": "Role"}, role | {"kind": "ClusterRole"}, class_]
    done = inject(built, *others, STATEFULSET, namespace="shop")
    assert done.returncode == 0, done.stderr
    items = json.loads(done.stdout)["items"]
    without = [it["kind"] for it in items if it["metadata"].get("namespace") != "shop"]
    assert without == ["ClusterRole", "StorageClass"]
    assert all("namespace" not in it["metadata"] for it in items if it["kind"] in without)


def test_an_object_of_another_namespace_is_refused_as_kubectl_refuses_it(built: Path) -> None:
    elsewhere = SERVICE | {"metadata": {"name": "orders", "namespace": "elsewhere"}}
    done = inject(built, elsewhere, STATEFULSET, namespace="shop")
    assert (done.returncode, done.stdout) == (3, "")
    assert 'Service "orders" is in namespace "elsewhere", and -n names "shop"' in done.stderr


@pytest.mark.parametrize(
    ("objects", "sentence"),
    [
        ([SERVICE], 'has no StatefulSet with annotation pgset.dev/enabled: "true"'),
        ([STATEFULSET | {"spec": 1}], 'StatefulSet "orders": spec'),
    ],
)
def test_a_refusal_is_one_sentence_and_nothing_is_printed(built: Path, objects, sentence) -> None:
    done = inject(built, *objects)
    assert (done.returncode, done.stdout) == (3, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
