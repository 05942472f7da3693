"""What CPU and memory the sidecar asks for: fitted into the pod, or as a user or an admin says.

What a quota or a LimitRange demands is no field of the pod, and no review asks for it. But where
one demands limits, the pod's other containers have them already, by the user's hand or by the
LimitRange's defaults, which are filled in before webhooks are called.
"""

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from webhook.json_patch import Json

Chosen = Mapping[str, str]
"""Quantities by a ResourceQuota's names for them, such as limits.cpu."""

REQUESTS: Final = {"cpu": "25m", "memory": "64Mi"}
LIMITS: Final = {"memory": "128Mi"}
"""No limit on CPU where others have none: throttled at the wrong moment, it would fence late."""

CPU_LIMIT: Final = "250m"
"""Where all others have one, as a quota demands it, or a pod of QoS class Guaranteed: its database
would otherwise lose exclusive CPUs and its place in the order of eviction. It is 25 ms in each of
the kernel's periods of 100 ms."""

STORAGE: Final = "ephemeral-storage"
SCRATCH: Final = {"requests": "64Mi", "limits": "1Gi"}
"""Of ephemeral storage, where all others say how much, as a quota on it demands. A pod is evicted
for a container with more than its limit, and the sidecar's log counts: 50 MiB, or what the
kubelet's containerLogMaxSize allows."""

SIDES: Final = ("requests", "limits")
NAMES: Final = ("cpu", "memory", STORAGE)
KEYS: Final = tuple(f"{side}.{name}" for side in SIDES for name in NAMES)

LEAST: Final = {"limits.cpu": "100m", "limits.memory": "96Mi"}
"""With less the sidecar would fence late, or be killed for want of memory."""

ALLOWED: Final = (
    'allowed: quantities such as "requests.cpu=50m,limits.memory=256Mi", of '
    f"{', '.join(KEYS)}, with "
    + " and ".join(f"{key} at least {least}" for key, least in LEAST.items())
    + ", and no request above its limit"
)

_QUANTITY: Final = re.compile(r"(\d{1,15}(?:\.\d{1,3})?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?", re.ASCII)
_SUFFIXES: Final[Mapping[str, Decimal]] = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** (power + 1) for power, suffix in enumerate("kMGT")},
    **{f"{suffix}i": Decimal(1024) ** (power + 1) for power, suffix in enumerate("KMGT")},
}


def parse(text: str) -> Chosen:
    """Read quantities as `ALLOWED` says. Raises ValueError if these are none."""
    chosen: dict[str, str] = {}
    for item in filter(None, (it.strip() for it in text.split(","))):
        key, _, quantity = item.partition("=")
        if key not in KEYS or not _QUANTITY.fullmatch(quantity):
            raise ValueError(item)
        chosen[key] = quantity
    for key, least in LEAST.items():
        if key in chosen and _amount(chosen[key]) < _amount(least):
            raise ValueError(key)
    for name in NAMES:
        if _is_above(chosen, name):
            raise ValueError(name)
    return chosen


def combined(installation: Chosen, own: Chosen) -> Chosen:
    """Return what a set chooses, filled up with the installation's, which gives way to it."""
    chosen = {**installation, **own}
    for name in NAMES:
        if _is_above(chosen, name):
            request, limit = f"requests.{name}", f"limits.{name}"
            kept, follows = (request, limit) if request in own else (limit, request)
            chosen[follows] = chosen[kept]
    return chosen


def _is_above(chosen: Chosen, name: str) -> bool:
    """Return whether a request is above its limit."""
    request, limit = chosen.get(f"requests.{name}"), chosen.get(f"limits.{name}")
    return bool(request and limit and _amount(request) > _amount(limit))


def fitted(spec: Json, chosen: Chosen) -> Json:
    """Return the sidecar's resources in a pod with this spec, as chosen as far as it is."""
    found = _by_itself(spec)
    for key, quantity in chosen.items():
        side, name = key.split(".", 1)
        found[side][name] = quantity
    for name, limit in found["limits"].items():
        if request := found["requests"].get(name):
            both = _together(spec, name, request, limit, chosen)
            found["requests"][name], found["limits"][name] = both
    for name, least in REQUESTS.items():
        if f"requests.{name}" not in chosen:
            fitting = (it for it in (found["requests"][name], least) if _has_room(spec, name, it))
            found["requests"][name] = next(fitting, "0")
    return found


