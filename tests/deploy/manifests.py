"""The manifests under deploy/, as they are written."""

from pathlib import Path
from typing import Any

from tests.support import documents as yaml

DEPLOY = Path(__file__).parents[2] / "deploy"

BASE = DEPLOY / "base"

Manifest = dict[str, Any]


def documents(path: str) -> list[Manifest]:
    """Return what is in a file of the base, or else in one below deploy/."""
    file = BASE / path if (BASE / path).exists() else DEPLOY / path
    return yaml.documents(file.read_text())


def document(path: str) -> Manifest:
    (only,) = documents(path)
    return only


def cluster_role(name: str) -> Manifest:
    (only,) = [it for it in documents("cluster-roles.yaml") if it["metadata"]["name"] == name]
    return only
