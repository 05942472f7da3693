"""Volumes that are full. No I/O."""

from __future__ import annotations

import datetime
import json
import shlex
from collections.abc import Iterator
from typing import Final

from cli import quota
from cli.cause import Cause
from cli.facts import Event, Pod
from cli.pod_spec import Claim, Json
from cli.seen import Seen

RECENT: Final = datetime.timedelta(minutes=10)
"""A member that is well may have warned so long ago."""

GREW: Final = "FileSystemResizeSuccessful"
"""The kubelet's Event about a pod whose volume has grown."""


def causes(seen: Seen, pod: Pod) -> Iterator[Cause]:
    """Yield the volume of the pod's data directory if that is full, and does not grow already."""
    event = seen.warned(pod)
    if event is None or "No space left on device" not in event.message or event.time is None:
        return
    if (seen.is_member(pod) and seen.now - event.time > RECENT) or _has_grown(seen, pod, event):
        return
    mounted = _of_data(seen, pod)
    claim = seen.claims.get(mounted.name) if mounted else None
    more = _more(claim) if claim else None
    if mounted is None or more is None:
        return
    change = {"spec": {"resources": {"requests": {"storage": more}}}}
    patch = json.dumps(change, separators=(",", ":"))
    yield seen.cause(
        f"the volume of {pod.name} is full: let it grow, if its class allows that",
        f"patch pvc {shlex.quote(mounted.name)} --type merge -p {shlex.quote(patch)}",
        pod.name,
    )


def _has_grown(seen: Seen, pod: Pod, full: Event) -> bool:
    return any(
        it.reason == GREW
        and (it.namespace, it.kind, it.name) == (pod.namespace, "Pod", pod.name)
        and it.time is not None
        and full.time is not None
        and it.time >= full.time
        for it in seen.there.events
    )


def _of_data(seen: Seen, pod: Pod) -> Claim | None:
    """Return the claim that has the data directory; None if that is not known."""
    container = seen.workload.container
    mounted = [it for it in pod.claims if it.container == container]
    directory = pod.data_directories.get(container, "")
    if directory:
        directory = f"{directory.rstrip('/')}/"
        mounted = [it for it in mounted if directory.startswith(f"{it.path.rstrip('/')}/")]
        return max(mounted, key=lambda it: len(it.path), default=None)
    return mounted[0] if len(mounted) == 1 else None


def _more(claim: Json) -> str | None:
    """Return twice of what is asked for; None while there is less than that, since it grows."""
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    asked = requests.get("storage", "")
    there = ((claim.get("status") or {}).get("capacity") or {}).get("storage", "")
    wanted, has = quota.quantity(asked), quota.quantity(there)
    if wanted is None or has is None or has < wanted:
        return None
    return quota.doubled(asked)
