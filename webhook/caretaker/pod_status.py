"""What a pod's status tells of its sidecar. All pure."""

from datetime import datetime
from typing import Final

from sidecar import contract
from webhook.json_patch import Json

_NOT_PULLED: Final = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_NOT_RUN: Final = (
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
)
"""The kubelet's reasons for waiting."""


def image_refused(pod: Json) -> str:
    """Return the sidecar's image if the kubelet can't pull it, or ""."""
    status = _sidecar(pod)
    waits = ((status.get("state") or {}).get("waiting") or {}).get("reason")
    return str(status.get("image", "")) if waits in _NOT_PULLED else ""


def unready_since(pod: Json) -> float | None:
    """Return since when the pod is not ready, in seconds since the epoch; None if it is.

    One that no node has taken yet has no such condition.
    """
    conditions = {it["type"]: it for it in (pod.get("status") or {}).get("conditions") or []}
    ready = conditions.get("Ready")
    if ready is None:
        return _seconds(pod["metadata"].get("creationTimestamp"))
    if ready["status"] == "True":
        return None
    return _seconds(ready.get("lastTransitionTime"))


def unheard_since(pod: Json) -> float | None:
    """Return since when the sidecar runs, or fails to, if it has written nothing yet."""
    if contract.STATUS in (pod["metadata"].get("annotations") or {}):
        return None
    if does_not_run(pod):
        return _seconds((pod.get("status") or {}).get("startTime"))
    running = (_sidecar(pod).get("state") or {}).get("running") or {}
    return _seconds(running.get("startedAt"))


def does_not_run(pod: Json) -> str:
    """Return why the kubelet can't make the sidecar's container or has to start it again and again,
    or "": one reason, as the pod's status has it."""
    waits = ((_sidecar(pod).get("state") or {}).get("waiting") or {}).get("reason")
    return str(waits) if waits in _NOT_RUN else ""


def _sidecar(pod: Json) -> Json:
    statuses = (pod.get("status") or {}).get("initContainerStatuses") or []
    return next((it for it in statuses if it["name"] == contract.SIDECAR_CONTAINER), {})


def _seconds(time: str | None) -> float | None:
    return datetime.fromisoformat(time).timestamp() if time else None