def _by_itself(spec: Json) -> dict[str, dict[str, str]]:
    """Return what the sidecar asks for where nobody says it."""
    limits = dict(LIMITS)
    if _all(spec, _has_cpu_limit):
        limits["cpu"] = CPU_LIMIT
    found = {"requests": dict(REQUESTS), "limits": limits}
    for side, has in (("requests", _asks_for_storage), ("limits", _has_storage_limit)):
        if _all(spec, has):
            found[side][STORAGE] = SCRATCH[side]
    found["limits"] = {name: _as_others(spec, name, it) for name, it in limits.items()}
    return found


def _as_others(spec: Json, name: str, limit: str) -> str:
    """Return the sidecar's limit, which is none above that of all others: a LimitRange may have a
    `max`."""
    given = [_limit(it.get("resources") or {}, name) for it in _containers(spec)]
    if not given or not all(_QUANTITY.fullmatch(it) for it in given):
        return limit
    least = LEAST.get(f"limits.{name}", SCRATCH["requests"])
    return min(limit, max(least, *given, key=_amount), key=_amount)


def _together(spec: Json, name: str, request: str, limit: str, chosen: Chosen) -> tuple[str, str]:
    """Return a request and a limit that fit each other: what nobody chose follows.

    A limit is no more times its request than in all other containers: a LimitRange may have a
    `maxLimitRequestRatio`, and a pod of QoS class Guaranteed stays one.
    """
    ratio = _ratio(spec, name)
    above = _amount(request) > _amount(limit)
    if f"requests.{name}" in chosen:
        follows = f"limits.{name}" not in chosen and (above or ratio == 1)
        return request, request if follows else limit
    if above:
        return limit, limit
    if ratio is None or name == STORAGE or _amount(request) * ratio >= _amount(limit):
        return request, limit
    least = _amount(limit) / ratio
    unit = "m" if name == "cpu" else "Mi"
    raised = f"{math.ceil(least / _SUFFIXES[unit])}{unit}"
    return min(raised, limit, key=_amount), limit


def _ratio(spec: Json, name: str) -> Decimal | None:
    """Return how many times its request a limit of the other containers is, at the most; None if
    one has no such limit, or no request to speak of."""
    ratios = []
    for container in _containers(spec):
        resources = container.get("resources") or {}
        limit, request = _limit(resources, name), _asked_for(resources, name)
        if not all(_QUANTITY.fullmatch(it) and _amount(it) for it in (limit, request)):
            return None
        ratios.append(_amount(limit) / _amount(request))
    return max(ratios, default=None)


def _has_room(spec: Json, name: str, wanted: str) -> bool:
    """Return whether the sidecar may ask for this beside the others, of what the pod as a whole
    asks for (`spec.resources`), if it does.

    The API server makes no pod whose containers together ask for more. Where the user's pod has
    only limits, it was given the others' sum as its requests, before webhooks are called.
    """
    of_pod = ((spec.get("resources") or {}).get("requests") or {}).get(name)
    if of_pod is None:
        return True
    others = [_asked_for(it.get("resources") or {}, name) for it in _containers(spec)]
    quantities = [wanted, *others, of_pod]
    if not all(_QUANTITY.fullmatch(it) for it in quantities):
        return False  # written as few people do, such as 1e3
    return sum(map(_amount, quantities[:-1])) <= _amount(of_pod)


def _limit(resources: Json, name: str) -> str:
    return str((resources.get("limits") or {}).get(name, "none"))


def _asked_for(resources: Json, name: str) -> str:
    sides: Json = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return str(sides.get(name, "0"))


def _all(spec: Json, has: Callable[[Json], bool]) -> bool:
    return all(has(container.get("resources") or {}) for container in _containers(spec))


def _containers(spec: Json) -> list[Json]:
    return [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]


def _has_cpu_limit(resources: Json) -> bool:
    return "cpu" in (resources.get("limits") or {})


def _asks_for_storage(resources: Json) -> bool:
    """Return whether it does; a limit without a request is one, too."""
    return STORAGE in (resources.get("requests") or {}) or _has_storage_limit(resources)


def _has_storage_limit(resources: Json) -> bool:
    return STORAGE in (resources.get("limits") or {})


def _amount(quantity: str) -> Decimal:
    number = quantity.rstrip("kKMGTim")
    return Decimal(number) * _SUFFIXES[quantity.removeprefix(number)]
