"""`pgset.dev/selects` on a Service: the role is added to its selector, and taken away again.

For the Service that clients use already. A key that no manifest of the user's has stays where a
chart or `kubectl apply` merges; where they overwrite the selector, it is added each time.

`pgset.dev/selected-by` names the key that was added. Anybody can write it, and manifests are copied
with it, so a key is taken away only if the Service had that annotation before the update, the value
is a role's, and `kubectl apply` has not been given the key.

What StatefulSet a Service is for is not known here, since no review asks the API server.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sidecar import contract
from sidecar.settings import InvalidSettingError, Settings
from webhook import codec, shape
from webhook.errors import DeniedError
from webhook.json_patch import Json, Patch, remove, set_member, set_members
from webhook.review import Review, Verdict, wrapped

SELECTOR: Final = ("spec", "selector")
ANNOTATIONS: Final = ("metadata", "annotations")

EXTERNAL: Final = "ExternalName"
"""The type of a Service whose selector is of no account."""

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
MAX_ANNOTATIONS: Final = 262144
"""Characters that the API server stores, of all annotations together."""

_ROLE_VALUES: Final = (contract.PRIMARY_VALUE, contract.REPLICA_VALUE)
_ROLE_SETTINGS: Final = (contract.ROLE_LABEL, *_ROLE_VALUES)
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
    old = review.old_object if review.operation == "UPDATE" else None
    if old is not None:
        shape.check(old, shape.REVIEWED["Service"], "oldObject")
    added = _added(review.object, old)
    fault = _fault(review.object, added)
    if fault is None:
        return _selecting(review.object, added)
    if old is not None and str(_fault(old, _added(old, old))) == str(fault):
        return Verdict(warnings=tuple(wrapped(str(fault))))
    raise fault


def _selecting(service: Json, added: str | None) -> Verdict:
    annotations = _annotations(service)
    selector = service["spec"].get("selector") or {}
    named = annotations.get(contract.SELECTED_BY)
    role = _wanted(annotations)
    if role is None:
        return Verdict() if named is None else _without(selector, named, added)
    patch: Patch = []
    if added is not None and added != role.key:
        patch.append(remove((*SELECTOR, added)))
    if role.key in selector and named != role.key:  # the user's own
        if named is not None:
            patch.append(remove((*ANNOTATIONS, contract.SELECTED_BY)))
        return Verdict(patch=patch)
    patch += set_member((*SELECTOR, role.key), selector, role.value)
    patch += set_members(
        ANNOTATIONS, service["metadata"].get("annotations"), {contract.SELECTED_BY: role.key}
    )
    if not patch:
        return Verdict()
    named = f"{role.key}: {role.value}"
    return Verdict(
        patch=patch,
        warnings=tuple(
            wrapped(
                f"the Service leads to pods with {named} alone; until its pods have the role it "
                "leads nowhere"
            )
        ),
        audit={"selects": named},
    )


def _without(selector: Mapping[str, str], named: str, added: str | None) -> Verdict:
    unmarked = remove((*ANNOTATIONS, contract.SELECTED_BY))
    if added is None:
        kept = f"{named}: {selector[named]} stays in spec.selector" if named in selector else ""
        return Verdict(
            patch=[unmarked],
            warnings=tuple(wrapped(kept)),
            audit={"selects": "the selector is as the user has it"},
        )
    return Verdict(
        patch=[remove((*SELECTOR, added)), unmarked],
        warnings=("the Service leads to the primary and to replicas alike again",),
        audit={"selects": "no role any more"},
    )


def _added(service: Json, old: Json | None) -> str | None:
    """Return the selector's key that may be taken away again: the webhook has added it."""
    named = _annotations(service).get(contract.SELECTED_BY)
    if named is None or old is None or _annotations(old).get(contract.SELECTED_BY) != named:
        return None
    value = (service["spec"].get("selector") or {}).get(named)
    is_role = value in _role_values(_annotations(old))
    return named if is_role and named not in _applied_selector(_annotations(service)) else None


def _role_values(annotations: Mapping[str, str]) -> set[str]:
    usual = Settings(set_name=_ANY_SET)
    return {
        usual.primary_value,
        usual.replica_value,
        *(annotations[it] for it in _ROLE_VALUES if it in annotations),
    }


def _applied_selector(annotations: Mapping[str, str]) -> Mapping[str, object]:
    """Return the selector of the manifest that `kubectl apply` was given, or an empty one."""
    text = annotations.get(LAST_APPLIED, "")
    if not text or len(text) > MAX_ANNOTATIONS:
        return {}
    try:
        selector = codec.decode(text.encode())["spec"]["selector"]
    except (ValueError, RecursionError, TypeError, KeyError, IndexError):
        return {}
    return selector if isinstance(selector, dict) else {}


def _fault(service: Json, added: str | None) -> DeniedError | None:
    """Return why the role can't be added; None if it can, or isn't asked for.

    `added`: the key of the selector that goes if another is added.
    """
    annotations, spec = _annotations(service), service["spec"]
    try:
        role = _wanted(annotations)
    except InvalidSettingError as error:
        return DeniedError(str(error), "annotation")
    if role is None:
        return None
    value = annotations[contract.SELECTS]
    named_by_role = {role.key} & {annotations.get(contract.SELECTED_BY)}
    selector = spec.get("selector") or {}
    if not selector.keys() - {added, *named_by_role} or spec.get("type") == EXTERNAL:
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
    if present != role.value and not named_by_role:
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
