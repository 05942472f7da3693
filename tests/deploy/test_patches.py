"""What kustomizations patch, in a form that every kubectl reads."""

import pytest
import yaml

from tests.deploy.manifests import DEPLOY

KUSTOMIZATIONS = sorted(DEPLOY.rglob("kustomization.yaml"))


@pytest.mark.parametrize("file", KUSTOMIZATIONS, ids=lambda it: str(it.parent.relative_to(DEPLOY)))
def test_each_patch_is_one_document(file):
    """kubectl 1.32 panics at several deletions in one: kubernetes-sigs/kustomize#5552."""
    for patch in yaml.safe_load(file.read_text()).get("patches", []):
        text = patch["patch"] if "patch" in patch else (file.parent / patch["path"]).read_text()
        assert len(list(yaml.safe_load_all(text))) == 1, patch
