"""Objects in which every field of the API is set, made from the models of the `kubernetes` client.

Those are generated from Kubernetes' own OpenAPI: client 35 knows the API of Kubernetes 1.35.
"""

import re
from datetime import UTC, datetime
from typing import Any

from kubernetes import client

FUTURE = {"aFieldOfTheFuture": {"deep": [1, {"er": None}]}}
"""Is put into every object, for what newer API servers will send."""

_SCALARS: dict[str, Any] = {"int": 7, "float": 0.5, "bool": True, "object": {"any": ["thing"]}}


def made_up(kind: str, path: str = "") -> Any:
    """Make a value of one of the client's types; a string says where it stands."""
    if kind in _SCALARS:
        return _SCALARS[kind]
    if kind == "str":
        return path
    if kind == "datetime":
        return datetime(2030, 1, 1, tzinfo=UTC).isoformat()
    if items := re.fullmatch(r"list\[(.+)\]", kind):
        return [made_up(items[1], f"{path}[{index}]") for index in range(2)]
    if values := re.fullmatch(r"dict\(str, (.+)\)", kind):
        return {"some/key": made_up(values[1], f"{path}.key")}
    model = getattr(client, kind)
    fields = {
        name: made_up(model.openapi_types[attribute], f"{path}.{name}")
        for attribute, name in model.attribute_map.items()
    }
    return {**fields, **FUTURE}


def pod() -> dict[str, Any]:
    """Return a pod of the set `pgset` whose first container is the database."""
    made: dict[str, Any] = {**made_up("V1Pod"), "apiVersion": "v1", "kind": "Pod"}
    made["metadata"]["name"] = "pgset-0"
    made["metadata"]["labels"]["pgset.dev/set"] = "pgset"
    made["metadata"]["annotations"]["pgset.dev/container"] = "postgres"
    made["spec"]["containers"][0]["name"] = "postgres"
    return made


def statefulset() -> dict[str, Any]:
    """Return a StatefulSet that opts in."""
    made: dict[str, Any] = {
        **made_up("V1StatefulSet"),
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
    }
    made["metadata"]["name"] = "pgset"
    made["metadata"]["annotations"]["pgset.dev/enabled"] = "true"
    made["metadata"]["annotations"]["pgset.dev/container"] = "postgres"
    made["spec"]["template"]["spec"]["containers"][0]["name"] = "postgres"
    made["spec"]["template"]["spec"]["hostPID"] = False  # the one field that a set can't have
    return made
