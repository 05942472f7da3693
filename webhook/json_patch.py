"""JSON patch operations (RFC 6902), as Kubernetes takes them from a mutating webhook."""

import copy
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

Json = dict[str, Any]
"""A decoded JSON object."""

Patch = list[Json]
"""Operations in the order in which they are to be applied."""

Path = tuple[str | int, ...]
"""The keys and indexes that lead to a value, not escaped."""


_KEPT: Final = 1024
_KEPT_TOKEN: Final = 320
"""Characters, the most of a name in Kubernetes (a label's key). What is kept is bounded by its size
as well: a key may be a user's, and a review that is denied later may have one of megabytes."""


def pointer(path: Path) -> str:
    """Write a path as a JSON pointer (RFC 6901): `~` becomes `~0` and `/` becomes `~1`."""
    for token in path:
        if token.__class__ is str and len(token) > _KEPT_TOKEN:
            return _written(path)
    return _kept(path)


def _written(path: Path) -> str:
    return "".join([f"/{str(token).replace('~', '~0').replace('/', '~1')}" for token in path])


_kept: Final = lru_cache(_KEPT)(_written)
"""Most pods get the same."""


def add(path: Path, value: object) -> Json:
    """Insert into a list before the index (`-`: after its end), or set an object's member."""
    return {"op": "add", "path": pointer(path), "value": value}


def remove(path: Path) -> Json:
    """Take out an object's member or a list's item."""
    return {"op": "remove", "path": pointer(path)}


def set_member(path: Path, parent: Mapping[str, Any], value: object) -> Patch:
    """Make the last token of `path` hold `value` in `parent`, the object that it belongs to."""
    name = path[-1]
    if name not in parent:
        return [add(path, value)]
    if parent[str(name)] == value:
        return []
    return [{"op": "replace", "path": pointer(path), "value": value}]


def set_members(path: Path, present: Mapping[str, Any] | None, values: Mapping[str, Any]) -> Patch:
    """Make the object at `path` hold `values`; it is created if it is absent (None)."""
    if not values:
        return []
    if present is None:
        return [add(path, dict(values))]
    return [
        operation
        for name, value in values.items()
        for operation in set_member((*path, name), present, value)
    ]


def append(path: Path, present: Sequence[Any] | None, values: Sequence[Any]) -> Patch:
    """Append `values` to the list at `path`; it is created if it is absent (None)."""
    if not values:
        return []
    if present is None:
        return [add(path, list(values))]
    return [add((*path, "-"), value) for value in values]


def applied(document: Json, patch: Patch) -> Json:
    """Return a copy of the document with the operations of this module carried out."""
    result = copy.deepcopy(document)
    for operation in patch:
        *path, last = (
            it.replace("~1", "/").replace("~0", "~") for it in operation["path"].split("/")[1:]
        )
        parent: Any = result
        for key in path:
            parent = parent[int(key) if isinstance(parent, list) else key]
        _carry_out(parent, last, operation)
    return result


def _carry_out(parent: Any, key: str, operation: Json) -> None:
    if not isinstance(parent, list):
        if operation["op"] == "remove":
            del parent[key]
        else:
            parent[key] = copy.deepcopy(operation["value"])
        return
    index = len(parent) if key == "-" else int(key)
    if operation["op"] != "add":
        del parent[index]
    if operation["op"] != "remove":
        parent.insert(index, copy.deepcopy(operation["value"]))
