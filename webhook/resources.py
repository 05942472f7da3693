"""What CPU and memory the sidecar asks for: fitted into the pod, or as a user or an admin says.

What a quota or a LimitRange demands is no field of the pod, and no review asks for it. But where
one demands limits, the pod's other containers have them already, by the user's hand or by the
LimitRange's defaults, which are filled in before webhooks are called.
"""

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

FIXED: Final = {"cpu": "250m", "memory": "128Mi"}
"""Requests and limits in a pod of QoS class Guaranteed, which would otherwise become Burstable: its
database would lose exclusive CPUs and its place in the order of eviction. 250m is 25 ms in
each of the kernel's periods of 100 ms. It is also the limit where all others have one."""

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

_QUANTITY: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?", re.ASCII)
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
    fixed = _all(spec, _is_fixed)
    requests = FIXED if fixed else REQUESTS
    found = {
        "requests": {
            name: it if _has_room(spec, name, it) else "0" for name, it in requests.items()
        },
        "limits": dict(FIXED if fixed else LIMITS),
    }
    if _all(spec, _has_cpu_limit):
        found["limits"]["cpu"] = FIXED["cpu"]
    for side, has in (("requests", _asks_for_storage), ("limits", _has_storage_limit)):
        if _all(spec, has):
            found[side][STORAGE] = SCRATCH[side]
    for key, quantity in chosen.items():
        side, name = key.split(".", 1)
        found[side][name] = quantity
        other = SIDES[1 - SIDES.index(side)]
        given = found[other].get(name)
        if f"{other}.{name}" in chosen or (given is None and not fixed):
            continue
        # What nobody chose follows: a Guaranteed pod stays one, and no request is above its limit.
        above = given is not None and _amount(found["requests"][name]) > _amount(
            found["limits"][name]
        )
        if fixed or above:
            found[other][name] = quantity
    return found


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


def _is_fixed(resources: Json) -> bool:
    """Return whether a container's requests are its limits, for CPU and memory.

    https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/#guaranteed
    The API server writes quantities in canonical form, so equal ones are equal text.
    """
    limits = resources.get("limits") or {}
    requests = {**limits, **(resources.get("requests") or {})}
    return all(name in limits and requests[name] == limits[name] for name in ("cpu", "memory"))


def _amount(quantity: str) -> Decimal:
    number = quantity.rstrip("kKMGTim")
    return Decimal(number) * _SUFFIXES[quantity.removeprefix(number)]
