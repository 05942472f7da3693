"""Makes a template of a manifest: its text, comments and all, with values put into some places."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import yaml

NAMESPACE: Final = "pgset-system"
"""What the manifests are written for; the chart's is the release's."""

_INSTANCE: Final = "app.kubernetes.io/instance"

_LABELS: Final = "\n  labels:\n    app.kubernetes.io/name: pgset\n"
"""Of an object; those of a pod are further to the right."""

_MORE_LABELS: Final = '- include "pgset.labels" . | nindent 4'

_NAMES: Final = ("name", "key", "port", "alert")
"""What tells the items of a list apart."""

_MARK: Final = "\N{NULL}"
"""Around the template's own actions, while what a manifest has of `{{` is escaped."""


class NoSuchPlaceError(LookupError):
    """A path of `values.py` leads nowhere: the manifest was changed, so change the path."""


@dataclass(frozen=True, slots=True)
class Value:
    """A place of a manifest that the user's values fill in."""

    path: tuple[str, ...]
    """Keys from the top; an item of a list by its `name`, `key`, `port` or `alert`."""
    action: str
    """What the template does there, such as `.Values.replicas`."""


@dataclass(frozen=True, slots=True)
class Option:
    """A field that no manifest has, written before a sibling where the user gives a value."""

    before: tuple[str, ...]
    field: str
    action: str


@dataclass(frozen=True, slots=True)
class Default:
    """A place that is as the manifest has it where the user gives no value."""

    path: tuple[str, ...]
    action: str


@dataclass(frozen=True, slots=True)
class More:
    """What the user gives, at the end of a list or mapping that the manifest has as a block."""

    path: tuple[str, ...]
    action: str


Change = Value | Option | Default | More


@dataclass(frozen=True, slots=True)
class _Splice:
    start: int
    end: int
    text: str


def template(manifest: str, changes: Sequence[Change] = (), condition: str = "") -> str:
    """Return the text of a template that renders as the manifest where values are the default.

    `condition`: what has to be true for any of it to be rendered. Raises NoSuchPlaceError.
    """
    document = yaml.compose(manifest, yaml.SafeLoader) if changes else None
    splices = sorted(
        (_splice(manifest, document, change) for change in changes),
        key=lambda splice: splice.start,
        reverse=True,
    )
    text = manifest
    for splice in splices:
        text = text[: splice.start] + splice.text + text[splice.end :]
    text = text.replace(f": {NAMESPACE}\n", f": {_act('.Release.Namespace | quote')}\n")
    text = text.replace(f"{_INSTANCE}: pgset\n", f"{_INSTANCE}: {_act('.Release.Name | quote')}\n")
    text = text.replace(f".{NAMESPACE}.svc", f".{_act('.Release.Namespace')}.svc")
    text = text.replace(f".{NAMESPACE}\n", f".{_act('.Release.Namespace')}\n")
    first, name = _LABELS.rsplit("    ", 1)
    text = text.replace(_LABELS, f"{first}    {_act(_MORE_LABELS)}\n    {name}")
    text = text.replace("{{", '{{ "{{" }}')
    if condition:
        text = f"{_act(f'- if {condition}')}\n{text}{_act('- end')}\n"
    return text.replace(f"{_MARK}<", "{{").replace(f">{_MARK}", "}}")


def _act(action: str) -> str:
    padded = action + " " if action.startswith("-") else f" {action} "
    return f"{_MARK}<{padded}>{_MARK}"


def _splice(manifest: str, document: yaml.Node | None, change: Change) -> _Splice:
    if isinstance(change, Value):
        key, value = _find(document, change.path)
        return _Splice(key.end_mark.index, _end(value), f": {_act(change.action)}")
    key, value = _find(document, change.before if isinstance(change, Option) else change.path)
    indent = " " * key.start_mark.column
    begin, end = f"{indent}{_act(f'- with {change.action}')}\n", f"{indent}{_act('- end')}\n"
    if isinstance(change, More):
        column = value.start_mark.column
        line = _line_after(manifest, _end(value))
        return _Splice(
            line, line, f"{begin}{indent}{_act(f'- toYaml . | nindent {column}')}\n{end}"
        )
    line = manifest.rindex("\n", 0, key.start_mark.index) + 1
    if isinstance(change, Option):
        given = f"{indent}{change.field}: {_act('toJson .')}\n"
        return _Splice(line, line, f"{begin}{given}{end}")
    after = _line_after(manifest, _end(value))
    given = f"{indent}{key.value}: {_act('toJson .')}\n"
    otherwise = f"{indent}{_act('- else')}\n"
    return _Splice(line, after, f"{begin}{given}{otherwise}{manifest[line:after]}{end}")


def _line_after(manifest: str, index: int) -> int:
    return manifest.index("\n", index) + 1


def _find(node: yaml.Node | None, path: tuple[str, ...]) -> tuple[yaml.Node, yaml.Node]:
    """Return the key and the value at the end of the path."""
    key = None
    for name in path:
        if isinstance(node, yaml.MappingNode):
            key, node = _member(node, name, path)
        elif isinstance(node, yaml.SequenceNode):
            node = next((it for it in node.value if _name(it) == name), None)
    if key is None or node is None:
        raise NoSuchPlaceError(f"the manifest has no {'.'.join(path)}")
    return key, node


def _member(
    node: yaml.MappingNode, name: str, path: tuple[str, ...]
) -> tuple[yaml.Node, yaml.Node]:
    for key, value in node.value:
        if key.value == name:
            return key, value
    raise NoSuchPlaceError(f"the manifest has no {name!r} of {'.'.join(path)}")


def _name(item: yaml.Node) -> str:
    pairs = item.value if isinstance(item, yaml.MappingNode) else []
    return next((str(value.value) for key, value in pairs if key.value in _NAMES), "")


def _end(node: yaml.Node) -> int:
    """Where its text ends; a block's own mark is where the next thing begins, comments later."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)
