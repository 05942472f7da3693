"""Objects without what may be secret in them: for a report that goes to strangers."""

from __future__ import annotations

import re
from typing import Any, Final

from cli.pod_spec import Json
from sidecar import contract

REMOVED: Final = "(removed)"

_TELLING: Final = re.compile(
    r"(?i)((?:pass(?:word|wd|phrase)?|pwd|secret|token|credential|(?:api|access|private)[_-]?key)"
    r"[\w-]*\s*[=:]\s*)(?:'[^']*'|\"[^\"]*\"|\S+)"
)
"""A word that names a secret, and what it is set to."""

_IN_ADDRESS: Final = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+@")
"""user:password@ of a URL."""


def without_secrets(found: Json) -> Json:
    """Return an object without the values of its environment variables, with no annotation that
    is not ours, and without what texts such as arguments set a password to."""
    return {key: _cleaned(it, key) for key, it in found.items()}


def _cleaned(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        if key == "annotations":
            prefix = f"{contract.DOMAIN}/"
            value = {name: it for name, it in value.items() if name.startswith(prefix)}
        kept = (it for it in value.items() if it[0] != "managedFields")
        return {name: _cleaned(it, name) for name, it in kept}
    if isinstance(value, list):
        if key == "env":
            return [_variable(it) for it in value]
        return [_cleaned(it) for it in value]
    return _text(value) if isinstance(value, str) else value


def _variable(variable: Json) -> Json:
    if "value" not in variable or variable["name"].startswith("PGSET_"):
        return variable
    return {**variable, "value": REMOVED}


def _text(text: str) -> str:
    return _IN_ADDRESS.sub(rf"\1:{REMOVED}@", _TELLING.sub(rf"\1{REMOVED}", text))
