"""YAML as tests read it, by libyaml: PyYAML's own parser took a third of all collecting."""

from typing import Any

import yaml


def documents(text: str) -> list[Any]:
    """Return what is in each of the documents, safely loaded; None for one that is empty."""
    return list(yaml.load_all(text, yaml.CSafeLoader))


def document(text: str) -> Any:
    """Return what is in the only document."""
    return yaml.load(text, yaml.CSafeLoader)
