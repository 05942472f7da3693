"""What kind of value each field has that the webhook reads: checked once, relied on everywhere.

The API server sends no other kinds, but it asks mutating webhooks before it looks whether a
required field is there. Fields that are not named here may be of any kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from webhook.errors import DeniedError

_NOUNS: Final = {str: "a string", int: "a whole number", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Fields:
    """An object with these fields. null is as good as absent for an optional object or list; for
    a scalar it is an error, since nobody but the API server's encoder would know its default."""

    required: "Mapping[str, Shape]" = field(default_factory=dict)
    optional: "Mapping[str, Shape]" = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of such items."""

    item: "Shape"


@dataclass(frozen=True, slots=True)
class MapOf:
    """An object whose members are all such values."""

    value: "Shape"


Shape = type[str] | type[int] | type[bool] | Fields | ListOf | MapOf

_ANY_OBJECT: Final = Fields()
_MARKS: Final = Fields(
    optional={"name": str, "labels": MapOf(str), "annotations": MapOf(str)},
)
_USER: Final = {"runAsUser": int, "runAsGroup": int}
_CONTAINER: Final = Fields(
    required={"name": str},
    optional={
        "image": str,
        "command": ListOf(str),
        "args": ListOf(str),
        "env": ListOf(
            Fields(
                required={"name": str},
                optional={"valueFrom": Fields(optional={"resourceFieldRef": _ANY_OBJECT})},
            )
        ),
        "volumeMounts": ListOf(Fields(required={"name": str, "mountPath": str})),
        "ports": ListOf(Fields(required={"containerPort": int})),
        "lifecycle": _ANY_OBJECT,
        "securityContext": Fields(optional=_USER),
        "resources": Fields(optional={"limits": _ANY_OBJECT, "requests": _ANY_OBJECT}),
    },
)
_NAMED: Final = Fields(required={"name": str})
_POD_SPEC: Final = Fields(
    optional={
        "containers": ListOf(_CONTAINER),
        "initContainers": ListOf(_CONTAINER),
        "volumes": ListOf(_NAMED),
        "securityContext": Fields(optional=_USER),
        "automountServiceAccountToken": bool,
        "terminationGracePeriodSeconds": int,
    },
)
_STATEFULSET_SPEC: Final = Fields(
    required={"template": Fields(optional={"metadata": _MARKS, "spec": _POD_SPEC})},
    optional={
        "replicas": int,
        "ordinals": Fields(optional={"start": int}),
        "updateStrategy": Fields(optional={"type": str}),
        "podManagementPolicy": str,
        "selector": Fields(
            optional={
                "matchLabels": _ANY_OBJECT,
                "matchExpressions": ListOf(Fields(required={"key": str})),
            }
        ),
        "volumeClaimTemplates": ListOf(Fields(required={"metadata": _NAMED})),
    },
)

REQUEST: Final = Fields(
    required={
        "uid": str,
        "kind": Fields(required={"kind": str, "version": str}, optional={"group": str}),
        "object": Fields(
            required={"metadata": Fields(optional={"name": str}), "spec": _ANY_OBJECT}
        ),
    },
    optional={"operation": str, "namespace": str, "dryRun": bool},
)
"""The request of an AdmissionReview, as far as every review has the same."""

REVIEWED: Final[Mapping[str, Fields]] = {
    "Pod": Fields(required={"metadata": _MARKS, "spec": _POD_SPEC}),
    "StatefulSet": Fields(required={"metadata": _MARKS, "spec": _STATEFULSET_SPEC}),
}
"""The objects that are reviewed, by kind."""


def check(value: object, shape: Shape, where: str) -> None:
    """Raise DeniedError for the first thing in `value` that is not of this shape."""
    if isinstance(shape, ListOf):
        _expect(value, list, where, "a list")
        for index, item in enumerate(value):  # type: ignore[arg-type,var-annotated] # a list now
            check(item, shape.item, f"{where}[{index}]")
    elif isinstance(shape, MapOf):
        _expect(value, dict, where, "an object")
        for name, item in value.items():  # type: ignore[attr-defined] # a dict now
            check(item, shape.value, f"{where}.{name}")
    elif isinstance(shape, Fields):
        _expect(value, dict, where, "an object")
        _check_fields(value, shape, where)  # type: ignore[arg-type] # a dict now
    else:
        _expect(value, shape, where, _NOUNS[shape])


def _check_fields(value: Mapping[str, object], shape: Fields, where: str) -> None:
    prefix = f"{where}." if where else ""
    for name, inner in shape.required.items():
        check(value.get(name), inner, f"{prefix}{name}")
    for name, inner in shape.optional.items():
        found = value.get(name)
        if found is not None or (name in value and isinstance(inner, type)):
            check(found, inner, f"{prefix}{name}")


def _expect(value: object, kind: type, where: str, noun: str) -> None:
    if type(value) is not kind:  # bool is an int to isinstance
        fault = "is missing" if value is None else "is of another type"
        raise DeniedError(f"{where} {fault}; allowed: {noun}")
