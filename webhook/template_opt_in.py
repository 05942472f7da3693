"""Opting in by annotations of the pod template, for charts whose StatefulSet can have none itself.

They are copied to the StatefulSet, which is where the caretaker, the sidecars and people look, with
a mark that says where they came from. From then on the template decides: who takes them out there
opts the set out.
"""

from collections.abc import Mapping
from typing import Final

from sidecar import contract
from sidecar.settings import parse_enabled
from webhook import opt_in
from webhook.errors import DeniedError
from webhook.json_patch import Json, Patch, remove, set_members

ANNOTATIONS: Final = ("metadata", "annotations")
BY_TEMPLATE: Final = "template"


def taken_over(statefulset: Json, old: Json | None) -> tuple[Json, Patch]:
    """Return the StatefulSet with the annotations that count, and what makes it carry them.

    `old`: before an update. Raises InvalidSettingError or DeniedError where they can't be read.
    """
    own = opt_in.annotations_of(statefulset)
    wanted = _wanted(statefulset, own, old)
    if wanted is None or wanted == own:
        return statefulset, []
    present = statefulset["metadata"].get("annotations")
    patch = [
        *(remove((*ANNOTATIONS, name)) for name in own if name not in wanted),
        *set_members(ANNOTATIONS, present, wanted),
    ]
    return {**statefulset, "metadata": {**statefulset["metadata"], "annotations": wanted}}, patch


def _wanted(statefulset: Json, own: Mapping[str, str], old: Json | None) -> dict[str, str] | None:
    """Return the annotations that the StatefulSet is to have; None if the template has no say."""
    marked = contract.OPTED_IN_BY in own
    old_own = opt_in.annotations_of(old) if old else {}
    was_marked = contract.OPTED_IN_BY in old_own
    if contract.ENABLED in own and not marked:
        return None
    if not marked and opt_in.is_stamped(statefulset):
        return None  # opted out at the StatefulSet: what the template has is our own stamp
    settings = _settings(statefulset)
    if marked and old and was_marked and settings == _settings(old):
        _check_unchanged(own, old_own)
    rest = {
        name: value
        for name, value in own.items()
        if name != contract.OPTED_IN_BY and not (marked and name in opt_in.SETTINGS)
    }
    if not parse_enabled(settings):
        return rest if marked else None
    return {**rest, **settings, contract.OPTED_IN_BY: BY_TEMPLATE}


def _settings(statefulset: Json) -> dict[str, str]:
    metadata = statefulset["spec"]["template"].get("metadata") or {}
    found = metadata.get("annotations") or {}
    settings = {name: found[name] for name in opt_in.SETTINGS if name in found}
    own = opt_in.annotations_of(statefulset)
    containers = (statefulset["spec"]["template"].get("spec") or {}).get("containers") or []
    if contract.OPTED_IN_BY in own and contract.CONTAINER not in own and len(containers) == 1:
        settings.pop(contract.CONTAINER, None)  # our own stamp, of a container that needs no name
    return settings


def _check_unchanged(own: Mapping[str, str], old_own: Mapping[str, str]) -> None:
    for name in opt_in.SETTINGS:
        if own.get(name) != old_own.get(name):
            raise DeniedError(
                f"annotation {name}: this set is opted in by annotations of its pod template, "
                "which decide; allowed: the change in spec.template.metadata.annotations",
                "annotation",
            )
