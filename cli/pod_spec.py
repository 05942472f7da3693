"""What a pod's spec and status say of its containers. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]

PROXIES: Final = (
    "istio-proxy",
    "linkerd-proxy",
    "kuma-sidecar",
    "consul-dataplane",
    "nginx-mesh-sidecar",
)
"""What service meshes call the proxy's container, as `webhook.neighbours` has it."""


@dataclass(frozen=True)
class Waiting:
    """A container that the kubelet can't start."""

    container: str
    image: str
    reason: str
    message: str


@dataclass(frozen=True)
class Claim:
    """A PersistentVolumeClaim where a container mounts it."""

    name: str
    container: str
    path: str


def claims(spec: Json) -> Iterator[Claim]:
    """Yield what containers mount of claims."""
    names = {
        it["name"]: it["persistentVolumeClaim"]["claimName"]
        for it in spec.get("volumes") or []
        if "persistentVolumeClaim" in it
    }
    for container in spec.get("containers") or []:
        for mount in container.get("volumeMounts") or []:
            if mount["name"] in names:
                yield Claim(names[mount["name"]], container["name"], mount["mountPath"])


def waiting(statuses: Sequence[Json], images: Mapping[str, str]) -> list[Waiting]:
    """Return the containers that the kubelet can't start; `images`: those of the spec, since a
    status may have the one that ran before."""
    return [
        Waiting(
            it["name"],
            images.get(it["name"]) or it.get("image", ""),
            why.get("reason", ""),
            why.get("message", ""),
        )
        for it in statuses
        if (why := (it.get("state") or {}).get("waiting"))
    ]


def images(spec: Json) -> dict[str, str]:
    """Return the image of each container, those of the start included."""
    found = (spec.get("initContainers") or []) + (spec.get("containers") or [])
    return {it["name"]: it.get("image", "") for it in found}


def data_directories(spec: Json) -> dict[str, str]:
    """Return PGDATA of each container that has it; up to what only the pod knows of it."""
    return {
        container["name"]: variable["value"].partition("$(")[0]
        for container in spec.get("containers") or []
        for variable in container.get("env") or []
        if variable["name"] == "PGDATA" and variable.get("value")
    }


def unschedulable(status: Json) -> str:
    """Return why no node takes the pod, in the scheduler's words; "" if one does."""
    for it in status.get("conditions") or []:
        if (it["type"], it.get("reason")) == ("PodScheduled", "Unschedulable"):
            return str(it.get("message") or it["reason"])
    return ""


def proxy(spec: Json) -> str:
    """Return the name of the container that is a service mesh's proxy; "" if there is none."""
    found = (spec.get("initContainers") or []) + (spec.get("containers") or [])
    return next((it["name"] for it in found if it["name"] in PROXIES), "")
