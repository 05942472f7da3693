"""A set that no webhook looks at: what `kubectl pgset inject` prints is all that it has."""

import json
import shutil
from collections.abc import Iterator

import pytest

from deploy import plugin
from deploy.demo.stage import Stage
from deploy.demo.steps import roles
from tests.cluster.test_plugin import orders, ran, shell

pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="kube")]

SYSTEM = "kube-system"
"""The namespace that every installation leaves alone."""


@pytest.fixture
def injected(played_on: Stage) -> Iterator[Stage]:
    """A set `unseen` of two, from a manifest that was injected by hand."""
    stage = played_on
    plugin.build(stage.workspace / "bin/kubectl-pgset")
    folder = f"{stage.folder}-unseen"
    manifest = json.dumps(orders(stage)).replace(f"{stage.folder}-plugin", folder)
    manifest = manifest.replace("orders", "unseen").replace("pgset-plugin", SYSTEM)
    file = stage.workspace / "unseen.json"
    file.write_text(manifest)
    command = f"kubectl pgset inject -f {file} --image pgset:0.2.0"
    ran(stage, f"set -o pipefail; {command} 2>/dev/null | kubectl apply -f -")
    yield stage
    # Before its Lease: a sidecar that still runs would make that again.
    stage.ask("-n", SYSTEM, "delete", "statefulset", "unseen", "--cascade=foreground")
    stage.ask("-n", SYSTEM, "delete", "lease,service,role,rolebinding,serviceaccount",
              "--ignore-not-found", "unseen-primary", "unseen-replica", "pgset-unseen",
              "pgset-sidecar", "pgset-unseen-pgset", "unseen-pgset")  # fmt: skip
    shutil.rmtree(folder, ignore_errors=True)


def test_it_gets_a_primary_and_another_one_when_that_is_deleted(injected: Stage) -> None:
    stage = injected
    first = {"unseen-0": "primary", "unseen-1": "replica"}
    stage.wait(lambda: roles(stage, "unseen", SYSTEM) == first, "two members")
    template = stage.get("statefulset", "unseen", namespace=SYSTEM)["spec"]["template"]
    assert template["metadata"]["labels"]["pgset.dev/role"] == "replica"
    # With `sync`, only who is on record has every commit that was acknowledged, and may lead.
    status = f"kubectl pgset status unseen -n {SYSTEM}"
    stage.wait(
        lambda: "are on 2 of unseen-0, unseen-1" in shell(stage, status)[1], "both to be in sync"
    )
    stage.ask("-n", SYSTEM, "delete", "pod", "unseen-0")
    then = {"unseen-0": "replica", "unseen-1": "primary"}
    stage.wait(lambda: roles(stage, "unseen", SYSTEM) == then, "the other one to lead")
