"""JSON schemas of Kubernetes' objects, for kubeconform: of its own OpenAPI, and of definitions.

A field that is not named is refused, as by `kubectl apply --validate=strict`.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]

LOCATION: Final = "{{ .ResourceKind }}{{ .KindSuffix }}.json"
"""How kubeconform finds them in their folder."""

_REF: Final = "#/definitions/"
_NUMBER_OR_TEXT: Final = ["integer", "number", "string"]
_QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"


def write(folder: Path, openapi: Json, custom: Iterable[Json]) -> None:
    """Write a schema for each kind of the API and of these custom resource definitions."""
    definitions = {name: strict(it) for name, it in openapi["definitions"].items()}
    definitions[_QUANTITY] = {"type": _NUMBER_OR_TEXT}
    for name, it in openapi["definitions"].items():
        for kind in it.get("x-kubernetes-group-version-kind", []):
            schema = {"$ref": _REF + name, "definitions": _used(name, definitions)}
            _write(folder, kind["kind"], kind["group"], kind["version"], schema)
    for it in custom:
        spec = it["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            _write(folder, spec["names"]["kind"], spec["group"], version["name"], schema)


def _write(folder: Path, kind: str, group: str, version: str, schema: Json) -> None:
    words = [kind, group.partition(".")[0], version]
    name = "-".join(it.lower() for it in words if it)
    (folder / f"{name}.json").write_text(json.dumps(schema))


def strict(schema: Any) -> Any:
    """The schema without fields that it does not name, where it names any."""
    if isinstance(schema, list):
        return [strict(it) for it in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        return {"type": _NUMBER_OR_TEXT}
    made = {key: strict(it) for key, it in schema.items()}
    open_ = schema.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(schema.get("properties"), dict) and not open_:
        made.setdefault("additionalProperties", False)
    return made


def _used(name: str, definitions: Json) -> Json:
    """Those that one definition refers to, and itself."""
    used, todo = {}, [name]
    while todo:
        it = todo.pop()
        if it not in used:
            used[it] = definitions[it]
            todo += _references(definitions[it])
    return used


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for it in schema:
            yield from _references(it)
    elif isinstance(schema, dict):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference.removeprefix(_REF)
        for it in schema.values():
            yield from _references(it)
