"""`pgset.dev/selects` on a Service: the role is added to its selector, and taken away again.

For the Service that clients use already. A key that no manifest of the user's has stays where a
chart or `kubectl apply` merges; where they overwrite the selector, it is added each time.

What StatefulSet a Service is for is not known here, since no review asks the API server.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sidecar import contract
from sidecar.settings import InvalidSettingError, Settings
from webhook import shape
from webhook.errors import DeniedError
from webhook.json_patch import Json, Patch, remove, set_member, set_members
from webhook.review import Review, Verdict, wrapped

SELECTOR: Final = ("spec", "selector")
ANNOTATIONS: Final = ("metadata", "annotations")

EXTERNAL: Final = "ExternalName"
"""The type of a Service whose selector is of no account."""

_ROLE_SETTINGS: Final = (contract.ROLE_LABEL, contract.PRIMARY_VALUE, contract.REPLICA_VALUE)
_ANY_SET: Final = "any"


@dataclass(frozen=True, slots=True)
class _Role:
    key: str
    value: str


def mutate_service(review: Review) -> Verdict:
    """Make the selector of a Service as its annotation says.

    Raises DeniedError with the sentence for the user; not for what an update leaves as it was: it
    came while no webhook answered.
    """
    shape.check(review.object, shape.REVIEWED["Service"], "")
    fault = _fault(review.object)
    if fault is None:
        return _selecting(review.object)
    old = review.old_object if review.operation == "UPDATE" else None
    if old is not None:
        shape.check(old, shape.REVIEWED["Service"], "oldObject")
        if str(_fault(old)) == str(fault):
            return Verdict(warnings=tuple(wrapped(str(fault))))
    raise fault


def _selecting(service: Json) -> Verdict:
    annotations = _annotations(service)
    selector = service["spec"].get("selector") or {}
    added = annotations.get(contract.SELECTED_BY)
    role = _wanted(annotations)
    if role is None:
        return Verdict() if added is None else _without(selector, added)
    patch: Patch = []
    if added is not None and added != role.key and added in selector:
        patch.append(remove((*SELECTOR, added)))
    if role.key in selector and added != role.key:
        return Verdict(patch=patch)  # the user's own
    patch += set_member((*SELECTOR, role.key), selector, role.value)
    patch += set_members(
        ANNOTATIONS, service["metadata"].get("annotations"), {contract.SELECTED_BY: role.key}
    )
    if not patch:
        return Verdict()
    named = f"{role.key}: {role.value}"
    return Verdict(
        patch=patch,
        warnings=(f"the Service leads to pods with {named} alone, once there are any",),
        audit={"selects": named},
    )


def _without(selector: Mapping[str, str], added: str) -> Verdict:
    present = added in selector
    return Verdict(
        patch=[
            *([remove((*SELECTOR, added))] if present else []),
            remove((*ANNOTATIONS, contract.SELECTED_BY)),
        ],
        warnings=("the Service leads to the primary and to replicas alike again",)
        if present
        else (),
        audit={"selects": "no role any more"},
    )


def _fault(service: Json) -> DeniedError | None:
    """Return why the role can't be added; None if it can, or isn't asked for."""
    annotations, spec = _annotations(service), service["spec"]
    try:
        role = _wanted(annotations)
    except InvalidSettingError as error:
        return DeniedError(str(error), "annotation")
    if role is None:
        return None
    value = annotations[contract.SELECTS]
    selector = spec.get("selector") or {}
    if (
        not selector.keys() - {annotations.get(contract.SELECTED_BY)}
        or spec.get("type") == EXTERNAL
    ):
        return DeniedError(
            f'annotation {contract.SELECTS}: "{value}" is on a Service that selects no pods, and '
            "by its role alone it would lead to every set; allowed: a Service whose spec.selector "
            "selects the set's pods",
            "annotation",
        )
    if spec.get("clusterIP") == "None":
        return DeniedError(
            f'annotation {contract.SELECTS}: "{value}" is on a headless Service, whose clients '
            "may go on using an address that they have looked up, and which may be the one that "
            "the pods have their names by (spec.serviceName); allowed: a Service with a clusterIP, "
            "such as <set>-primary",
            "annotation",
        )
    present = selector.get(role.key, role.value)
    if present != role.value and annotations.get(contract.SELECTED_BY) != role.key:
        return DeniedError(
            f'annotation {contract.SELECTS}: "{value}" asks for {role.key}: {role.value}, but '
            f'spec.selector says "{present}"; allowed: a selector without {role.key}',
            "annotation",
        )
    return None


def _wanted(annotations: Mapping[str, str]) -> _Role | None:
    """Return what the selector is to have. Raises InvalidSettingError."""
    value = annotations.get(contract.SELECTS)
    if value is None:
        return None
    if value not in contract.SELECTABLE:
        allowed = ", ".join(f'"{it}"' for it in contract.SELECTABLE)
        raise InvalidSettingError(contract.SELECTS, value, f"allowed: {allowed}")
    found = {name: annotations[name] for name in _ROLE_SETTINGS if name in annotations}
    settings = Settings.from_annotations(_ANY_SET, found)
    label = settings.primary_value if value == "primary" else settings.replica_value
    return _Role(settings.role_label, label)


def _annotations(service: Json) -> dict[str, str]:
    return service["metadata"].get("annotations") or {}
