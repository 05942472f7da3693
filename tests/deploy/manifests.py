"""The manifests under deploy/, as they are written."""

from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"

Manifest = dict[str, Any]


def documents(path: str) -> list[Manifest]:
    return list(yaml.safe_load_all((DEPLOY / path).read_text()))


def document(path: str) -> Manifest:
    (only,) = documents(path)
    return only
