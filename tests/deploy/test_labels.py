"""Kubernetes' recommended labels are on every object of the installation."""

import subprocess

import pytest
import yaml

from deploy.local import programs
from sidecar import contract
from tests.deploy.manifests import DEPLOY, documents

OF_ALL = {
    "app.kubernetes.io/name": "pgset",
    "app.kubernetes.io/instance": "pgset",
    "app.kubernetes.io/part-of": "pgset",
    "app.kubernetes.io/version": contract.VERSION,
}
COMPONENT = "app.kubernetes.io/component"

FOLDERS = ("base", "monitoring", "components/cert-manager")
FILES = [
    f"{folder}/{name}"
    for folder in FOLDERS
    for name in yaml.safe_load((DEPLOY / folder / "kustomization.yaml").read_text())["resources"]
]


@pytest.mark.parametrize("file", FILES)
def test_each_manifest_says_whose_part_it_is(file: str) -> None:
    for manifest in documents(file):
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "pgset"
        assert labels["app.kubernetes.io/instance"] == "pgset"
        assert COMPONENT in labels or manifest["kind"] == "Namespace"


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_version_on_all_of_them_is_that_of_the_code(folder: str) -> None:
    (label,) = yaml.safe_load((DEPLOY / folder / "kustomization.yaml").read_text())["labels"]
    assert label.keys() == {"pairs"}, "a selector and a pod's labels must not have it"
    assert label["pairs"].items() <= OF_ALL.items()
    assert label["pairs"]["app.kubernetes.io/version"] == contract.VERSION


@pytest.mark.cluster
@pytest.mark.beside(lane="kube")
@pytest.mark.parametrize(
    "folder", [".", "monitoring", "overlays/host-network", "overlays/cert-manager"]
)
def test_as_rendered_each_object_has_them_all(folder: str) -> None:
    kubectl = programs.kubernetes() / "kubectl"
    run = subprocess.run(
        [kubectl, "kustomize", DEPLOY / folder], capture_output=True, text=True, check=True
    )
    for manifest in yaml.safe_load_all(run.stdout):
        labels = manifest["metadata"]["labels"]
        assert labels.items() >= OF_ALL.items()
        for part in (
            (manifest["spec"].get("selector"), manifest["spec"].get("template"))
            if (manifest["kind"] == "Deployment")
            else ()
        ):
            assert "app.kubernetes.io/version" not in str(part)
