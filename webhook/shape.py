"""The type of every field that the webhook reads: checked once, relied on everywhere.

The API server sends no other types, but it calls mutating webhooks before it checks that a
required field is there. Fields that are not named here may be of any type.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from webhook.errors import DeniedError

_NOUNS: Final = {str: "a string", int: "a whole number", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Fields:
    """An object with these fields. For an optional object or list null means absent; for a scalar
    it is an error, since only the API server's encoder would know its default."""

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
                optional={
                    "value": str,
                    "valueFrom": Fields(
                        optional={
                            "resourceFieldRef": _ANY_OBJECT,
                            "fileKeyRef": Fields(optional={"volumeName": str}),
                        }
                    ),
                },
            )
        ),
        "volumeMounts": ListOf(
            Fields(
                required={"name": str, "mountPath": str},
                optional={"subPath": str, "subPathExpr": str},
            )
        ),
        "ports": ListOf(Fields(required={"containerPort": int})),
        "lifecycle": _ANY_OBJECT,
        "readinessProbe": Fields(
            optional={"initialDelaySeconds": int, "periodSeconds": int, "successThreshold": int}
        ),
        "securityContext": Fields(optional=_USER),
        "resources": Fields(optional={"limits": _ANY_OBJECT, "requests": _ANY_OBJECT}),
    },
)
_NAMED: Final = Fields(required={"name": str})
_ITEMS: Final = ListOf(Fields(optional={"path": str, "mode": int}))
_SECRET: Final = Fields(optional={"defaultMode": int, "items": _ITEMS})
_SOURCES: Final = ListOf(Fields(optional={"secret": _SECRET}))
_VOLUME: Final = Fields(
    required={"name": str},
    optional={
        "secret": _SECRET,
        "projected": Fields(optional={"defaultMode": int, "sources": _SOURCES}),
    },
)
_POD_SPEC: Final = Fields(
    optional={
        "containers": ListOf(_CONTAINER),
        "initContainers": ListOf(_CONTAINER),
        "volumes": ListOf(_VOLUME),
        "securityContext": Fields(optional=_USER),
        "automountServiceAccountToken": bool,
        "serviceAccountName": str,
        "terminationGracePeriodSeconds": int,
        "resources": Fields(optional={"requests": _ANY_OBJECT}),
    },
)
_STATEFULSET_SPEC: Final = Fields(
    required={"template": Fields(optional={"metadata": _MARKS, "spec": _POD_SPEC})},
    optional={
        "replicas": int,
        "ordinals": Fields(optional={"start": int}),
        "updateStrategy": Fields(
            optional={"type": str, "rollingUpdate": Fields(optional={"partition": int})}
        ),
        "podManagementPolicy": str,
        "persistentVolumeClaimRetentionPolicy": Fields(optional={"whenScaled": str}),
        "selector": Fields(
            optional={
                "matchLabels": _ANY_OBJECT,
                "matchExpressions": ListOf(Fields(required={"key": str})),
            }
        ),
        "volumeClaimTemplates": ListOf(
            Fields(required={"metadata": _NAMED}, optional={"spec": _ANY_OBJECT})
        ),
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
    optional={"operation": str, "namespace": str, "dryRun": bool, "oldObject": _ANY_OBJECT},
)
"""The request of an AdmissionReview, as far as it is the same in every review."""

REVIEWED: Final[Mapping[str, Fields]] = {
    "Pod": Fields(required={"metadata": _MARKS, "spec": _POD_SPEC}),
    "Service": Fields(
        required={
            "metadata": _MARKS,
            "spec": Fields(optional={"selector": MapOf(str), "type": str, "clusterIP": str}),
        }
    ),
    "StatefulSet": Fields(required={"metadata": _MARKS, "spec": _STATEFULSET_SPEC}),
}
"""The objects that are reviewed, by kind."""


def check(value: object, shape: Shape, where: str) -> None:
    """Raise DeniedError for the first thing in `value` that is not of this shape."""
    try:
        _check(value, shape)
    except _MisfitError as misfit:
        raise DeniedError(misfit.sentence(where)) from None


class _MisfitError(Exception):
    """Something has another shape; each level on the way up adds where it is."""

    def __init__(self, value: object, noun: str) -> None:
        self._fault = "is missing" if value is None else "is of the wrong type"
        self._noun = noun
        self.path: list[str | int] = []
        """From the inside to the outside: written out only for an error that is shown."""

    def sentence(self, where: str) -> str:
        steps = [f"[{it}]" if isinstance(it, int) else f".{it}" for it in reversed(self.path)]
        place = f"{where}{''.join(steps)}".removeprefix(".")
        return f"{place} {self._fault}; allowed: {self._noun}"


def _check(value: object, shape: Shape) -> None:
    if isinstance(shape, Fields):
        if type(value) is not dict:
            raise _MisfitError(value, "an object")
        _check_fields(value, shape)
    elif isinstance(shape, ListOf):
        if type(value) is not list:
            raise _MisfitError(value, "a list")
        _check_members(enumerate(value), shape.item)
    elif isinstance(shape, MapOf):
        if type(value) is not dict:
            raise _MisfitError(value, "an object")
        _check_members(value.items(), shape.value)
    elif type(value) is not shape:  # bool is an int to isinstance
        raise _MisfitError(value, _NOUNS[shape])


# That scalars are looked at here already saves a call for most of what a pod has.


def _check_members(members: Iterable[tuple[str | int, object]], shape: Shape) -> None:
    key: str | int = ""
    try:
        for key, item in members:  # noqa: B007 - the error needs it
            if type(item) is not shape:
                _check(item, shape)
    except _MisfitError as misfit:
        misfit.path.append(key)
        raise


def _check_fields(value: Mapping[str, object], shape: Fields) -> None:
    name = ""
    try:
        for name, inner in shape.required.items():
            found = value.get(name)
            if type(found) is not inner:
                _check(found, inner)
        for name, inner in shape.optional.items():
            if name in value:
                found = value[name]
                if type(found) is not inner and (found is not None or isinstance(inner, type)):
                    _check(found, inner)
    except _MisfitError as misfit:
        misfit.path.append(name)
        raise
