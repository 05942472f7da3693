"""Objects and texts without what may be secret in them: for a report that goes to strangers.

Nothing knows all of what people write: better too much is removed than too little, and whoever
sends a report reads it before.
"""

from __future__ import annotations

import re
from typing import Any, Final

from cli.pod_spec import Json
from sidecar import contract

REMOVED: Final = "(removed)"

_NAME: Final = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|credential|authorization"
    r"|(?:api|access|private|encryption|signing)[_-]?key)[\w-]{0,64}"
)
_VALUE: Final = (
    r"(?:\\+\".*?\\+\"|'(?:[^'\\]|''|\\.)*'|\"(?:[^\"\\]|\\.)*\"|(?:(?:bearer|basic)\s+)?\S+)"
)
_IN_TEXTS: Final = (
    # Whole before the rest: what they begin with tells less.
    (re.compile(r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)"), ""),
    # user:password@ of a URL; a password may have an @ or a / itself.
    (re.compile(r"(?<=://)([^/\s:@]{0,200}:)[^\s'\"]{0,500}(?=@)"), r"\1"),
    # A word that names a secret, and what it is set to: of JSON, YAML, libpq, a shell.
    (re.compile(rf"(?i)({_NAME}[\\\"']{{0,9}}\s{{0,9}}[=:]\s{{0,9}}){_VALUE}"), r"\1"),
    # SQL's PASSWORD 'x', and an option with a value of its own.
    (re.compile(r"(?i)(\bpassword\s+)(?:e?'(?:[^'\\]|''|\\.)*'|\$(\w*)\$.*?\$\2\$)"), r"\1"),
    (re.compile(rf"(?i)((?:^|\s)--?[\w-]{{0,64}}{_NAME}\s+){_VALUE}"), r"\1"),
    (re.compile(r"(?i)(\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}"), r"\1"),
    # PostgreSQL's own forms of a password.
    (re.compile(r"SCRAM-SHA-256\$\S+|\bmd5[0-9a-f]{32}\b"), ""),
)
_OPTION: Final = re.compile(rf"(?i)--?[\w-]{{0,64}}{_NAME}")
"""An argument whose value is the next one."""

_KEY: Final = re.compile(rf"(?i).*{_NAME}")
_NOT_SECRET: Final = re.compile(r"(?i).*(?:name|ref|seconds|namespace|key)s?")
"""What fields of Kubernetes' own are called that only say where a secret is."""


def without_secrets(found: Json) -> Json:
    """Return an object without the values of its environment variables and headers, with no
    annotation that is not ours, and without what texts such as arguments set a password to."""
    return {key: _cleaned(it, key) for key, it in found.items()}


def text_without_secrets(text: str) -> str:
    """Return a text without what it sets a password to."""
    for pattern, kept in _IN_TEXTS:
        text = pattern.sub(kept + REMOVED, text)
    return text


def _cleaned(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return _object(value, key)
    if isinstance(value, list):
        if key in ("env", "httpHeaders"):
            return [_variable(it) for it in value]
        return _arguments(value)
    if not isinstance(value, str):
        return value
    if _KEY.fullmatch(key) and not _NOT_SECRET.fullmatch(key):
        return REMOVED
    return text_without_secrets(value)


def _object(value: Json, key: str) -> Json:
    if key == "annotations":
        prefix = f"{contract.DOMAIN}/"
        value = {name: it for name, it in value.items() if name.startswith(prefix)}
    if key in ("volumeAttributes", "options"):
        # What a driver of volumes is told, in words of its own.
        return dict.fromkeys(value, REMOVED)
    return {name: _cleaned(it, name) for name, it in value.items() if name != "managedFields"}


def _arguments(values: list[Any]) -> list[Any]:
    cleaned: list[Any] = []
    before: Any = ""
    for value in values:
        of_option = isinstance(before, str) and _OPTION.fullmatch(before)
        cleaned.append(REMOVED if of_option and isinstance(value, str) else _cleaned(value))
        before = value
    return cleaned


def _variable(variable: Json) -> Json:
    name = variable.get("name", "")
    if "value" not in variable or (name.startswith("PGSET_") and not _KEY.fullmatch(name)):
        return variable
    return {**variable, "value": REMOVED}
