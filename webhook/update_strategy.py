"""What a StatefulSet says of the pods that an update takes down together: its updateStrategy, as
questions of `advice`, and its ordinals."""

import re
from typing import Final

from webhook.database import Database
from webhook.json_patch import Json

PERCENT: Final = 100
_NUMBER: Final = re.compile(r"\d{1,9}", re.ASCII)


def is_on_delete(statefulset: Json, _: Database) -> bool:
    """Return whether a pod stays as it is until somebody deletes it."""
    return bool(_strategy(statefulset).get("type") == "OnDelete")


def has_partition(statefulset: Json, _: Database) -> bool:
    """Return whether the first pods stay as they are."""
    return bool((_rolling_update(statefulset).get("partition") or 0) > 0)


def rolls_several(statefulset: Json, _: Database) -> bool:
    """Return whether more than one pod is taken down at a time."""
    together = str(_rolling_update(statefulset).get("maxUnavailable", 1))
    found = _NUMBER.match(together)
    number = int(found[0]) if found else 1
    if together.endswith("%"):  # rounded up
        return bool(number * statefulset["spec"].get("replicas", 1) > PERCENT)
    return number > 1


def replaces_all_at_once(before: Json, after: Json) -> bool:
    """Return whether an update takes away every pod that there is, before any of the new ones can
    have copied its data: with Parallel Kubernetes waits for none."""
    old, new = _ordinals(before), _ordinals(after)
    apart = old.stop <= new.start or new.stop <= old.start
    parallel = after["spec"].get("podManagementPolicy") == "Parallel"
    return bool(parallel and old and new and apart)


def _ordinals(statefulset: Json) -> range:
    spec = statefulset["spec"]
    start = (spec.get("ordinals") or {}).get("start", 0)
    return range(start, start + spec.get("replicas", 1))


def _rolling_update(statefulset: Json) -> Json:
    found: Json = _strategy(statefulset).get("rollingUpdate") or {}
    return found


def _strategy(statefulset: Json) -> Json:
    found: Json = statefulset["spec"].get("updateStrategy") or {}
    return found
