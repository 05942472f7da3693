"""`kubectl pgset inject`: a file in, what can be applied out, without a cluster."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from cli import arguments
from cli.inject import inject
from cli.kubectl import CannotError, Kubectl
from cli.text import Paint
from deploy import plugin
from tests.webhook.objects import written_statefulset

STATEFULSET = written_statefulset()
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "orders"}}


Inject = Callable[..., list[Any]]


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One that reads no YAML: it prints the file that it gets. It is all that is in PATH."""
    program = tmp_path / "kubectl"
    program.write_text('#!/bin/sh\nfor last; do :; done\nexec cat "$last"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    return program


def written(folder: Path, objects: Iterable[object]) -> list[str]:
    """Return the command for a file with these objects."""
    file = folder / "set.json"
    file.write_text("\n".join(json.dumps(it, indent=2) for it in objects))
    return ["inject", "--image", "pgset:0.2.0", "-o", "json", "-f", str(file)]


@pytest.fixture
def injected(kubectl: Path, capsys: pytest.CaptureFixture[str]) -> Inject:
    """Returns the objects that the command prints; in this process, since a new one takes long."""

    def carry_out(*objects: object, namespace: str = "") -> list[Any]:
        where = ["-n", namespace] if namespace else []
        chosen = arguments.parser().parse_args([*written(kubectl.parent, objects), *where])
        assert inject(Kubectl([], chosen.namespace), chosen, Paint(False)) == 0
        items: list[Any] = json.loads(capsys.readouterr().out)["items"]
        return items

    return carry_out


def test_what_is_needed_comes_before_the_set_and_the_rest_stays(kubectl: Path) -> None:
    """By the plugin itself, without what is installed here."""
    built = kubectl.parent / "kubectl-pgset"
    plugin.build(built)
    words = written(kubectl.parent, [SERVICE, STATEFULSET])
    done = subprocess.run(
        [sys.executable, "-I", "-S", built, *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    items = json.loads(done.stdout)["items"]
    kinds = ["Service"] * 3 + ["ServiceAccount", "Role", "RoleBinding", "StatefulSet"]
    assert [it["kind"] for it in items] == kinds
    assert items[0] == SERVICE
    sidecar, _ = items[-1]["spec"]["template"]["spec"]["initContainers"]
    assert sidecar["image"] == "pgset:0.2.0"
    assert done.stderr.startswith("warning: ")


def test_a_service_of_the_users_own_stays_as_it_is(injected: Inject) -> None:
    own = SERVICE | {"metadata": {"name": "orders-primary"}}
    services = [it for it in injected(STATEFULSET, own) if it["kind"] == "Service"]
    assert [it["metadata"]["name"] for it in services] == ["orders-replica", "orders-primary"]
    assert services[1] == own


def test_two_sets_of_one_account_need_one_grant(injected: Inject) -> None:
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
    items = injected(*sets, namespace="shop")
    kinds = [it["kind"] for it in items if it["kind"] != "Service"]
    assert kinds == ["Role", "RoleBinding", "StatefulSet", "StatefulSet"]
    assert {it["metadata"]["namespace"] for it in items} == {"shop"}


def test_each_object_of_the_file_gets_the_namespace_that_kubectl_would_give_it(
    injected: Inject,
) -> None:
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "read"}}
    there = SERVICE | {"metadata": {"name": "there", "namespace": "shop"}}
    class_ = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "ssd"},
    }
    others = [SERVICE, there, role | {"kind": "Role"}, role | {"kind": "ClusterRole"}, class_]
    items = injected(*others, STATEFULSET, namespace="shop")
    without = [it["kind"] for it in items if it["metadata"].get("namespace") != "shop"]
    assert without == ["ClusterRole", "StorageClass"]
    assert all("namespace" not in it["metadata"] for it in items if it["kind"] in without)


def test_an_object_of_another_namespace_is_refused_as_kubectl_refuses_it(injected: Inject) -> None:
    elsewhere = SERVICE | {"metadata": {"name": "orders", "namespace": "elsewhere"}}
    sentence = 'Service "orders" is in namespace "elsewhere", and -n names "shop"'
    with pytest.raises(CannotError, match=re.escape(sentence)):
        injected(elsewhere, STATEFULSET, namespace="shop")


@pytest.mark.parametrize(
    ("objects", "sentence"),
    [
        ([SERVICE], 'has no StatefulSet with annotation pgset.dev/enabled: "true"'),
        ([STATEFULSET | {"spec": 1}], 'StatefulSet "orders": spec'),
    ],
)
def test_a_refusal_is_one_sentence_and_nothing_is_printed(
    injected: Inject, capsys: pytest.CaptureFixture[str], objects, sentence
) -> None:
    with pytest.raises(CannotError, match=re.escape(sentence)) as refused:
        injected(*objects)
    assert "\n" not in str(refused.value)
    assert capsys.readouterr() == ("", "")
